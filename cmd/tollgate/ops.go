package main

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tollgate-authz/tollgate/authz/extauthz"
	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/tokens"
	"github.com/tollgate-authz/tollgate/tokens/endpoint"
)

// nodeMetrics are the metrics that no other package owns.
type nodeMetrics struct {
	decisions *extauthz.Metrics
	reloads   *prometheus.CounterVec
	tokens    *prometheus.CounterVec
	issuing   prometheus.Histogram
	managed   *prometheus.CounterVec
	stranded  *prometheus.GaugeVec
}

func newNodeMetrics(r *prometheus.Registry, n *node) *nodeMetrics {
	m := &nodeMetrics{
		decisions: extauthz.NewMetrics(r),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tollgate_config_reloads_total", Help: "Reloads of the configuration by result: ok or refused.",
		}, []string{"result"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tollgate_token_requests_total", Help: "Requests of the HTTP service by endpoint and code (ok, or the R-code).",
		}, []string{"endpoint", "code"}),
		issuing: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tollgate_token_request_seconds", Help: "Time to answer a request of the HTTP service.",
			Buckets: []float64{1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 5e-2, 0.1, 0.5, 1},
		}),
	}
	m.managed = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tollgate_management_requests_total", Help: "Requests of the management API by operation and class of status (2xx, 4xx, 5xx).",
	}, []string{"operation", "status"})
	r.MustRegister(m.managed)
	m.stranded = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "tollgate_lease_units_stranded", Help: "What processes have leased that died or cannot reach the ledger, by limit: requests, or money in millionths of the currency. Looked at every minute.",
	}, []string{"limit"})
	for _, kind := range ledgerKinds {
		m.stranded.WithLabelValues(kind.String())
	}
	m.reloads.WithLabelValues("ok")
	m.reloads.WithLabelValues("refused")
	r.MustRegister(m.reloads, m.tokens, m.issuing, m.stranded, &keyAges{n}, &introspections{n})
	gauge := func(name, help string, f func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
	}
	counter := func(name, help string, f func() float64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, f))
	}
	counter("tollgate_token_cache_hits_total", "Tokens found verified.", func() float64 { return float64(n.cache.Hits()) })
	counter("tollgate_token_cache_misses_total", "Tokens that had to be verified.", func() float64 { return float64(n.cache.Misses()) })
	counter("tollgate_token_cache_evicted_total", "Tokens that left for others: many mean that limits.max_memory is too small.", func() float64 { return float64(n.cache.Evicted()) })
	for name, table := range map[string]*limiter.Table{"tokens": n.limits, "clients": n.clients, "failures": n.failures} {
		of := prometheus.Labels{"table": name}
		r.MustRegister(
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tollgate_limiter_entries", Help: "Counters in a table of the limiter.", ConstLabels: of}, func() float64 { return float64(table.Len()) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tollgate_limiter_bytes", Help: "Memory of a table of the limiter.", ConstLabels: of}, func() float64 { return float64(table.Bytes()) }),
			prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "tollgate_limiter_full_total", Help: "Requests that found a table full of active counters.", ConstLabels: of}, func() float64 { return float64(table.Full()) }),
		)
	}
	gauge("tollgate_clients", "Clients known.", func() float64 { return float64(n.registry.Len()) })
	gauge("tollgate_api_keys", "API keys known.", func() float64 { return float64(n.registry.APIKeys()) })
	gauge("tollgate_recorded_tokens", "Access tokens that must be known: opaque ones, and JWTs that were revoked.", func() float64 { return float64(n.registry.Grants()) })
	gauge("tollgate_feed_age_seconds", "How long ago the store was last followed.", func() float64 { return n.registry.Age(n.now()).Seconds() })
	return m
}

// observeEndpoint counts and logs what the token endpoint answered. A refusal is
// one line, our own fault an error.
func (n *node) observeEndpoint(e endpoint.Event) {
	n.metrics.tokens.WithLabelValues(e.Endpoint, e.Code).Inc()
	n.metrics.issuing.Observe(e.Duration.Seconds())
	attrs := []any{"endpoint", e.Endpoint, "code", e.Code, "status", e.Status, "cause", e.Cause, "client", e.Client, "source", e.Source, "took_us", e.Duration.Microseconds()}
	switch {
	case e.Err != nil:
		n.log.Error("token request failed", append(attrs, "error", e.Err)...)
	case e.Code != "ok":
		n.log.Info("token request refused", attrs...)
	}
}

// keyAges tells how old the key set of each remote issuer is. Issuers are named
// by the configuration, so the label is bounded.
type keyAges struct{ n *node }

var keyAge = prometheus.NewDesc("tollgate_jwks_age_seconds", "Time since the issuer last confirmed its key set.", []string{"issuer"}, nil)

func (k *keyAges) Describe(ch chan<- *prometheus.Desc) { ch <- keyAge }

func (k *keyAges) Collect(ch chan<- prometheus.Metric) {
	k.n.issuers.each(func(r *tokens.RemoteKeys) {
		if r.Loaded() {
			ch <- prometheus.MustNewConstMetric(keyAge, prometheus.GaugeValue, r.Age(k.n.now()).Seconds(), r.Issuer)
		}
	})
}

// introspections counts what issuers were asked about tokens.
type introspections struct{ n *node }

var (
	introspectionCalls    = prometheus.NewDesc("tollgate_introspection_calls_total", "Questions to an issuer about a token.", []string{"issuer"}, nil)
	introspectionFailures = prometheus.NewDesc("tollgate_introspection_failures_total", "Questions that brought no answer: 503 R0.", []string{"issuer"}, nil)
	introspectionHits     = prometheus.NewDesc("tollgate_introspection_hits_total", "Tokens about which the answer was remembered.", []string{"issuer"}, nil)
)

func (i *introspections) Describe(ch chan<- *prometheus.Desc) {
	ch <- introspectionCalls
	ch <- introspectionFailures
	ch <- introspectionHits
}

func (i *introspections) Collect(ch chan<- prometheus.Metric) {
	i.n.issuers.eachAsked(func(a *tokens.Introspector) {
		for desc, count := range map[*prometheus.Desc]uint64{introspectionCalls: a.Calls(), introspectionFailures: a.Failures(), introspectionHits: a.Hits()} {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(count), a.Trust.Issuer)
		}
	})
}

// opsHandler serves /metrics, /healthz (the process lives) and /readyz (it can
// decide about every token it is to accept).
func (n *node) opsHandler(registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if missing := n.issuers.notReady(); len(missing) > 0 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = fmt.Fprintln(w, strings.Join(missing, "\n"))
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	})
	return mux
}
