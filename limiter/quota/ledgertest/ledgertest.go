// Package ledgertest is the conformance suite of the ledgers: what package quota and
// its callers rely on, whichever database keeps the rows. The arithmetic is
// quota.Apply's; a ledger that does it in a language of its own is held equal to it
// here.
//
// Beyond what the interface says, the suite fixes the order of Lines: the newest hour
// first, and in it by What, byte by byte, and by Price.
package ledgertest

import (
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// Open returns an empty ledger each time, which goes by the given clock, and closes it
// with the test.
type Open func(t *testing.T, now func() time.Time) quota.Ledger

// Run runs the suite.
func Run(t *testing.T, open Open) { run(t, open, 4) }

// RunAgain runs the suite for a ledger that has passed it in another place, such as in
// memory: with fewer random moves, for these are about its arithmetic.
func RunAgain(t *testing.T, open Open) { run(t, open, 1) }

func run(t *testing.T, open Open, seeds uint64) {
	tests := map[string]func(*testing.T, *world){
		"many drain a limit and get exactly it":        drained,
		"a repeated move changes nothing":              repeated,
		"a move of a closed lease changes nothing":     closedStaysClosed,
		"the newest limit wins":                        newestLimit,
		"a silent lease is stranded and never taken":   stranded,
		"nobody has used it yet":                       unused,
		"a limit of nothing":                           ofNothing,
		"an empty batch":                               emptyBatch,
		"a wallet's lines add up":                      linesAddUp,
		"lines that are told twice count once":         linesTwice,
		"lines are read page by page":                  linesByPage,
		"what has ended is swept":                      sweepEnded,
		"a window whose end moves is swept later":      sweepMovedEnd,
		"closed leases are swept":                      sweepClosed,
		"a sweep leaves the lines as they are":         sweepKeepsLines,
		"all there is to sweep is swept":               sweepMany,
		"a cancelled context changes nothing":          cancelled,
		"a batch that is cut off has no half of moves": cutOff,
	}
	for seed := range seeds {
		tests[fmt.Sprintf("random moves are answered as by Apply, %d", seed)] = func(t *testing.T, w *world) { randomMoves(t, w, seed) }
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &world{t: t}
			w.advance(time.Duration(epoch.UnixNano()))
			w.Ledger = open(t, w.now)
			test(t, w)
		})
	}
}

// epoch is noon, so that the day does not change by itself.
var epoch = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// world is an empty ledger and the time that it goes by, from epoch on.
type world struct {
	quota.Ledger
	t     *testing.T
	clock atomic.Int64 // unix nanoseconds
}

func (w *world) now() time.Time          { return time.Unix(0, w.clock.Load()) }
func (w *world) millis() int64           { return w.now().UnixMilli() }
func (w *world) advance(d time.Duration) { w.clock.Add(int64(d)) }

// move makes one move.
func (w *world) move(m quota.Move) quota.Answer {
	w.t.Helper()
	return w.moves(m)[0]
}

func (w *world) moves(moves ...quota.Move) []quota.Answer {
	w.t.Helper()
	answers := make([]quota.Answer, len(moves))
	if err := w.Move(w.t.Context(), moves, answers); err != nil {
		w.t.Fatal(err)
	}
	return answers
}

func (w *world) usage(cells ...quota.CellID) []quota.Usage {
	w.t.Helper()
	usages, err := w.Usage(w.t.Context(), cells)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(usages) != len(cells) {
		w.t.Fatalf("what is known of %d limits, want %d", len(usages), len(cells))
	}
	return usages
}

func (w *world) lines(account string) []quota.Line {
	w.t.Helper()
	lines, err := w.Lines(w.t.Context(), account, nil, math.MaxInt32)
	if err != nil {
		w.t.Fatal(err)
	}
	return lines
}

func (w *world) sweep() {
	w.t.Helper()
	if err := w.Sweep(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// holder is a process with one lease, as a test leads it.
type holder struct {
	*world
	quota.Move // the last one
}

// lease is the n-th lease of a limit that nobody has told the ledger of.
func (w *world) lease(n uint64, cell quota.CellID, limit int64) *holder {
	return &holder{w, quota.Move{Cell: cell, Lease: quota.LeaseID{Process: quota.ProcessID{byte(n), byte(n >> 8)}, Number: n}, Limit: limit}}
}

// next sends the next move: the lease as it is, and what change makes of it.
func (h *holder) next(change func(*quota.Move)) quota.Answer {
	h.t.Helper()
	h.Seq++
	h.Told = h.millis()
	h.Hold, h.Need = 0, 0
	change(&h.Move)
	a := h.move(h.Move)
	h.Known = max(h.Known, a.Granted)
	return a
}

// take asks for that much until it has it all, and spends it.
func (h *holder) take(n int64, lines ...quota.Line) {
	h.t.Helper()
	if a := h.next(func(m *quota.Move) { m.Hold, m.Need = n, n }); a.Granted-h.Spent < n {
		h.t.Fatalf("%d of %d were granted: %+v", a.Granted-h.Spent, n, a)
	}
	h.next(func(m *quota.Move) { m.Spent, m.Lines = m.Spent+n, lines })
}

func (h *holder) close() quota.Answer {
	h.t.Helper()
	return h.next(func(m *quota.Move) { m.Close = true })
}

// cell is the limit of that name in a window.
func cell(name string, window int32) quota.CellID {
	return quota.CellID{Limit: quota.NewLimitID(limiter.KindTotalRequests, "test", name), Window: window}
}

func day(t time.Time) int32 { return int32(t.Unix() / (24 * 60 * 60)) }

// today sets the window of a move to the day that the ledger's clock shows.
func (h *holder) today() *holder {
	h.Cell.Window = day(h.now())
	h.Begins = int64(h.Cell.Window) * 24 * 60 * 60
	h.Ends = h.Begins + 24*60*60
	return h
}

func diff(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("%s: -want +got:\n%s", what, d)
	}
}

// want compares the usage of a limit.
func (w *world) want(id quota.CellID, want quota.Usage) {
	w.t.Helper()
	diff(w.t, "usage", w.usage(id)[0], want)
}

func wantStatus(t *testing.T, a quota.Answer, want quota.Status) {
	t.Helper()
	if a.Status != want {
		t.Errorf("status %d, want %d: %+v", a.Status, want, a)
	}
}
