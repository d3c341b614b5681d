package ledgertest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// spender is a process that spends from a wallet as package quota does: it remembers
// its lines, and sends those that have changed since an answer came.
type spender struct {
	*holder
	sums    map[lineKey]quota.Line
	unheard map[lineKey]bool
}

func (s *spender) spend(r *rand.Rand) {
	price := []int64{1, 20_000, 333_333}[r.IntN(3)]
	if s.Known-s.Spent < price {
		return
	}
	s.Spent += price
	key := lineKey{account: "acme", hour: s.now().Truncate(time.Hour).Unix(), what: []string{"GET /contacts", "POST /contacts"}[r.IntN(2)], price: price}
	line := quota.Line{Account: key.account, Hour: key.hour, What: key.what, Price: price, Spent: s.sums[key].Spent + price, Count: s.sums[key].Count + 1}
	s.sums[key] = line
	s.unheard[key] = true
}

// tell moves the lease. Every third answer is lost.
func (s *spender) tell(r *rand.Rand, closes bool) {
	s.Lines = nil
	for key := range s.unheard {
		s.Lines = append(s.Lines, s.sums[key])
	}
	known := s.Known
	s.next(func(m *quota.Move) { m.Hold, m.Close = 2_000_000, closes })
	if r.IntN(3) == 0 {
		s.Known = known
		return
	}
	clear(s.unheard)
}

// linesAddUp: what the ledger knows to be spent is the sum of its lines, while
// processes come and go, some of them without a word.
func linesAddUp(t *testing.T, w *world) {
	const credit = 500_000_000
	r := rand.New(rand.NewPCG(8, 8))
	id := cell("wallet", 0)
	var leases uint64
	start := func() *spender {
		leases++
		return &spender{w.lease(leases, id, credit), map[lineKey]quota.Line{}, map[lineKey]bool{}}
	}
	check := func() []quota.Line {
		t.Helper()
		var sum, price int64
		lines := w.lines("acme")
		for _, line := range lines {
			sum += line.Spent
			price += line.Price * line.Count
		}
		if u := w.usage(id)[0]; sum != u.Spent || price != sum || u.Spent+u.Leased > credit {
			t.Fatalf("%d in the lines, %d by their prices, in %+v", sum, price, u)
		}
		return lines
	}
	spenders := []*spender{start(), start(), start()}
	for i := range 300 {
		n := r.IntN(len(spenders))
		s := spenders[n]
		s.tell(r, false)
		for range r.IntN(30) {
			s.spend(r)
		}
		switch r.IntN(12) {
		case 0:
			s.tell(r, true) // a clean stop, and its close may be sent again
			s.tell(r, true)
			spenders[n] = start()
		case 1:
			spenders[n] = start() // killed: what it has not told nobody knows
		}
		if i%5 == 0 {
			check()
		}
		w.advance(time.Duration(r.IntN(6)) * time.Minute)
		if r.IntN(10) == 0 {
			before := check()
			w.sweep()
			diff(t, "lines after a sweep", check(), before)
		}
	}
	if lines := check(); len(lines) < 30 {
		t.Errorf("only %d lines", len(lines))
	}
}

func linesTwice(t *testing.T, w *world) {
	h, other := w.lease(1, cell("wallet", 0), 1000), w.lease(2, cell("wallet", 0), 1000)
	line := func(what string, count int64) quota.Line {
		return quota.Line{Account: "acme", Hour: 3600, What: what, Price: 5, Spent: 5 * count, Count: count}
	}
	tell := func(h *holder, lines ...quota.Line) {
		t.Helper()
		wantStatus(t, h.next(func(m *quota.Move) { m.Lines = lines }), quota.Open)
	}
	tell(h, line("a", 2), line("b", 1))
	tell(h, line("a", 2), line("b", 1))
	tell(h, line("a", 1))
	tell(h, line("a", 3), line("a", 2), line("b", 1))
	diff(t, "lines", w.lines("acme"), []quota.Line{line("a", 3), line("b", 1)})
	tell(other, line("a", 10))
	diff(t, "lines of two", w.lines("acme"), []quota.Line{line("a", 13), line("b", 1)})

	stale, old := h.Move, h.Move
	stale.Lines = []quota.Line{line("a", 100)}
	old.Seq, old.Told, old.Lines = old.Seq+1, w.millis()-2*time.Hour.Milliseconds(), stale.Lines
	answers := w.moves(stale, old)
	wantStatus(t, answers[0], quota.Stale)
	wantStatus(t, answers[1], quota.Old)
	diff(t, "lines of moves that were not done", w.lines("acme"), []quota.Line{line("a", 13), line("b", 1)})
}

func linesByPage(t *testing.T, w *world) {
	var lines []quota.Line
	for i := range 60 {
		lines = append(lines, quota.Line{
			Account: "acme", Hour: int64(i/20) * 3600, What: []string{"", "a", "A b", "é", "z"}[i%5], Price: []int64{0, 9, 10, 1 << 40}[i/5%4], Spent: int64(i), Count: 1,
		})
	}
	rand.New(rand.NewPCG(9, 9)).Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	first, second := w.lease(1, cell("wallet", 0), 1000), w.lease(2, cell("wallet", 0), 1000)
	first.next(func(m *quota.Move) { m.Lines = lines[:40] })
	second.next(func(m *quota.Move) {
		m.Lines = append(slices.Clone(lines[40:]), quota.Line{Account: "acm", Count: 1}, quota.Line{Account: "acme2", Count: 1})
	})
	second.next(func(m *quota.Move) { m.Lines = lines[:40] }) // both have these
	for i := range lines[:40] {
		lines[i].Spent *= 2
		lines[i].Count *= 2
	}
	slices.SortFunc(lines, byOrder)
	for _, size := range []int{1, 7, 60, 61, math.MaxInt32} {
		var got []quota.Line
		var after *quota.Line
		for {
			page, err := w.Lines(t.Context(), "acme", after, size)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 || len(page) > size || len(got) > len(lines) {
				break
			}
			got = append(got, page...)
			after = &page[len(page)-1]
		}
		diff(t, fmt.Sprintf("pages of %d", size), got, lines)
	}
	if none, err := w.Lines(t.Context(), "acme", nil, 0); err != nil || len(none) > 0 {
		t.Errorf("%d lines, %v; want none", len(none), err)
	}
	// One that was never there is a place in the order too.
	between := quota.Line{Hour: 3600, What: "a", Price: 9_999}
	want := slices.DeleteFunc(slices.Clone(lines), func(l quota.Line) bool { return byOrder(l, between) <= 0 })
	if got, err := w.Lines(t.Context(), "acme", &between, 100); err != nil {
		t.Error(err)
	} else {
		diff(t, "lines after a place", got, want)
	}
}
