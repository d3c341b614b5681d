package stats_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollgate-authz/tollgate/authz/stats"
)

func TestO5_QuestionsThatCannotBeAnswered(t *testing.T) {
	t.Parallel()
	now := epoch
	for _, tt := range []struct {
		q     stats.Query
		field string
		says  string
	}{
		{stats.Query{}, "from", "needed"},
		{stats.Query{From: now, To: now}, "from", "before to"},
		{stats.Query{From: now, To: now.Add(-time.Hour)}, "from", "before to"},
		{stats.Query{From: now.Add(-time.Hour), To: now, Step: 9}, "step", "minute, hour or day"},
		{stats.Query{From: now.Add(-time.Hour), To: now, GroupBy: []stats.Dimension{"colour"}}, "group_by", "account, domain"},
		{stats.Query{From: now.Add(-time.Hour), To: now, GroupBy: []stats.Dimension{"api", "api"}}, "group_by", "twice"},
		{stats.Query{From: now.Add(-time.Hour), To: now, Where: map[stats.Dimension]string{"colour": "x"}}, "colour", "known"},
		{stats.Query{From: now.Add(-30 * time.Hour), To: now, Step: stats.Minute}, "step", "1800 steps"},
		{stats.Query{From: now.Add(-90 * time.Hour), To: now.Add(-89 * time.Hour), Step: stats.Minute}, "step", "by hour, or from 2026-02-27T12:00:00Z"},
		{stats.Query{From: now.Add(-36 * 24 * time.Hour), To: now, Step: stats.Hour}, "step", "by day"},
		{stats.Query{From: now.Add(-2000 * 24 * time.Hour), To: now, Step: stats.Day}, "step", "2001 steps"},
	} {
		r := stats.Reader{Store: newMemory(nil), Keep: keep, Now: func() time.Time { return now }}
		_, err := r.Read(t.Context(), &tt.q)
		var fault *stats.QueryError
		if !errors.As(err, &fault) || fault.Field != tt.field || !strings.Contains(fault.Reason, tt.says) {
			t.Errorf("%+v: %v, want %s: %q", tt.q, err, tt.field, tt.says)
		}
	}
}

// TestO5_OldEdgesAreRounded: what people type is answered, and the report says for when.
func TestO5_OldEdgesAreRounded(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 12, 24, 18, 30, 15, 0, time.UTC)
	for _, tt := range []struct{ from, to, wantFrom, wantTo string }{
		{"2026-12-24T10:17:45Z", "0s", "2026-12-24T10:17:00Z", "2026-12-24T18:31:00Z"},
		{"24h", "0s", "2026-12-23T18:30:00Z", "2026-12-24T18:31:00Z"},
		{"48h", "0s", "2026-12-22T18:30:00Z", "2026-12-24T18:31:00Z"},
		{"2026-12-10T10:17:45Z", "2026-12-10 10:18", "2026-12-10T10:00:00Z", "2026-12-10T11:00:00Z"},
		{"2026-10-10T10:17:45+02:00", "2026-12-10T10:17:45.5Z", "2026-10-10T00:00:00Z", "2026-12-10T11:00:00Z"},
		{"2026-10-10", "2026-10-11T00:00", "2026-10-10T00:00:00Z", "2026-10-11T00:00:00Z"},
		{"2026-10-10T10:17", "2026-10-10T10:18", "2026-10-10T00:00:00Z", "2026-10-11T00:00:00Z"},
	} {
		q := stats.Query{}
		var errs [2]error
		q.From, errs[0] = stats.ParseTime("from", tt.from, now)
		q.To, errs[1] = stats.ParseTime("to", tt.to, now)
		if err := errors.Join(errs[:]...); err != nil {
			t.Error(err)
			continue
		}
		report := read(t, newMemory(nil), now, &q)
		if got := report.From.Format(time.RFC3339) + " " + report.To.Format(time.RFC3339); got != tt.wantFrom+" "+tt.wantTo {
			t.Errorf("%s to %s: got %s, want %s %s", tt.from, tt.to, got, tt.wantFrom, tt.wantTo)
		}
	}
	for _, text := range []string{"", "yesterday", "-5h", "2026-13-01", "1767000000"} {
		if _, err := stats.ParseTime("from", text, now); err == nil || !strings.Contains(err.Error(), "from") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestO5_PrunedRowsAreNotMissed: an answer is the same before and after.
func TestO5_PrunedRowsAreNotMissed(t *testing.T) {
	t.Parallel()
	store := newMemory(func() time.Time { return epoch })
	b := newBook(t, store, 0)
	const hours = 60 * 24
	for i := range hours {
		b.Count(event(epoch.Add(time.Duration(-i)*time.Hour-20*time.Minute), "acme", "token"))
	}
	flush(t, b)
	compact(t, store)
	ago := []time.Duration{time.Hour, 47 * time.Hour, 48*time.Hour + 40*time.Minute, 49 * time.Hour, 50 * time.Hour, 51 * time.Hour, 34 * 24 * time.Hour, 35*24*time.Hour + 40*time.Minute, 35*24*time.Hour + time.Hour, 36 * 24 * time.Hour, 55 * 24 * time.Hour}
	answers := func() (reports []*stats.Report) {
		for _, from := range ago {
			reports = append(reports, read(t, store, epoch, all(epoch.Add(-from-7*time.Minute), epoch.Add(time.Minute))))
		}
		return reports
	}
	before := answers()
	if err := stats.Prune(t.Context(), store, keep, epoch.Add(30*time.Minute)); err != nil { // by another clock
		t.Fatal(err)
	}
	if d := cmp.Diff(before, answers(), sameAddress); d != "" {
		t.Errorf("-before +after:\n%s", d)
	}
	for i, from := range ago {
		if got := before[i].Requests; got < int64(from/time.Hour) {
			t.Errorf("from %s ago: %d requests", from, got)
		}
	}
	if n := len(store.merged); n > 51+36*24+1+61 {
		t.Errorf("%d rows are left", n)
	}
}
