package main

import (
	"context"
	"crypto/rand"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tollgate-authz/tollgate/authz/stats"
	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
)

// What one series may take of limits.max_memory, at most: with 256 MiB there is room for
// 65,536 between two flushes.
const (
	statsMemory = 4096
	statsMost   = 200_000
)

// openStats opens the book in which decisions are counted.
func (n *node) openStats(memory int64, registry *prometheus.Registry) (err error) {
	m := newStatsMetrics(registry, n)
	n.stats, err = stats.NewBook(stats.Config{
		Store: n.store, Random: rand.Reader, Now: n.now, MaxSeries: int(min(memory/statsMemory, statsMost)), Flushed: m.flushed,
	})
	return err
}

// runStats stores what is counted until ctx ends, and what is left then.
func (n *node) runStats(ctx context.Context) {
	if err := n.stats.Run(ctx); err != nil {
		n.log.Error("the statistics of the last seconds are lost", "series", n.stats.Series(), "error", err)
	}
}

// tendStats merges what was counted, and deletes what is old.
func (n *node) tendStats(ctx context.Context) {
	if _, err := stats.Compact(ctx, n.store); err != nil && ctx.Err() == nil {
		n.log.Error("merge statistics", "error", err)
	}
	if err := stats.Prune(ctx, n.store, keepStats(n.config.Load()), n.now()); err != nil && ctx.Err() == nil {
		n.log.Error("delete old statistics", "error", err)
	}
}

func keepStats(c *config.Config) stats.Keep {
	return stats.Keep{Minutes: c.Stats.KeepMinutes, Hours: c.Stats.KeepHours, Days: c.Stats.KeepDays}
}

// statsMetrics tell how the counting does.
type statsMetrics struct {
	log     *slog.Logger
	seconds prometheus.Histogram
	errors  prometheus.Counter
	now     func() time.Time
	away    bool      // only one flush runs at a time
	logged  time.Time // likewise
}

func newStatsMetrics(r *prometheus.Registry, n *node) *statsMetrics {
	m := &statsMetrics{
		log: n.log, now: n.now,
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tollgate_stats_flush_seconds", Help: "Time in which what was counted was stored.",
			Buckets: []float64{1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1, 5},
		}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{Name: "tollgate_stats_flush_errors_total", Help: "Times that what was counted could not be stored; it is kept, and tried again."}),
	}
	r.MustRegister(m.seconds, m.errors,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tollgate_stats_series", Help: "Series that were counted and not stored yet."}, func() float64 { return float64(n.stats.Series()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "tollgate_stats_folded_total", Help: "Requests whose token, client or route was counted as (others), because there was no room."}, func() float64 { return float64(n.stats.Folded()) }),
	)
	return m
}

// flushed tells of a store that is away once in ten seconds, and once that it is back.
func (m *statsMetrics) flushed(_ int, took time.Duration, err error) {
	m.seconds.Observe(took.Seconds())
	switch now := m.now(); {
	case err != nil:
		m.errors.Inc()
		if !m.away || now.Sub(m.logged) >= 10*time.Second {
			m.logged = now
			m.log.Error("statistics cannot be stored; counting goes on in memory", "error", err)
		}
	case m.away:
		m.log.Info("statistics are stored again")
	}
	m.away = err != nil
}
