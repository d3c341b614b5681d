package ledgertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// sweepEnded: limits of days long gone go with their leases, open ones too; what
// never ends stays.
func sweepEnded(t *testing.T, w *world) {
	total := w.lease(1, cell("total", 0), 100)
	total.take(5)
	today := w.lease(2, cell("day", 0), 100).today()
	today.take(6)
	lost := w.lease(3, today.Cell, 100).today()
	lost.take(7)
	late := lost.Move
	want := quota.Usage{Limit: 100, Spent: 13, Leases: 2}
	w.want(today.Cell, want)

	w.advance(12*time.Hour + 48*time.Hour - time.Minute) // the day ended 47:59 ago
	tomorrow := w.lease(4, cell("day", 0), 100).today()
	tomorrow.take(8)
	w.sweep()
	w.want(today.Cell, want)
	w.advance(2 * time.Minute)
	w.sweep()
	w.want(today.Cell, quota.Usage{})
	late.Seq, late.Told, late.Hold = late.Seq+1, w.millis(), 10
	wantStatus(t, w.move(late), quota.Over) // it does not come back
	w.want(today.Cell, quota.Usage{})

	w.want(tomorrow.Cell, quota.Usage{Limit: 100, Spent: 8, Leases: 1})
	w.advance(50 * 24 * time.Hour)
	w.sweep()
	w.want(tomorrow.Cell, quota.Usage{})
	w.want(total.Cell, quota.Usage{Limit: 100, Spent: 5, Leases: 1})
	wantStatus(t, total.next(func(*quota.Move) {}), quota.Open)
}

// sweepMovedEnd: the account went to another zone, in which the day is longer.
func sweepMovedEnd(t *testing.T, w *world) {
	h := w.lease(1, cell("day", 0), 100).today()
	h.take(1)
	h.Ends += 10 * 60 * 60
	h.take(2)
	want := quota.Usage{Limit: 100, Spent: 3, Leases: 1}
	w.advance(12*time.Hour + 48*time.Hour + 9*time.Hour)
	w.sweep()
	w.want(h.Cell, want)
	w.advance(2 * time.Hour)
	w.sweep()
	w.want(h.Cell, quota.Usage{})
}

// sweepClosed: the name of a closed lease is remembered for two hours, longer than a
// move of it may be on its way.
func sweepClosed(t *testing.T, w *world) {
	id := cell("total", 0)
	first, second, open := w.lease(1, id, 100), w.lease(2, id, 100), w.lease(3, id, 100)
	first.take(5)
	first.close()
	w.advance(time.Hour)
	second.take(6)
	second.close()
	open.take(7)
	w.advance(59 * time.Minute)
	reopen := func(h *holder) quota.Answer {
		t.Helper()
		return h.next(func(m *quota.Move) { m.Close = false })
	}
	w.sweep()
	for _, h := range []*holder{first, second} {
		wantStatus(t, reopen(h), quota.Closed)
	}
	w.advance(2 * time.Minute)
	w.sweep()
	want := quota.Usage{Limit: 100, Spent: 18, Leases: 1}
	w.want(id, want)
	wantStatus(t, reopen(second), quota.Closed)
	wantStatus(t, first.close(), quota.Closed)
	first.Known, first.Spent = 0, 0
	if a := reopen(first); a.Status != quota.Open || a.Granted != 0 { // no process would; it shows that the row is gone
		t.Errorf("%+v; want a lease that nobody knows", a)
	}
	wantStatus(t, open.next(func(*quota.Move) {}), quota.Open)
	want.Leases = 2
	w.want(id, want)
}

// sweepKeepsLines: they are the same to the last digit, and late moves do not count
// again.
func sweepKeepsLines(t *testing.T, w *world) {
	id := cell("wallet", 0)
	line := func(account string, hour, count int64) quota.Line {
		return quota.Line{Account: account, Hour: hour, What: "GET /contacts", Price: 7, Spent: 7 * count, Count: count}
	}
	var late []quota.Move
	for n := range uint64(5) {
		h := w.lease(n+1, id, 10_000)
		h.take(70, line("acme", 0, 4), line("acme", 3600, 6), line("other", 0, int64(n)))
		late = append(late, h.Move)
		if n < 3 {
			h.close()
			late = append(late, h.Move)
		}
	}
	for i := range late { // as they would be sent again
		late[i].Lines = []quota.Line{line("acme", 0, 100)}
	}
	want := []quota.Line{line("acme", 3600, 30), line("acme", 0, 20)}
	usage := quota.Usage{Limit: 10_000, Spent: 350, Leases: 2}
	for range 4 {
		diff(t, "lines", w.lines("acme"), want)
		diff(t, "lines of another", w.lines("other"), []quota.Line{line("other", 0, 10)})
		w.want(id, usage)
		w.moves(late...)
		w.advance(2*time.Hour + time.Minute)
		w.sweep()
	}

	// Whoever comes after them has lines of its own.
	h := w.lease(9, id, 10_000)
	h.take(14, line("acme", 3600, 2))
	want[0] = line("acme", 3600, 32)
	diff(t, "lines", w.lines("acme"), want)
	h.close()
	w.advance(3 * time.Hour)
	w.sweep()
	diff(t, "lines", w.lines("acme"), want)
}

// sweepMany: a ledger may sweep in portions, but it sweeps all.
func sweepMany(t *testing.T, w *world) {
	const many = 230
	var cells []quota.CellID
	var moves, closes []quota.Move
	for i := range many {
		h := w.lease(uint64(i+1), cell(fmt.Sprint("day", i), 0), 10).today()
		h.Seq, h.Told, h.Need = 1, w.millis(), 3
		moves = append(moves, h.Move)
		cells = append(cells, h.Cell)
		c := w.lease(uint64(many+i+1), cell("total", 0), 1000)
		c.Seq, c.Told, c.Spent = 1, w.millis(), 1
		moves = append(moves, c.Move)
		c.Seq, c.Close = 2, true
		closes = append(closes, c.Move)
	}
	w.moves(moves...)
	w.moves(closes...)
	w.advance(4 * 24 * time.Hour)
	w.sweep()
	for i, u := range w.usage(cells...) {
		if u != (quota.Usage{}) {
			t.Errorf("%d: %+v is left", i, u)
		}
	}
	w.want(cell("total", 0), quota.Usage{Limit: 1000, Spent: many})
	for i := range closes {
		closes[i].Close, closes[i].Told, closes[i].Spent = false, w.millis(), 0
	}
	for i, a := range w.moves(closes...) {
		if a.Status != quota.Open {
			t.Errorf("%d: a closed lease is left: %+v", i, a)
		}
	}
}
