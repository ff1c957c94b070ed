package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// withApp is the RunE of a subcommand that needs the app: it opens it, runs fn, and closes it.
func withApp(open openFunc, fn func(cmd *cobra.Command, a *app, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) (err error) {
		a, err := open(cmd)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, a.close()) }()
		return fn(cmd, a, args)
	}
}

// jsonFlag adds --json, which every subcommand that prints has.
func jsonFlag(cmd *cobra.Command, on *bool) {
	cmd.Flags().BoolVar(on, "json", false, "print JSON")
}

// printTable prints a header (tab-separated) and the lines that body writes (tab-separated too).
func printTable(w io.Writer, header string, body func(w io.Writer)) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, header)
	body(t)
	return t.Flush()
}

// moment is a time in a table; none is a dash.
func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.DateTime) + "Z"
}
