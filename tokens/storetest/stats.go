package storetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/authz/stats"
)

// statsWorld is an empty store of statistics and the time that it goes by.
type statsWorld struct {
	stats.Store
	now time.Time
}

// RunStats runs the suite of what package stats relies on; Run has it too.
func RunStats(t *testing.T, open func(t *testing.T, now func() time.Time) stats.Store) {
	for name, test := range map[string]func(*testing.T, *statsWorld){
		"O5: a batch is stored once":                    batchOnce,
		"O5: of a batch that was cut off there is none": batchCutOff,
		"O5: rows are selected":                         rowsSelected,
		"O5: rows to be merged are told by account":     rowsPending,
		"O5: a merge replaces what went into it":        mergeReplaces,
		"O5: a merge of what is gone changes nothing":   mergeStale,
		"O5: one of many merges is done":                mergesAtOnce,
		"O5: rows are pruned by resolution":             statsPruned,
		"O5: a process is known for a while":            processesPruned,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &statsWorld{now: Epoch}
			w.Store = open(t, func() time.Time { return w.now })
			test(t, w)
		})
	}
}

var minuteOf = Epoch.Truncate(time.Minute).Unix()

func added(account string, minute int64, data string) stats.Row {
	return stats.Row{Account: account, Start: minuteOf + 60*minute, Data: []byte(data)}
}

// batch stores rows as the next of a process.
func batch(t *testing.T, s stats.Store, process byte, number uint64, rows ...stats.Row) {
	t.Helper()
	do(t, s.AddStats(t.Context(), &stats.Batch{Process: stats.ProcessID{process}, Number: number, Rows: rows}))
}

var everything = []stats.Span{
	{Resolution: stats.Added, From: 0, To: 1 << 40}, {Resolution: stats.Minute, From: 0, To: 1 << 40},
	{Resolution: stats.Hour, From: 0, To: 1 << 40}, {Resolution: stats.Day, From: 0, To: 1 << 40},
}

// selected are rows in an order of their own, without IDs; merged ones come first.
func selected(t *testing.T, s stats.Store, account *string, spans ...stats.Span) (texts []string) {
	t.Helper()
	merged := true
	do(t, s.ReadStats(t.Context(), &stats.Selection{Account: account, Spans: spans}, func(r *stats.Row) error {
		if merged = merged && r.Resolution != stats.Added; !merged && r.Resolution != stats.Added {
			t.Error("a merged row after one that is not")
		}
		texts = append(texts, fmt.Sprintf("%s %q %d r%d %q", r.Resolution, r.Account, (r.Start-minuteOf)/60, r.Rev, r.Data))
		return nil
	}))
	slices.Sort(texts)
	return texts
}

func batchOnce(t *testing.T, s *statsWorld) {
	odd := "\x00\xff'; --"
	batch(t, s, 1, 1, added("acme", 0, "a"), added("", 0, odd))
	batch(t, s, 1, 1, added("acme", 0, "a"), added("", 0, odd)) // the answer was lost
	batch(t, s, 2, 1, added("acme", 0, "b"))                    // another process
	batch(t, s, 1, 2, added("acme", 0, ""))
	batch(t, s, 1, 1, added("acme", 0, "late"))
	want := []string{`added "" 0 r0 "\x00\xff'; --"`, `added "acme" 0 r0 ""`, `added "acme" 0 r0 "a"`, `added "acme" 0 r0 "b"`}
	diff(t, selected(t, s, nil, everything...), want)

	// Also when its rows have gone where they go.
	rows := must[[]stats.Row](t)(s.PendingStats(t.Context(), "acme", 1<<20))
	var ids []int64
	for _, r := range rows {
		ids = append(ids, r.ID)
	}
	do(t, s.MergeStats(t.Context(), &stats.Merge{Added: ids}))
	batch(t, s, 1, 2, added("acme", 0, "again"))
	diff(t, selected(t, s, nil, everything...), want[:1])
}

func batchCutOff(t *testing.T, s *statsWorld) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := &stats.Batch{Process: stats.ProcessID{1}, Number: 1, Rows: []stats.Row{added("acme", 0, "a"), added("initech", 0, "b")}}
	wantError(t, s.AddStats(ctx, b), context.Canceled)
	diff(t, selected(t, s, nil, everything...), []string(nil))
	do(t, s.AddStats(t.Context(), b)) // under the same number
	diff(t, len(selected(t, s, nil, everything...)), 2)
}

// merge puts rows in place of nothing.
func merge(t *testing.T, s stats.Store, rows ...stats.Row) {
	t.Helper()
	do(t, s.MergeStats(t.Context(), &stats.Merge{Rows: rows}))
}

func merged(r stats.Resolution, account string, minute, rev int64, data string) stats.Row {
	row := added(account, minute, data)
	row.Resolution, row.Rev = r, rev
	return row
}

