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
ratio of 2 is twice as many operations a second. Compare only what one machine did in one sitting. Rounds that were
interrupted, or in which nothing was right, do not count.

The status is 1 when a --target is missed, or cannot be told because nothing counts; the table is printed all the same.`,
		Example: `  passload compare before=before.json after=after.json
  passload compare peer=peer-1.json peer=peer-2.json ours=ours-1.json ours=ours-2.json --target sso=1.8 --markdown`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := readComparison(args, targets)
			if err != nil {
				return err
			}
			rows := c.rows()
			print := c.print
			switch {
			case asJSON:
				print = func(w io.Writer, rows []row) error { return printJSON(w, rows) }
			case markdown:
				print = c.markdown
			}
			if err := print(cmd.OutOrStdout(), rows); err != nil {
				return err
			}
			return missed(rows)
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
	targets map[string]float64             // by scenario, or name:scenario
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
			if r.Interrupted {
				s.Operations = 0 // it does not count
			}
			c.rounds[name][s.Scenario] = append(c.rounds[name][s.Scenario], s)
		}
	}
	for _, t := range targets {
		what, ratio, ok := strings.Cut(t, "=")
		v, err := strconv.ParseFloat(ratio, 64)
		if !ok || err != nil || v <= 0 {
			return nil, &usageError{fmt.Errorf("--target: %q is not scenario=ratio", t)}
		}
		if !c.judges(what) {
			return nil, &usageError{fmt.Errorf("--target: %q names no scenario, or none that is compared to %s", t, c.names[0])}
		}
		c.targets[what] = v
	}
	return c, nil
}

// judges tells whether a target, scenario or name:scenario, is of something that has a ratio.
func (c *comparison) judges(what string) bool {
	others := c.names[1:]
	i := strings.LastIndex(what, ":")
	_, known := scenarioNamed(what[i+1:])
	return known && len(others) > 0 && (i < 0 || slices.Contains(others, what[:i]))
}

// row is one server at one scenario: medians over the rounds.
type row struct {
	Scenario  string  `json:"scenario"`
	Name      string  `json:"name"`
	Rounds    int     `json:"rounds"`      // that count
	Made      int     `json:"rounds_made"` // and those that do not
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
		var base row
		for i, name := range c.names {
			r := summed(s.name, name, c.rounds[name][s.name])
			if i == 0 {
				base = r
			} else {
				r.judge(base, c.targets)
			}
			if r.Made > 0 || r.Reached != nil { // a target where there is nothing is missed too
				all = append(all, r)
			}
		}
	}
	return all
}

// summed is the row of some rounds; failures are told of those too that do not count.
func summed(scenario, name string, rounds []result) row {
	r := row{Scenario: scenario, Name: name, Made: len(rounds)}
	var count []result
	for _, x := range rounds {
		r.Failed += x.Failed
		if x.Operations > 0 {
			count = append(count, x)
		}
	}
	r.Rounds = len(count)
	r.PerSecond, r.Lowest, r.Highest = spread(count, func(x result) float64 { return x.PerSecond })
	r.P50, _, _ = spread(count, func(x result) float64 { return x.Latency.P50 })
	r.P99, _, _ = spread(count, func(x result) float64 { return x.Latency.P99 })
	return r
}

// judge: a run with failures reaches nothing, nor does anything beside a base that has nothing, or failures.
func (r *row) judge(base row, targets map[string]float64) {
	if base.PerSecond > 0 {
		r.Ratio = r.PerSecond / base.PerSecond
	}
	t, ok := targets[r.Name+":"+r.Scenario]
	if !ok {
		t, ok = targets[r.Scenario]
	}
	if !ok {
		return
	}
	reached := r.Ratio >= t && r.Failed == 0 && base.Failed == 0
	r.Target, r.Reached = t, &reached
}

// missed names the targets that were not reached.
func missed(rows []row) error {
	var all []error
	for _, r := range rows {
		switch {
		case r.Reached == nil || *r.Reached:
		case r.Ratio == 0:
			all = append(all, fmt.Errorf("%s: %s has no ratio, and should have %g", r.Scenario, r.Name, r.Target))
		default:
			all = append(all, fmt.Errorf("%s: %s has %.3f, %d failed, and should have %g", r.Scenario, r.Name, r.Ratio, r.Failed, r.Target))
		}
	}
	return errors.Join(all...)
}

// spread gives median, lowest and highest; 0 of none.
func spread(rounds []result, of func(result) float64) (median, lowest, highest float64) {
	var v []float64
	for _, r := range rounds {
		v = append(v, of(r))
	}
	n := len(v)
	if n == 0 {
		return 0, 0, 0
	}
	slices.Sort(v)
	return (v[(n-1)/2] + v[n/2]) / 2, v[0], v[n-1]
}

func (r *row) cells() []string {
	ratio, target, rounds := "", "", strconv.Itoa(r.Rounds)
	if r.Rounds < r.Made {
		rounds = fmt.Sprintf("%d of %d", r.Rounds, r.Made)
	}
	if r.Ratio > 0 {
		ratio = fmt.Sprintf("%.2f", r.Ratio)
	}
	if r.Reached != nil {
		target = fmt.Sprintf("≥ %g: %s", r.Target, map[bool]string{true: "yes", false: "NO"}[*r.Reached])
	}
	return []string{r.Scenario, r.Name, fmt.Sprintf("%.0f", r.PerSecond), fmt.Sprintf("%.0f–%.0f", r.Lowest, r.Highest), rounds,
		strconv.FormatUint(r.Failed, 10), fmt.Sprintf("%.2f", r.P50), fmt.Sprintf("%.2f", r.P99), ratio, target}
}

func (c *comparison) head() []string {
	return []string{"scenario", "server", "per second", "from–to", "rounds", "failed", "p50 ms", "p99 ms", "ratio to " + c.names[0], "target"}
}

var errNothing = errors.New("the files hold no scenario")

func (c *comparison) print(w io.Writer, rows []row) error {
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

func (c *comparison) markdown(w io.Writer, rows []row) error {
	if len(rows) == 0 {
		return errNothing
	}
	fmt.Fprintf(w, "| %s |\n|---|---|--:|--:|--:|--:|--:|--:|--:|---|\n", strings.Join(c.head(), " | "))
	for _, r := range rows {
		if _, err := fmt.Fprintf(w, "| %s |\n", strings.Join(r.cells(), " | ")); err != nil {
			return err
		}
	}
	return nil
}
