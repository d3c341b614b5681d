package extauthz

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tollgate-authz/tollgate/authz"
	"github.com/tollgate-authz/tollgate/authz/deny"
	"github.com/tollgate-authz/tollgate/limiter"
)

// Metrics count decisions. Labels are bounded: codes and steps by the program,
// APIs and routes by the configuration.
type Metrics struct {
	decisions *prometheus.CounterVec
	steps     *prometheus.CounterVec
	seconds   prometheus.Histogram
	panics    prometheus.Counter
	passed    prometheus.Counter
	limits    map[limiter.Kind]*limitCounters

	// allowed holds the counters of routes that have allowed something, so that
	// the common case does not look one up by its labels.
	allowed sync.Map // *authz.Route to prometheus.Counter
}

// refusingSteps are the steps that can refuse; their series exist from the start.
var refusingSteps = append(authz.Steps[:len(authz.Steps):len(authz.Steps)], "read", "panic")

// NewMetrics registers the metrics of the Check service.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tollgate_decisions_total", Help: "Decisions by code (allow, or the R-code of the refusal), API and route.",
		}, []string{"code", "api", "route"}),
		steps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tollgate_refusals_total", Help: "Refusals by the step that refused.",
		}, []string{"step"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tollgate_decision_seconds", Help: "Time from the request read to the answer written.",
			Buckets: []float64{1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 5e-3, 2e-2, 1e-1},
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tollgate_panics_total", Help: "Decisions that ended in a panic and were refused.",
		}),
		passed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tollgate_passed_total", Help: "Requests that would have been refused but passed (enforce: false).",
		}),
	}
	r.MustRegister(m.decisions, m.steps, m.seconds, m.panics, m.passed)
	for _, step := range refusingSteps {
		m.steps.WithLabelValues(step)
	}
	m.countLimits(r)
	for _, reason := range deny.Reasons {
		m.decisions.WithLabelValues(reason.Code, "", "")
	}
	return m
}

// Observe implements Observer.
func (m *Metrics) Observe(_ *authz.Request, d *authz.Decision, took time.Duration) {
	m.seconds.Observe(took.Seconds())
	m.observeLimits(d)
	reason := d.Refusal()
	if reason == nil {
		m.allowedBy(d.Route).Inc()
		return
	}
	api, route := labels(d.Route)
	m.decisions.WithLabelValues(reason.Code, api, route).Inc()
	m.steps.WithLabelValues(d.Step).Inc()
	if d.Step == "panic" {
		m.panics.Inc()
	}
	if d.Passed {
		m.passed.Inc()
	}
}

// limitCounters are those of one kind of limit.
type limitCounters struct{ refused, near, shadowed prometheus.Counter }

func (m *Metrics) countLimits(r prometheus.Registerer) {
	vec := func(name, help string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"limit"})
		r.MustRegister(v)
		return v
	}
	refused := vec("tollgate_limit_refusals_total", "Requests that a limit refused, by limit. Several may refuse one request.")
	near := vec("tollgate_limit_near_total", "Requests that came while a limit was used beyond its plan's warn_at, by limit.")
	shadowed := vec("tollgate_shadow_refusals_total", "Requests that a limit of a plan in shadow would have refused, by limit.")
	m.limits = map[limiter.Kind]*limitCounters{}
	for _, kind := range limiter.Kinds {
		name := kind.String()
		m.limits[kind] = &limitCounters{refused.WithLabelValues(name), near.WithLabelValues(name), shadowed.WithLabelValues(name)}
	}
}

func (m *Metrics) observeLimits(d *authz.Decision) {
	for i := range d.Limits.Count {
		s := &d.Limits.Standings[i]
		near := s.IsNear()
		if !s.Refused && !near {
			continue
		}
		counters := m.limits[s.Kind]
		switch {
		case near && !s.Refused:
			counters.near.Inc()
		case s.InShadow():
			counters.shadowed.Inc()
		default:
			counters.refused.Inc()
		}
	}
}

func (m *Metrics) allowedBy(r *authz.Route) prometheus.Counter {
	if c, ok := m.allowed.Load(r); ok {
		return c.(prometheus.Counter)
	}
	api, route := labels(r)
	c := m.decisions.WithLabelValues("allow", api, route)
	m.allowed.Store(r, c)
	return c
}

// Forget drops what is remembered of routes, after a reload has replaced them.
func (m *Metrics) Forget() { m.allowed.Clear() }

func labels(r *authz.Route) (api, route string) {
	if r == nil {
		return "", ""
	}
	return r.API.Name, r.Label()
}