func rowsSelected(t *testing.T, s *statsWorld) {
	batch(t, s, 1, 1, added("acme", 0, "a0"), added("acme", 1, "a1"), added("", 0, "n0"), added("initech", 0, "i0"))
	merge(t, s, merged(stats.Minute, "acme", 0, 0, "m0"), merged(stats.Minute, "acme", 1, 0, "m1"), merged(stats.Hour, "acme", 0, 0, "h0"),
		merged(stats.Day, "initech", 0, 0, "d0"), merged(stats.Minute, "", 0, 0, "mn"))
	acme, nobody, stranger := "acme", "", "ACME"
	from := func(r stats.Resolution, from, to int64) stats.Span {
		return stats.Span{Resolution: r, From: minuteOf + 60*from, To: minuteOf + 60*to}
	}
	for _, tt := range []struct {
		account *string
		spans   []stats.Span
		want    []string
	}{
		{&acme, everything, []string{`added "acme" 0 r0 "a0"`, `added "acme" 1 r0 "a1"`, `hour "acme" 0 r1 "h0"`, `minute "acme" 0 r1 "m0"`, `minute "acme" 1 r1 "m1"`}},
		{&nobody, everything, []string{`added "" 0 r0 "n0"`, `minute "" 0 r1 "mn"`}},
		{&stranger, everything, nil},
		{&acme, nil, nil},
		{nil, []stats.Span{from(stats.Added, 0, 1)}, []string{`added "" 0 r0 "n0"`, `added "acme" 0 r0 "a0"`, `added "initech" 0 r0 "i0"`}},
		{nil, []stats.Span{from(stats.Minute, 1, 2), from(stats.Day, 0, 1)}, []string{`day "initech" 0 r1 "d0"`, `minute "acme" 1 r1 "m1"`}},
		{&acme, []stats.Span{from(stats.Minute, 0, 1), from(stats.Added, 1, 2)}, []string{`added "acme" 1 r0 "a1"`, `minute "acme" 0 r1 "m0"`}},
		{&acme, []stats.Span{from(stats.Minute, 0, 0), from(stats.Added, 2, 9)}, nil},
	} {
		diff(t, selected(t, s, tt.account, tt.spans...), tt.want)
	}
	stop := fmt.Errorf("that is enough")
	n := 0
	wantError(t, s.ReadStats(t.Context(), &stats.Selection{Spans: everything}, func(*stats.Row) error { n++; return stop }), stop)
	diff(t, n, 1)
}

func rowsPending(t *testing.T, s *statsWorld) {
	batch(t, s, 1, 1, added("b", 5, "12345"), added("Z", 0, "z"), added("a", 0, "a"), added("", 0, "n"))
	batch(t, s, 1, 2, added("b", 1, "123"), added("b", 2, "12"))
	texts := func(from string, most int) (texts []string) {
		var last int64
		for _, r := range must[[]stats.Row](t)(s.PendingStats(t.Context(), from, most)) {
			if r.ID <= last || r.Resolution != stats.Added {
				t.Errorf("row %+v after ID %d", r, last)
			}
			last = r.ID
			texts = append(texts, fmt.Sprintf("%q %d %s", r.Account, (r.Start-minuteOf)/60, r.Data))
		}
		return texts
	}
	diff(t, texts("", 100), []string{`"" 0 n`})
	diff(t, texts("\x00", 100), []string{`"Z" 0 z`})
	diff(t, texts("Z\x00", 100), []string{`"a" 0 a`})
	diff(t, texts("aa", 100), []string{`"b" 5 12345`, `"b" 1 123`, `"b" 2 12`})
	diff(t, texts("b", 10), []string{`"b" 5 12345`, `"b" 1 123`, `"b" 2 12`})
	diff(t, texts("b", 9), []string{`"b" 5 12345`, `"b" 1 123`})
	diff(t, texts("b", 1), []string{`"b" 5 12345`})
	diff(t, texts("b\x00", 100), []string(nil))
}

func mergeReplaces(t *testing.T, s *statsWorld) {
	batch(t, s, 1, 1, added("acme", 0, "a"), added("acme", 1, "b"), added("acme", 2, "c"))
	rows := must[[]stats.Row](t)(s.PendingStats(t.Context(), "", 1<<20))
	do(t, s.MergeStats(t.Context(), &stats.Merge{
		Added: []int64{rows[0].ID, rows[1].ID}, Rows: []stats.Row{merged(stats.Minute, "acme", 0, 0, "A"), merged(stats.Hour, "acme", 0, 0, "AB")},
	}))
	diff(t, selected(t, s, nil, everything...), []string{`added "acme" 2 r0 "c"`, `hour "acme" 0 r1 "AB"`, `minute "acme" 0 r1 "A"`})
	do(t, s.MergeStats(t.Context(), &stats.Merge{Added: []int64{rows[2].ID}, Rows: []stats.Row{merged(stats.Hour, "acme", 0, 1, "ABC")}}))
	diff(t, selected(t, s, nil, everything...), []string{`hour "acme" 0 r2 "ABC"`, `minute "acme" 0 r1 "A"`})
	// What comes now has IDs that nobody has ever seen.
	batch(t, s, 1, 2, added("acme", 0, "d"))
	if again := must[[]stats.Row](t)(s.PendingStats(t.Context(), "", 1<<20)); again[0].ID <= rows[2].ID {
		t.Errorf("ID %d after %d", again[0].ID, rows[2].ID)
	}
}

