package ledgertest

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// drained: many holders take small pieces of a few limits until nothing is left, in
// batches whose order is never the same.
func drained(t *testing.T, w *world) {
	const holders = 6
	limits := []int64{997, 1, 60, 500, 2000}
	var taken [holders][]int64
	var all sync.WaitGroup
	for n := range holders {
		all.Go(func() { taken[n] = w.drain(uint64(n+1), limits) })
	}
	all.Wait()
	for i, limit := range limits {
		var sum int64
		for n := range holders {
			if taken[n] == nil {
				t.Fatal("a holder gave up")
			}
			sum += taken[n][i]
		}
		if sum != limit {
			t.Errorf("%d were granted of %d: %v", sum, limit, taken)
		}
		w.want(drain(i), quota.Usage{Limit: limit, Spent: limit, Leases: holders})
	}
}

func drain(i int) quota.CellID { return cell("drained", int32(-i)) }

// drain takes what it can get of each limit, and returns how much that was.
func (w *world) drain(holder uint64, limits []int64) []int64 {
	r := rand.New(rand.NewPCG(holder, 1))
	moves := make([]quota.Move, len(limits))
	for i, limit := range limits {
		moves[i] = quota.Move{Cell: drain(i), Lease: quota.LeaseID{Process: quota.ProcessID{byte(holder)}, Number: uint64(i)}, Limit: limit, Told: w.millis()}
	}
	answers := make([]quota.Answer, len(moves))
	for left := true; left; {
		r.Shuffle(len(moves), func(i, j int) { moves[i], moves[j] = moves[j], moves[i] })
		for i := range moves {
			moves[i].Seq++
			moves[i].Spent = moves[i].Known
			moves[i].Need = 1
			moves[i].Hold = 1 + r.Int64N(40)
		}
		if err := w.Move(w.t.Context(), moves, answers); err != nil {
			w.t.Error(err)
			return nil
		}
		left = false
		for i, a := range answers {
			if a.Status != quota.Open || a.Available < 0 || a.Granted == moves[i].Known && a.Available > 0 {
				w.t.Errorf("%+v was answered %+v", moves[i], a)
				return nil
			}
			left = left || a.Granted > moves[i].Known
			moves[i].Known = a.Granted
		}
	}
	taken := make([]int64, len(moves))
	for _, m := range moves {
		taken[m.Lease.Number] = m.Known
	}
	return taken
}

func repeated(t *testing.T, w *world) {
	id := cell("total", 0)
	h := w.lease(1, id, 1000)
	first := h.next(func(m *quota.Move) { m.Hold = 100 })
	diff(t, "answer", first, quota.Answer{Status: quota.Open, Granted: 100, Available: 900, Limit: 1000, Now: w.millis()})
	second := h.next(func(m *quota.Move) { m.Hold, m.Spent = 100, 30 })
	want := quota.Usage{Limit: 1000, Spent: 30, Leased: 100, Leases: 1}
	w.want(id, want)

	w.advance(time.Second)
	older := h.Move
	older.Seq--
	for _, m := range []quota.Move{h.Move, older} { // an answer tells the lease as it is
		again := second
		again.Status, again.Now = quota.Stale, w.millis()
		for _, a := range w.moves(m, m) {
			diff(t, "answer to the same move", a, again)
		}
		w.want(id, want)
	}

	// Twice in one batch is no other than twice.
	h.Seq++
	h.Hold = 120
	answers := w.moves(h.Move, h.Move)
	wantStatus(t, answers[0], quota.Open)
	wantStatus(t, answers[1], quota.Stale)
	if answers[0].Granted != 150 || answers[1].Granted != 150 {
		t.Errorf("%+v, want 150 granted", answers)
	}
	w.want(id, quota.Usage{Limit: 1000, Spent: 30, Leased: 120, Leases: 1})
}

