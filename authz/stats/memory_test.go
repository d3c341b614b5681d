package stats_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/authz/stats"
	"github.com/tollgate-authz/tollgate/tokens/storetest"
)

// memory is a store for tests.
type memory struct {
	now func() time.Time

	mu     sync.Mutex
	seen   map[stats.ProcessID]seen
	added  []stats.Row // by ID
	merged map[mergedKey]stats.Row
	last   int64
}

type seen struct {
	number uint64
	at     time.Time
}

type mergedKey struct {
	resolution stats.Resolution
	account    string
	start      int64
}

func newMemory(now func() time.Time) *memory {
	return &memory{now: now, seen: map[stats.ProcessID]seen{}, merged: map[mergedKey]stats.Row{}}
}

func (m *memory) AddStats(ctx context.Context, b *stats.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil || m.seen[b.Process].number >= b.Number {
		return ctx.Err()
	}
	m.seen[b.Process] = seen{b.Number, m.now()}
	for _, r := range b.Rows {
		m.last++
		m.added = append(m.added, stats.Row{Account: r.Account, Start: r.Start, Data: bytes.Clone(r.Data), ID: m.last})
	}
	return nil
}

func (m *memory) ReadStats(_ context.Context, s *stats.Selection, each func(*stats.Row) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var rows []stats.Row
	for _, r := range m.merged {
		rows = append(rows, r)
	}
	for _, r := range append(rows, m.added...) {
		in := func(p stats.Span) bool {
			return p.Resolution == r.Resolution && p.From <= r.Start && r.Start < p.To
		}
		if (s.Account == nil || *s.Account == r.Account) && slices.ContainsFunc(s.Spans, in) {
			if err := each(&r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *memory) PendingStats(_ context.Context, from string, maxBytes int) (rows []stats.Row, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	first := ""
	for _, r := range m.added {
		if r.Account >= from && (len(rows) == 0 || strings.Compare(r.Account, first) < 0) {
			rows, first = []stats.Row{{}}, r.Account
		}
	}
	if len(rows) == 0 {
		return nil, nil
	}
	rows = nil
	size := 0
	for _, r := range m.added {
		if r.Account != first {
			continue
		}
		if size += len(r.Data); size > maxBytes && len(rows) > 0 {
			break
		}
		rows = append(rows, r)
	}
	return rows, nil
}

func (m *memory) MergeStats(_ context.Context, merge *stats.Merge) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range merge.Added {
		if !slices.ContainsFunc(m.added, func(r stats.Row) bool { return r.ID == id }) {
			return stats.ErrStale
		}
	}
	key := func(r *stats.Row) mergedKey { return mergedKey{r.Resolution, r.Account, r.Start} }
	for i := range merge.Rows {
		if m.merged[key(&merge.Rows[i])].Rev != merge.Rows[i].Rev {
			return stats.ErrStale
		}
	}
	for _, r := range merge.Rows {
		r.Rev++
		m.merged[key(&r)] = r
	}
	m.added = slices.DeleteFunc(m.added, func(r stats.Row) bool { return slices.Contains(merge.Added, r.ID) })
	return nil
}

func (m *memory) PruneStats(_ context.Context, resolution stats.Resolution, before time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, r := range m.merged {
		if r.Resolution == resolution && r.Start < before.Unix() {
			delete(m.merged, k)
		}
	}
	for p, s := range m.seen {
		if s.at.Before(m.now().Add(-stats.KeepProcesses)) {
			delete(m.seen, p)
		}
	}
	return nil
}

func TestMemoryIsAStore(t *testing.T) {
	t.Parallel()
	storetest.RunStats(t, func(_ *testing.T, now func() time.Time) stats.Store { return newMemory(now) })
}