func mergeStale(t *testing.T, s *statsWorld) {
	batch(t, s, 1, 1, added("acme", 0, "a"), added("acme", 0, "b"))
	rows := must[[]stats.Row](t)(s.PendingStats(t.Context(), "", 1<<20))
	a, b := rows[0].ID, rows[1].ID
	do(t, s.MergeStats(t.Context(), &stats.Merge{Added: []int64{a}, Rows: []stats.Row{merged(stats.Day, "acme", 0, 0, "A")}}))
	want := selected(t, s, nil, everything...)
	for name, m := range map[string]*stats.Merge{
		"a row that was merged":  {Added: []int64{b, a}, Rows: []stats.Row{merged(stats.Day, "acme", 0, 1, "AB")}},
		"one that never was":     {Added: []int64{b, 1 << 40}},
		"a row that is there":    {Added: []int64{b}, Rows: []stats.Row{merged(stats.Minute, "acme", 0, 0, "B"), merged(stats.Day, "acme", 0, 0, "B")}},
		"a row as it was before": {Added: []int64{b}, Rows: []stats.Row{merged(stats.Minute, "acme", 0, 0, "B"), merged(stats.Day, "acme", 0, 2, "B")}},
		"a row that is not":      {Added: []int64{b}, Rows: []stats.Row{merged(stats.Hour, "acme", 0, 1, "B")}},
	} {
		if err := s.MergeStats(t.Context(), m); err == nil {
			t.Errorf("%s: it was merged", name)
		} else {
			wantError(t, err, stats.ErrStale)
		}
		diff(t, selected(t, s, nil, everything...), want)
	}
}

func mergesAtOnce(t *testing.T, s *statsWorld) {
	batch(t, s, 1, 1, added("acme", 0, "a"))
	id := must[[]stats.Row](t)(s.PendingStats(t.Context(), "", 1<<20))[0].ID
	errs := make([]error, 8)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			errs[i] = s.MergeStats(t.Context(), &stats.Merge{Added: []int64{id}, Rows: []stats.Row{merged(stats.Day, "acme", 0, 0, "A")}})
		})
	}
	all.Wait()
	done := 0
	for _, err := range errs {
		if err == nil {
			done++
		} else {
			wantError(t, err, stats.ErrStale)
		}
	}
	diff(t, done, 1)
	diff(t, selected(t, s, nil, everything...), []string{`day "acme" 0 r1 "A"`})
}

func statsPruned(t *testing.T, s *statsWorld) {
	const many = 450
	rows := []stats.Row{merged(stats.Hour, "acme", -5, 0, "h"), merged(stats.Day, "acme", -5, 0, "d"), merged(stats.Minute, "acme", 0, 0, "m")}
	for i := range many {
		rows = append(rows, merged(stats.Minute, fmt.Sprint(i), -1, 0, string(bytes.Repeat([]byte{1}, 100))))
	}
	merge(t, s, rows...)
	batch(t, s, 1, 1, added("acme", -9, "a")) // not merged yet: it stays
	do(t, s.PruneStats(t.Context(), stats.Minute, time.Unix(minuteOf, 0)))
	diff(t, selected(t, s, nil, everything...), []string{`added "acme" -9 r0 "a"`, `day "acme" -5 r1 "d"`, `hour "acme" -5 r1 "h"`, `minute "acme" 0 r1 "m"`})
	do(t, s.PruneStats(t.Context(), stats.Hour, time.Unix(minuteOf-300, 0)))
	diff(t, len(selected(t, s, nil, everything...)), 4)
	do(t, s.PruneStats(t.Context(), stats.Hour, time.Unix(minuteOf-299, 0)))
	diff(t, len(selected(t, s, nil, everything...)), 3)
}

func processesPruned(t *testing.T, s *statsWorld) {
	batch(t, s, 1, 5, added("acme", 0, "a"))
	s.now = s.now.Add(stats.KeepProcesses)
	do(t, s.PruneStats(t.Context(), stats.Minute, Epoch))
	batch(t, s, 1, 5, added("acme", 0, "again"))
	diff(t, len(selected(t, s, nil, everything...)), 1)
	s.now = s.now.Add(time.Second)
	do(t, s.PruneStats(t.Context(), stats.Minute, Epoch))
	batch(t, s, 1, 5, added("acme", 0, "as of another"))
	diff(t, len(selected(t, s, nil, everything...)), 2)
}
