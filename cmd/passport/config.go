package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/passport-network/passport/pkg/config"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check or show the configuration",
		Long:  "Check or show what the configuration file, the environment and the flags come to. It touches no database.",
	}
	cmd.PersistentFlags().Bool("json", false, "answer in JSON")
	cmd.AddCommand(
		&cobra.Command{
			Use: "check", Short: "Tell everything that is wrong, at once", Args: cobra.NoArgs,
			Example: "  passport config check --config /etc/passport.yaml",
			RunE:    checkConfig,
		},
		&cobra.Command{
			Use: "print", Short: "Show every key with the value that holds; secrets are hidden", Args: cobra.NoArgs,
			Example: "  passport config print --json",
			RunE:    printConfig,
		},
	)
	return cmd
}

func checkConfig(cmd *cobra.Command, _ []string) error {
	_, err := load(cmd)
	asJSON, _ := cmd.Flags().GetBool("json")
	var faults config.Faults
	if err != nil && !errors.As(err, &faults) {
		return err
	}
	if asJSON {
		answer := struct {
			OK     bool     `json:"ok"`
			Faults []string `json:"faults"`
		}{err == nil, append([]string{}, faults...)}
		return errors.Join(writeJSON(cmd.OutOrStdout(), answer), err)
	}
	if err == nil {
		fmt.Fprintln(cmd.OutOrStdout(), "The configuration is good.")
	}
	return err
}

func printConfig(cmd *cobra.Command, _ []string) error {
	cfg, err := load(cmd)
	if err != nil {
		return err
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return writeJSON(cmd.OutOrStdout(), cfg.Values())
	}
	return printTable(cmd.OutOrStdout(), "KEY\tVALUE", func(w io.Writer) {
		for _, v := range cfg.Values() {
			shown := fmt.Sprint(v.Value)
			if list, ok := v.Value.([]string); ok {
				shown = strings.Join(list, ", ")
			}
			fmt.Fprintf(w, "%s\t%s\n", v.Key, shown)
		}
	})
}

func writeJSON(to io.Writer, v any) error {
	e := json.NewEncoder(to)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
