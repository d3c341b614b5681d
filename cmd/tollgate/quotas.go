package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tollgate-authz/tollgate/authz"
	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// counterBytes is about what one limit of one subject takes in the book of quotas.
const counterBytes = 512

// openQuotas opens the book of the limits that a ledger keeps.
func (n *node) openQuotas(memory int64, registry *prometheus.Registry) (err error) {
	n.quotas, err = quota.NewBook(quota.Config{
		Ledger: n.store.Ledger(), Random: rand.Reader, Now: n.now, MaxCounters: int(memory * quotasShare / 100 / counterBytes),
		Observer: newQuotaMetrics(registry, n),
	})
	return err
}

// giveBack closes the book when nobody asks any more: what was leased and not spent is
// free again for whoever starts next.
func (n *node) giveBack() {
	ctx, cancel := context.WithTimeout(context.Background(), giveBackMost)
	defer cancel()
	if left := n.quotas.Close(ctx); left > 0 {
		n.log.Error("the ledger did not answer: what was leased and not spent is stranded", "leases", left)
	}
}

// giveBackMost is how long a stop waits for the ledger.
const giveBackMost = 2 * time.Second

// sweepLedger deletes what the ledger needs no longer, and looks for what is stranded.
func (n *node) sweepLedger(ctx context.Context) {
	if err := n.quotas.Ledger.Sweep(ctx); err != nil && ctx.Err() == nil {
		n.log.Error("sweep the ledger", "error", err)
	}
	stranded, err := n.store.Ledger().Stranded(ctx)
	if err != nil {
		if ctx.Err() == nil {
			n.log.Error("look for stranded leases", "error", err)
		}
		return
	}
	for _, kind := range ledgerKinds {
		n.metrics.stranded.WithLabelValues(kind.String()).Set(float64(stranded[kind]))
	}
}

// ledgerKinds are the kinds of limits that a ledger keeps.
var ledgerKinds = slices.DeleteFunc(slices.Clone(limiter.Kinds), func(k limiter.Kind) bool {
	return k == limiter.KindBurst || k == limiter.KindPerMinute
})

// quotaMetrics tell how the ledger does (quota.Observer).
type quotaMetrics struct {
	log     *slog.Logger
	now     func() time.Time
	moves   map[quota.Status]prometheus.Counter
	seconds prometheus.Histogram
	batch   prometheus.Histogram
	errors  prometheus.Counter
	waited  prometheus.Histogram
	waits   map[quota.Outcome]prometheus.Counter

	mu     sync.Mutex
	away   bool
	logged time.Time
}

func newQuotaMetrics(r *prometheus.Registry, n *node) *quotaMetrics {
	m := &quotaMetrics{
		log: n.log, now: n.now, moves: map[quota.Status]prometheus.Counter{}, waits: map[quota.Outcome]prometheus.Counter{},
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tollgate_ledger_seconds", Help: "Time in which the ledger answered a batch of moves.",
			Buckets: []float64{1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.5, 1},
		}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tollgate_ledger_batch_size", Help: "Moves in a batch.", Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128},
		}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{Name: "tollgate_ledger_errors_total", Help: "Batches that the ledger did not answer."}),
		waited: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tollgate_lease_wait_seconds", Help: "Time that requests waited for the ledger.",
			Buckets: []float64{1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 3e-2},
		}),
	}
	moves := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tollgate_ledger_moves_total", Help: "Moves by what became of them."}, []string{"status"})
	for status, name := range map[quota.Status]string{
		quota.Open: "open", quota.Closed: "closed", quota.Stale: "stale", quota.Over: "over", quota.Ahead: "ahead", quota.Old: "old",
	} {
		m.moves[status] = moves.WithLabelValues(name)
	}
	waits := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tollgate_lease_waits_total", Help: "Requests that waited for the ledger by result: granted, refused or timeout.",
	}, []string{"result"})
	for outcome, name := range map[quota.Outcome]string{quota.Granted: "granted", quota.Refused: "refused", quota.TimedOut: "timeout"} {
		m.waits[outcome] = waits.WithLabelValues(name)
	}
	r.MustRegister(m.seconds, m.batch, m.errors, m.waited, moves, waits, &heldUnits{n})
	return m
}

