package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/passport-network/passport/pkg/clock"
	"github.com/passport-network/passport/pkg/outbox"
)

// metrics is a registry of our own: what a library registers globally is not shown.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	jobs     *prometheus.CounterVec
	breaches *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "passport_http_request_duration_seconds", Help: "Requests answered, by route, method and status.",
			Buckets: []float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"route", "method", "status"}),
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "passport_outbox_attempts_total", Help: "Attempts at jobs (mails and others), by kind and outcome.",
		}, []string{"kind", "outcome"}),
		breaches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "passport_password_breach_checks_total", Help: "New passwords looked up in password_breach_check, by outcome (clean, breached, failed).",
		}, []string{"outcome"}),
	}
	m.registry.MustRegister(m.requests, m.jobs, m.breaches, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector())
	return m
}

// watch shows the clock's offset.
func (m *metrics) watch(c *clock.Clock) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "passport_clock_offset_seconds", Help: "What the local clock lacks to the database's.",
	}, func() float64 { return c.Offset().Seconds() }))
}

func (m *metrics) request(route, method string, status int, elapsed time.Duration) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions:
	default:
		method = "other" // a label that strangers choose would fill the memory
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Observe(elapsed.Seconds())
}

func (m *metrics) job(kind string, outcome outbox.Outcome) {
	m.jobs.WithLabelValues(kind, string(outcome)).Inc()
}

func (m *metrics) breach(outcome string) { m.breaches.WithLabelValues(outcome).Inc() }

// checkTime is the longest that a readiness check may take.
const checkTime = 1500 * time.Millisecond

// ready tells what keeps this server from answering, part by part; empty: nothing does.
func (a *app) ready(ctx context.Context) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	faults := map[string]string{}
	note := func(part string, err error) {
		if err != nil {
			faults[part] = err.Error()
		}
	}
	note("clock", a.clock.Ready())
	note("keys", a.ring.Ready())
	note("clients", a.clients.Ready())
	if err := a.store.Writable(ctx); err != nil {
		faults["database"] = "cannot be written"
	}
	return faults
}

// admin is what the admin listener answers. stopping: this server is about to end.
func (a *app) admin(stopping *atomic.Bool) http.Handler {
	mux := http.NewServeMux()
	// Alive means that the process answers: a database that is down is no reason to restart it.
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "alive")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		faults := map[string]string{"server": "is stopping"}
		if !stopping.Load() {
			faults = a.ready(r.Context())
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if len(faults) > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"ready": len(faults) == 0, "faults": faults})
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics.registry, promhttp.HandlerOpts{}))
	return mux
}