func closedStaysClosed(t *testing.T, w *world) {
	id := cell("wallet", 0)
	h := w.lease(1, id, 1000)
	line := quota.Line{Account: "acme", What: "GET /contacts", Price: 7, Spent: 7, Count: 1}
	h.take(7, line)
	h.next(func(m *quota.Move) { m.Hold = 50 })
	late := h.Move // on its way for long
	late.Seq += 100
	late.Spent, late.Hold = 14, 500
	late.Lines = []quota.Line{{Account: "acme", What: "GET /contacts", Price: 7, Spent: 14, Count: 2}}

	wantStatus(t, h.close(), quota.Closed)
	want := quota.Usage{Limit: 1000, Spent: 7}
	w.want(id, want)
	for range 2 {
		wantStatus(t, h.close(), quota.Closed)
		wantStatus(t, w.move(late), quota.Closed)
		w.want(id, want)
		diff(t, "lines", w.lines("acme"), []quota.Line{line})
	}
	never := w.lease(2, id, 5) // that was never granted anything
	wantStatus(t, never.close(), quota.Closed)
	w.want(id, want)
}

func newestLimit(t *testing.T, w *world) {
	id := cell("total", 0)
	h, other := w.lease(1, id, 0), w.lease(2, id, 0)
	tell := func(h *holder, rev, limit int64) quota.Answer {
		t.Helper()
		return h.next(func(m *quota.Move) { m.Rev, m.Limit, m.Need = rev, limit, 40 })
	}
	for _, tt := range []struct {
		holder     *holder
		rev, limit int64
		want       quota.Answer
	}{
		{h, 5, 100, quota.Answer{Granted: 40, Available: 60, Limit: 100, Rev: 5}},
		{other, 4, 1000, quota.Answer{Granted: 40, Available: 20, Limit: 100, Rev: 5}}, // has not heard of it yet
		{h, 6, 50, quota.Answer{Granted: 40, Available: -30, Limit: 50, Rev: 6}},       // below what is leased
		{other, 5, 100, quota.Answer{Granted: 40, Available: -30, Limit: 50, Rev: 6}},
		{h, 7, 81, quota.Answer{Granted: 40, Available: 1, Limit: 81, Rev: 7}},
		{h, 7, 90, quota.Answer{Granted: 40, Available: 10, Limit: 90, Rev: 7}}, // of limits without numbers the last counts
	} {
		got := tell(tt.holder, tt.rev, tt.limit)
		tt.want.Status, tt.want.Now = quota.Open, w.millis()
		diff(t, "answer", got, tt.want)
	}
	w.want(id, quota.Usage{Limit: 90, Leased: 80, Leases: 2})
}

func stranded(t *testing.T, w *world) {
	id := cell("total", 0)
	lost, alive := w.lease(1, id, 100), w.lease(2, id, 100)
	lost.take(3)
	lost.next(func(m *quota.Move) { m.Hold, m.Need = 20, 20 })
	w.advance(59 * time.Second)
	alive.take(1)
	w.want(id, quota.Usage{Limit: 100, Spent: 4, Leased: 20, Leases: 2})
	w.advance(2 * time.Second)
	w.want(id, quota.Usage{Limit: 100, Spent: 4, Leased: 20, Stranded: 20, Leases: 2})
	w.advance(1000 * time.Hour)
	w.sweep()
	if a := alive.next(func(m *quota.Move) { m.Need = 100 }); a.Granted != 1+76 || a.Available != 0 {
		t.Errorf("%+v; want what the lost one has not", a)
	}
	w.want(id, quota.Usage{Limit: 100, Spent: 4, Leased: 96, Stranded: 20, Leases: 2})
	lost.next(func(m *quota.Move) { m.Spent += 20 }) // it was only paused
	w.want(id, quota.Usage{Limit: 100, Spent: 24, Leased: 76, Leases: 2})
}