// Moved implements quota.Observer.
func (m *quotaMetrics) Moved(answers []quota.Answer, err error, took time.Duration) {
	m.seconds.Observe(took.Seconds())
	if err != nil {
		m.errors.Inc()
	}
	for i := range answers {
		if c := m.moves[answers[i].Status]; c != nil {
			c.Inc()
		}
	}
	if len(answers) > 0 {
		m.batch.Observe(float64(len(answers)))
	}
	m.logOutage(err)
}

// logOutage tells of a ledger that does not answer, once in ten seconds, and once that
// it does again.
func (m *quotaMetrics) logOutage(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch now := m.now(); {
	case err != nil && (!m.away || now.Sub(m.logged) >= 10*time.Second):
		m.logged = now
		m.log.Error("the ledger of quotas does not answer; what is leased is spent, then requests are refused", "error", err)
	case err == nil && m.away:
		m.log.Info("the ledger of quotas answers again")
	}
	m.away = err != nil
}

// Waited implements quota.Observer.
func (m *quotaMetrics) Waited(outcome quota.Outcome, took time.Duration) {
	m.waits[outcome].Inc()
	m.waited.Observe(took.Seconds())
}

// heldUnits tells what this process has leased.
type heldUnits struct{ n *node }

var (
	leasesOpen   = prometheus.NewDesc("tollgate_leases_open", "Limits of subjects that are counted here, each with a lease.", nil, nil)
	unitsHeld    = prometheus.NewDesc("tollgate_lease_units_held", "What is leased and not spent, by limit: requests, or money in millionths of the currency.", []string{"limit"}, nil)
	ledgerOffset = prometheus.NewDesc("tollgate_ledger_clock_offset_seconds", "How far the ledger's clock is ahead of this process's.", nil, nil)
)

// Describe implements prometheus.Collector.
func (h *heldUnits) Describe(ch chan<- *prometheus.Desc) {
	ch <- leasesOpen
	ch <- unitsHeld
	ch <- ledgerOffset
}

// Collect implements prometheus.Collector.
func (h *heldUnits) Collect(ch chan<- prometheus.Metric) {
	held := h.n.quotas.Held()
	for _, kind := range ledgerKinds {
		ch <- prometheus.MustNewConstMetric(unitsHeld, prometheus.GaugeValue, float64(held[kind]), kind.String())
	}
	ch <- prometheus.MustNewConstMetric(leasesOpen, prometheus.GaugeValue, float64(h.n.quotas.Counters()))
	ch <- prometheus.MustNewConstMetric(ledgerOffset, prometheus.GaugeValue, h.n.quotas.ClockOffset().Seconds())
}

// numberLimits makes the policy of a configuration, with the revisions of its limits:
// of two limits the one with the higher revision is in force in the ledger.
func (n *node) numberLimits(ctx context.Context, c *config.Config) (*authz.Policy, error) {
	revs, err := n.store.LimitRevisions(ctx, ledgerLimits(c))
	if err != nil {
		return nil, fmt.Errorf("number the limits of the plans: %w", err)
	}
	return newPolicy(c, revs)
}

// notifier tells operators that limits are nearly used up, or used up (row V4).
type notifier struct {
	log   *slog.Logger
	count *prometheus.CounterVec
}

func newNotifier(r *prometheus.Registry, log *slog.Logger) *notifier {
	count := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tollgate_limit_notices_total", Help: "Limits that were nearly used up (near: warn_at) or used up, once per window and subject.",
	}, []string{"limit", "level"})
	r.MustRegister(count)
	return &notifier{log, count}
}

func (n *notifier) notify(one authz.Notice) {
	n.count.WithLabelValues(one.Kind.String(), one.Level.String()).Inc()
	amount := func(n int64) any { return amountOf(one.Kind, n) }
	n.log.Info("limit "+one.Level.String(), "limit", one.Limit, "plan", one.Plan, "used", amount(one.Used), "of", amount(one.Most),
		"account", one.Account, "client", one.Client, "token_id", one.Token)
}
