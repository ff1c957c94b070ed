package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/passport-network/passport/pkg/config"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main with its surroundings given: 0 done, 1 failed, 2 called wrongly.
func run(args []string, stdout, stderr io.Writer) int {
	// cobra gives one error for a wrong call and for a command that failed: a command that was called
	// rightly has begun.
	begun := false
	root := rootCommand()
	root.PersistentPreRun = func(*cobra.Command, []string) { begun = true }
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteC()
	var wrong *usageError
	switch {
	case err == nil:
		return 0
	case !begun || errors.As(err, &wrong):
		fmt.Fprintf(stderr, "passport: %v\nSee \"%s --help\".\n", err, cmd.CommandPath())
		return 2
	}
	fmt.Fprintf(stderr, "passport: %v\n", err)
	return 1
}

// usageError is a wrong call that cobra does not notice by itself.
type usageError struct{ error }

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "passport",
		Short: "Sign in once, at every site of the network",
		Long: `Passport is an OpenID Connect server that owns its accounts: a person registers one
credential with an e-mail address and signs in with it at every site of the network.`,
		Example: `  passport serve --dev                  try it: server, inbox and two sites on this machine
  passport config check                 everything that is wrong with the configuration
  passport client create --name Shop --redirect-uri https://shop.example/callback`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	flags := root.PersistentFlags()
	flags.String("config", "", "a YAML file (PASSPORT_CONFIG)")
	flags.String("data", "", "the data folder (PASSPORT_DATA)")
	flags.Bool("dev", false, "development on this machine: needs no configuration at all")
	root.AddCommand(
		serveCommand(open), configCommand(), migrateCommand(), backupCommand(), restoreCommand(),
		clientCommand(open), accountCommand(open), invitationCommand(open), recoveryCommand(open), keysCommand(open),
		mailCommand(open), limitCommand(open), tokenCommand(open), performCommand(), devCommand(open),
	)
	strict(root)
	return root
}

// strict makes a group of commands refuse a word that is none of them.
func strict(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		strict(sub)
	}
	if !cmd.HasSubCommands() || cmd.Runnable() {
		return
	}
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			unknown := fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				unknown = fmt.Errorf("%w: did you mean %s?", unknown, strings.Join(near, " or "))
			}
			return &usageError{unknown}
		}
		return cmd.Help()
	}
}

// version is what the build was made of.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (v == "" || v == "(devel)") {
			v = s.Value
		}
	}
	if v == "" {
		v = "(devel)"
	}
	return v + " " + info.GoVersion
}

// load reads the configuration of a command.
func load(cmd *cobra.Command) (*config.Config, error) {
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return nil, err
	}
	dev, err := cmd.Flags().GetBool("dev")
	if err != nil {
		return nil, err
	}
	return config.Load(config.Sources{File: file, Environ: os.Environ(), Flags: cmd.Flags(), Dev: dev})
}

// open is the openFunc of the program.
func open(cmd *cobra.Command) (*app, error) {
	cfg, err := load(cmd)
	var faults config.Faults
	if errors.As(err, &faults) && !cmd.Flags().Changed("dev") {
		if _, here := os.Stat("passport-data"); here == nil {
			err = fmt.Errorf("%w\nFor the server of \"passport serve --dev\" in this folder, add --dev", err)
		}
	}
	if err != nil {
		return nil, err
	}
	if cfg.Dev && cmd.Name() != "serve" && cmd.Name() != "migrate" {
		// An empty database, made by the way in the wrong folder, would look like the right one without its clients.
		if _, err := os.Stat(cfg.Data); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no %s: start \"passport serve --dev\" first, or name its folder with --data", cfg.Data)
		}
	}
	if err := prepare(cfg); err != nil {
		return nil, err
	}
	return newApp(cmd.Context(), cfg, newLogger(cfg, cmd.ErrOrStderr()))
}

// newLogger writes one JSON line an event: with --dev too, so that what is tried there is what is run.
func newLogger(cfg *config.Config, to io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(to, &slog.HandlerOptions{Level: cfg.LogLevel}))
}
