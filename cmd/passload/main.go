package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// usageError is a wrong call that cobra does not notice by itself.
type usageError struct{ error }

// run is main with its surroundings given: 0 done, 1 failed, 2 called wrongly.
func run(args []string, stdout, stderr io.Writer) int {
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
		fmt.Fprintf(stderr, "passload: %v\nSee \"%s --help\".\n", err, cmd.CommandPath())
		return 2
	}
	fmt.Fprintf(stderr, "passload: %v\n", err)
	return 1
}

func rootCommand() *cobra.Command {
	o := &options{}
	long := `Put load on an OpenID provider and measure what it answers.

passload asks for the provider's discovery document and then does one scenario after the other:

`
	var names []string
	for _, s := range scenarios {
		long += fmt.Sprintf("  %-20s %s\n", s.name, s.about)
		names = append(names, s.name)
	}
	long += `
An operation counts only when each answer in it is right: status, state, nonce, iss, the ID token's signature and
claims, "active". Anything else is a failure, told by kind, and its time is in no percentile.

Without --rate each worker asks again as soon as it has its answer: that finds how much the server can do. What was
begun within --duration counts over that time, whenever it ends. With --rate so many operations a second are due
whatever the server does, and latency counts from when an operation was due: that is what people would see. Sign-ins
that a scenario needs before it can begin are neither timed nor counted; but with --rate, when each worker is busy, be
it with a sign-in, what is due waits, and that wait is in its latency.

People and the client must exist. Where pages ask for the password or for consent, passload fills them in: it knows
those of Passport and of node-oidc-provider's devInteractions (--pages). For others name fields and buttons, and with
--field what else their forms have to say: --field grant_scope=openid ticks that box.
Limits by network would be what you measure: at Passport, set limit_exempt to where passload runs from.

Load only what is yours. The status is 1 when a scenario has nothing right or more than --max-failed went wrong. Before
each an operation is tried alone: where that goes wrong, what was measured before is told, and no further scenario done.`
	cmd := &cobra.Command{
		Use:   "passload --issuer URL [flags] SCENARIO...",
		Short: "Put load on an OpenID provider and measure what it answers",
		Long:  long,
		Example: `  passload --issuer https://passport.example discovery jwks
  passload --issuer https://passport.example --client-id load --client-secret-file secret.txt \
      --username alice@example.com --password-file password.txt --duration 30s sso userinfo refresh
  passload --issuer https://passport.example --client-id load --client-secret-file secret.txt \
      --people people.txt --rate 50 --duration 5m --plot login.svg login
  passload --issuer http://localhost:3000 --pages oidc-provider --client-id load --client-secret-file secret.txt \
      --username anyone --password-file password.txt --json sso > peer.json
  passload compare peer=peer.json ours=ours.json

The client of these examples, at Passport:
  passport client create --client-id load --name Load --redirect-uri https://passload.invalid/callback \
      --grant-type authorization_code --grant-type refresh_token --grant-type client_credentials \
      --scope openid --scope offline_access`,
		Version:   version(),
		ValidArgs: names,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("name a scenario: " + strings.Join(names, ", "))
			}
			return nil
		},
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		SilenceErrors:     true,
		SilenceUsage:      true,
		RunE:              func(cmd *cobra.Command, args []string) error { return o.load(cmd, args) },
	}
	o.flags(cmd)
	cmd.AddCommand(compareCommand())
	return cmd
}

// version is what the build was made of.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version + " " + info.GoVersion
}

// load does the scenarios one after the other, and tells what was found out.
func (o *options) load(cmd *cobra.Command, names []string) error {
	list, err := o.read(cmd, names)
	if err != nil {
		return err
	}
	stop, undo := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer undo()
	first := newAgent(o)
	defer first.close()
	first.begin()
	p, err := discover(stop, first, o.issuer)
	if err != nil {
		return err
	}
	for _, s := range list { // all that is missing is told before anything begins
		if err := s.possible(o, p); err != nil {
			return &usageError{fmt.Errorf("%s: %w", s.name, err)}
		}
	}
	out := newReport(o, time.Now())
	for _, s := range list {
		if out.Interrupted = stop.Err() != nil; out.Interrupted {
			break
		}
		r, err := o.scenario(stop, cmd.ErrOrStderr(), p, s)
		if err != nil && len(out.Scenarios) > 0 { // what was measured is not lost with it
			out.Scenarios = append(out.Scenarios, r.result(s.name))
			return errors.Join(err, o.write(cmd.OutOrStdout(), out))
		}
		if err != nil {
			return err
		}
		out.Scenarios, out.Interrupted = append(out.Scenarios, r.result(s.name)), r.interrupts
	}
	undo() // a second signal, while we write, ends us
	return o.tell(cmd.OutOrStdout(), out)
}

// scenario tries one operation alone, so that what can never work says why at once, and then does the run. With an error goes what
// there is to tell: the failure.
func (o *options) scenario(stop context.Context, stderr io.Writer, p *provider, s scenario) (*recorder, error) {
	var workers []*worker
	for range o.plan.workers {
		w := newWorker(o, p)
		defer w.agent.close()
		workers = append(workers, w)
	}
	line := newProgress(stderr, o.quiet, s.name)
	defer line.end()
	line.show("trying one operation")
	if _, _, err := s.one(stop, workers[0]); err != nil && stop.Err() == nil {
		f, r := faultOf(err), newRecorder(o.plan)
		r.fail(f.kind, f.detail, 1)
		return r, fmt.Errorf("%s: the first operation, tried alone, went wrong: %w", s.name, f)
	}
	return o.plan.run(stop, s, workers, func(phase string, r *recorder) {
		ok, failed, p50, p99 := r.so()
		line.show(fmt.Sprintf("%s: %d done, %d failed, p50 %.2f ms, p99 %.2f ms", phase, ok, failed, ms(p50), ms(p99)))
	}), nil
}

// write prints what was found out, and then draws it: a picture that cannot be drawn costs nothing else.
func (o *options) write(stdout io.Writer, r *report) error {
	print := r.print
	if o.asJSON {
		print = func(w io.Writer) error { return printJSON(w, r) }
	}
	err := print(stdout)
	if o.plot == "" {
		return err
	}
	if e := os.WriteFile(o.plot, plot(r), plotMode); e != nil { //nolint:gosec // G306: a picture for anybody
		err = errors.Join(err, fmt.Errorf("write the plot: %w", e))
	}
	return err
}

// tell writes what was asked for, and judges it.
func (o *options) tell(stdout io.Writer, r *report) error {
	if err := o.write(stdout, r); err != nil {
		return err
	}
	for _, s := range r.Scenarios {
		if s.Operations == 0 || 100*s.share() > o.maxFailed {
			return fmt.Errorf("%s: %d operations were right, %d failed", s.Scenario, s.Operations, s.Failed)
		}
	}
	return nil
}
