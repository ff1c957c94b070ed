package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// compareCommand is `passload compare`: what several runs come to.
func compareCommand() *cobra.Command {
	var asJSON, markdown bool
	var targets []string
	cmd := &cobra.Command{
		Use:   "compare NAME=FILE...",
		Short: "Compare servers by the JSON of their runs",
		Long: `Compare servers by the JSON of their runs.

Several files under one name are rounds: their median counts. The first name is what the others are compared to: a
ratio of 2 is twice as many operations a second. Compare only what one machine did in one sitting.`,
		Example: `  passload compare before=before.json after=after.json
  passload compare peer=peer-1.json peer=peer-2.json ours=ours-1.json ours=ours-2.json --target sso=1.8 --markdown`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := readComparison(args, targets)
			switch {
			case err != nil:
				return err
			case asJSON:
				return printJSON(cmd.OutOrStdout(), c.rows())
			case markdown:
				return c.markdown(cmd.OutOrStdout())
			}
			return c.print(cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&targets, "target", nil, "the ratio to be reached, scenario=ratio or name:scenario=ratio (repeatable)")
	f.BoolVar(&markdown, "markdown", false, "print a table for a document")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	cmd.MarkFlagsMutuallyExclusive("markdown", "json")
	return cmd
}

// comparison is all rounds of all names.
type comparison struct {
	names   []string                       // in the order of the command line; the first is the base
	rounds  map[string]map[string][]result // by name and scenario
	targets map[string]float64
}

func readComparison(args, targets []string) (*comparison, error) {
	c := &comparison{rounds: map[string]map[string][]result{}, targets: map[string]float64{}}
	for _, arg := range args {
		name, file, ok := strings.Cut(arg, "=")
		if !ok || name == "" || file == "" {
			return nil, &usageError{fmt.Errorf("%q is not NAME=FILE", arg)}
		}
		b, err := os.ReadFile(file) //nolint:gosec // G304: the caller's own
		if err != nil {
			return nil, err
		}
		var r report
		if err := json.Unmarshal(b, &r); err != nil {
			return nil, fmt.Errorf("%s is not what passload --json prints: %w", file, err)
		}
		if c.rounds[name] == nil {
			c.names, c.rounds[name] = append(c.names, name), map[string][]result{}
		}
		for _, s := range r.Scenarios {
			c.rounds[name][s.Scenario] = append(c.rounds[name][s.Scenario], s)
		}
	}
	for _, t := range targets {
		what, ratio, ok := strings.Cut(t, "=")
		v, err := strconv.ParseFloat(ratio, 64)
		if !ok || err != nil || v <= 0 {
			return nil, &usageError{fmt.Errorf("--target: %q is not scenario=ratio", t)}
		}
		c.targets[what] = v
	}
	return c, nil
}

// row is one server at one scenario: medians over the rounds.
type row struct {
	Scenario  string  `json:"scenario"`
	Name      string  `json:"name"`
	Rounds    int     `json:"rounds"`
	PerSecond float64 `json:"operations_per_second"`
	Lowest    float64 `json:"lowest"` // of the rounds
	Highest   float64 `json:"highest"`
	Failed    uint64  `json:"failed"` // in all rounds
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	Ratio     float64 `json:"ratio,omitempty"`  // to the base; none: the base has nothing
	Target    float64 `json:"target,omitempty"` // what the ratio should be
	Reached   *bool   `json:"reached,omitempty"`
}

func (c *comparison) rows() (all []row) {
	for _, s := range scenarios {
		base := 0.0
		for i, name := range c.names {
			rounds := c.rounds[name][s.name]
			if len(rounds) == 0 {
				continue
			}
			r := row{Scenario: s.name, Name: name, Rounds: len(rounds)}
			r.PerSecond, r.Lowest, r.Highest = spread(rounds, func(x result) float64 { return x.PerSecond })
			r.P50, _, _ = spread(rounds, func(x result) float64 { return x.Latency.P50 })
			r.P99, _, _ = spread(rounds, func(x result) float64 { return x.Latency.P99 })
			for _, x := range rounds {
				r.Failed += x.Failed
			}
			if i == 0 {
				base = r.PerSecond
			} else if base > 0 {
				r.Ratio = r.PerSecond / base
				r.judge(c.targets)
			}
			all = append(all, r)
		}
	}
	return all
}

// judge: a run with failures reaches nothing.
func (r *row) judge(targets map[string]float64) {
	t, ok := targets[r.Name+":"+r.Scenario]
	if !ok {
		t, ok = targets[r.Scenario]
	}
	if !ok {
		return
	}
	reached := r.Ratio >= t && r.Failed == 0
	r.Target, r.Reached = t, &reached
}

// spread gives median, lowest and highest.
func spread(rounds []result, of func(result) float64) (median, lowest, highest float64) {
	var v []float64
	for _, r := range rounds {
		v = append(v, of(r))
	}
	slices.Sort(v)
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2, v[0], v[n-1]
}

func (r *row) cells() []string {
	ratio, target := "", ""
	if r.Ratio > 0 {
		ratio = fmt.Sprintf("%.2f", r.Ratio)
	}
	if r.Reached != nil {
		target = fmt.Sprintf("≥ %g: %s", r.Target, map[bool]string{true: "yes", false: "NO"}[*r.Reached])
	}
	return []string{r.Scenario, r.Name, fmt.Sprintf("%.0f", r.PerSecond), fmt.Sprintf("%.0f–%.0f", r.Lowest, r.Highest),
		strconv.FormatUint(r.Failed, 10), fmt.Sprintf("%.2f", r.P50), fmt.Sprintf("%.2f", r.P99), ratio, target}
}

func (c *comparison) head() []string {
	return []string{"scenario", "server", "per second", "rounds", "failed", "p50 ms", "p99 ms", "ratio to " + c.names[0], "target"}
}

var errNothing = errors.New("the files hold no scenario")

func (c *comparison) print(w io.Writer) error {
	rows := c.rows()
	if len(rows) == 0 {
		return errNothing
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(c.head(), "\t"))
	for _, r := range rows {
		fmt.Fprintln(t, strings.Join(r.cells(), "\t"))
	}
	return t.Flush()
}

func (c *comparison) markdown(w io.Writer) error {
	rows := c.rows()
	if len(rows) == 0 {
		return errNothing
	}
	fmt.Fprintf(w, "| %s |\n|---|---|--:|--:|--:|--:|--:|--:|---|\n", strings.Join(c.head(), " | "))
	for _, r := range rows {
		if _, err := fmt.Fprintf(w, "| %s |\n", strings.Join(r.cells(), " | ")); err != nil {
			return err
		}
	}
	return nil
}
