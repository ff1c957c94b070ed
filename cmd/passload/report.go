package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what a run of the program found out. The JSON names are a promise.
type report struct {
	Issuer      string    `json:"issuer"`
	At          time.Time `json:"at"`
	Machine     machine   `json:"machine"` // of the generator
	Workers     int       `json:"workers"`
	Rate        float64   `json:"rate,omitempty"` // asked for; none: closed loop
	Duration    float64   `json:"duration_seconds"`
	WarmUp      float64   `json:"warm_up_seconds"`
	Count       int64     `json:"count,omitempty"`
	Interrupted bool      `json:"interrupted"`
	Scenarios   []result  `json:"scenarios"`
}

type machine struct {
	OS   string `json:"os"`
	Arch string `json:"arch"`
	CPUs int    `json:"cpus"`
}

// result is one scenario's. Latencies are of the operations that were right, in milliseconds.
type result struct {
	Scenario   string       `json:"scenario"`
	Operations uint64       `json:"operations"` // right ones
	Failed     uint64       `json:"failed"`
	Seconds    float64      `json:"seconds"`
	PerSecond  float64      `json:"operations_per_second"`
	Requests   int64        `json:"http_requests"`
	Latency    latency      `json:"latency_ms"`
	Behind     float64      `json:"behind_ms,omitempty"` // open loop: the most that an operation began after it was due
	Failures   []*failure   `json:"failures,omitempty"`
	Series     []point      `json:"series"`
	Spectrum   [][2]float64 `json:"spectrum"` // share of operations, latency
}

type latency struct {
	Min  float64 `json:"min"`
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

// point is a piece of the run, by when its operations ended. Those that ended after it was over are in none.
type point struct {
	From      float64 `json:"from_seconds"`
	PerSecond float64 `json:"operations_per_second"`
	Failed    uint64  `json:"failed"`
	P50       float64 `json:"p50"`
	P95       float64 `json:"p95"`
	P99       float64 `json:"p99"`
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// spectrum are the shares that are kept.
var spectrum = []float64{0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.965, 0.98, 0.99,
	0.9925, 0.995, 0.9965, 0.998, 0.999, 0.9995, 0.9998, 0.9999, 1}

func newReport(o *options, at time.Time) *report {
	return &report{
		Issuer: o.issuer, At: at.UTC().Truncate(time.Second), Machine: machine{runtime.GOOS, runtime.GOARCH, runtime.NumCPU()},
		Workers: o.plan.workers, Rate: o.plan.rate, Duration: o.plan.duration.Seconds(), WarmUp: o.plan.warmUp.Seconds(), Count: o.plan.count,
		Scenarios: []result{},
	}
}

// result is what the recorder has, when all is over.
func (r *recorder) result(name string) result {
	h := &r.all
	out := result{
		Scenario: name, Operations: h.n, Failed: r.failed, Seconds: r.elapsed.Seconds(), Requests: r.requests, Behind: ms(r.behind),
		Latency: latency{ms(h.min), ms(h.mean()), ms(h.at(0.5)), ms(h.at(0.9)), ms(h.at(0.95)), ms(h.at(0.99)), ms(h.at(0.999)), ms(h.max)},
		Series:  []point{}, Spectrum: [][2]float64{},
	}
	if out.Seconds > 0 {
		out.PerSecond = float64(h.n) / out.Seconds
	}
	for _, f := range r.failures {
		out.Failures = append(out.Failures, f)
	}
	slices.SortFunc(out.Failures, func(a, b *failure) int {
		if a.Count != b.Count {
			return int(min(max(int64(b.Count)-int64(a.Count), -1), 1))
		}
		return strings.Compare(a.Kind, b.Kind)
	})
	for i := range r.slots {
		m, from := &r.slots[i], time.Duration(i)*r.slot
		long := min(r.slot, r.elapsed-from).Seconds()
		if long <= 0 {
			continue
		}
		out.Series = append(out.Series, point{from.Seconds(), float64(m.n) / long, m.failed, ms(m.at(0.5)), ms(m.at(0.95)), ms(m.at(0.99))})
	}
	if h.n > 0 {
		for _, q := range spectrum {
			out.Spectrum = append(out.Spectrum, [2]float64{q, ms(h.at(q))})
		}
	}
	return out
}

// share is how much of a scenario failed, 0 to 1.
func (r *result) share() float64 {
	if all := r.Operations + r.Failed; all > 0 {
		return float64(r.Failed) / float64(all)
	}
	return 1 // nothing was done: nothing is shown to work
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// print writes the table, and the failures by kind beneath it.
func (r *report) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "scenario\tper second\tdone\tfailed\tp50 ms\tp95 ms\tp99 ms\tmax ms\t")
	for _, s := range r.Scenarios {
		fmt.Fprintf(t, "%s\t%.1f\t%d\t%d\t%.2f\t%.2f\t%.2f\t%.2f\t\n", s.Scenario, s.PerSecond, s.Operations, s.Failed,
			s.Latency.P50, s.Latency.P95, s.Latency.P99, s.Latency.Max)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, s := range r.Scenarios {
		for _, f := range s.Failures {
			line := fmt.Sprintf("%s: %d × %s", s.Scenario, f.Count, f.Kind)
			if f.Example != "" {
				line += " (the first: " + f.Example + ")"
			}
			fmt.Fprintln(w, line)
		}
		if r.Rate > 0 && s.PerSecond < 0.98*r.Rate && !r.Interrupted {
			fmt.Fprintf(w, "%s: %.1f a second were asked for, %.1f were right\n", s.Scenario, r.Rate, s.PerSecond)
		}
	}
	if r.Interrupted {
		fmt.Fprintln(w, "interrupted: this is what there was until then")
	}
	return nil
}