func unused(t *testing.T, w *world) {
	h := w.lease(1, cell("total", 0), 10)
	h.take(1)
	diff(t, "usage", w.usage(cell("total", 1), h.Cell, cell("other", 0)), []quota.Usage{{}, {Limit: 10, Spent: 1, Leases: 1}, {}})
	diff(t, "lines", w.lines("acme"), []quota.Line(nil))
	w.usage()
}

// ofNothing: there is a lease even where all else is zero.
func ofNothing(t *testing.T, w *world) {
	h := w.lease(1, cell("total", 0), 0)
	wantStatus(t, h.next(func(m *quota.Move) { m.Need = 1 }), quota.Open)
	w.want(h.Cell, quota.Usage{Leases: 1})
	wantStatus(t, w.move(h.Move), quota.Stale)
	wantStatus(t, h.close(), quota.Closed)
	w.want(h.Cell, quota.Usage{})
	wantStatus(t, h.close(), quota.Closed)
}

func emptyBatch(t *testing.T, w *world) {
	w.moves()
	w.sweep()
}

func cancelled(t *testing.T, w *world) {
	h := w.lease(1, cell("total", 0), 10)
	h.take(1, quota.Line{Account: "acme", Price: 1, Spent: 1, Count: 1})
	h.close()
	w.advance(3 * time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	late := w.lease(2, h.Cell, 10).Move
	late.Seq, late.Told, late.Hold, late.Lines = 1, w.millis(), 1, []quota.Line{{Account: "acme", Price: 1, Spent: 1, Count: 1}}
	_, errUsage := w.Usage(ctx, []quota.CellID{h.Cell})
	_, errLines := w.Lines(ctx, "acme", nil, 1)
	for what, err := range map[string]error{"Move": w.Move(ctx, []quota.Move{late}, make([]quota.Answer, 1)), "Usage": errUsage, "Lines": errLines, "Sweep": w.Sweep(ctx)} {
		if err == nil {
			t.Errorf("%s succeeded", what)
		}
	}
	w.want(h.Cell, quota.Usage{Limit: 10, Spent: 1})
	diff(t, "lines", w.lines("acme"), []quota.Line{{Account: "acme", Price: 1, Spent: 1, Count: 1}})
	wantStatus(t, h.next(func(m *quota.Move) { m.Close = false }), quota.Closed) // it was not swept
	wantStatus(t, w.move(late), quota.Open)                                      // and the ledger still works
}

// cutOff ends the context somewhere within a batch. Each move has spent one unit more
// and tells so in a line: of both or of neither the ledger knows.
func cutOff(t *testing.T, w *world) {
	const size = 64
	r := rand.New(rand.NewPCG(7, 7))
	moves := make([]quota.Move, size)
	cells := make([]quota.CellID, size)
	for i := range moves {
		cells[i] = cell("wallet", int32(i))
		moves[i] = quota.Move{Cell: cells[i], Lease: quota.LeaseID{Number: uint64(i)}, Told: w.millis(), Limit: 1000}
	}
	answers := make([]quota.Answer, size)
	failed := 0
	for range 20 {
		for i := range moves {
			m := &moves[i]
			m.Seq++
			m.Spent++
			m.Lines = []quota.Line{{Account: "acme", Price: int64(i), Spent: m.Spent, Count: m.Spent}}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(3000))*time.Microsecond)
		err := w.Move(ctx, moves, answers)
		cancel()
		if err != nil {
			failed++
		}
		lines := make([]quota.Line, size)
		for _, line := range w.lines("acme") {
			lines[line.Price] = line
		}
		for i, u := range w.usage(cells...) {
			if u.Spent != lines[i].Spent || u.Spent+u.Leased > u.Limit || err == nil && u.Spent != moves[i].Spent {
				t.Fatalf("%+v and %+v, of %d spent; error %v", u, lines[i], moves[i].Spent, err)
			}
		}
	}
	if failed == 0 {
		t.Error("no batch was cut off")
	}
}
