package quota_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/limiter/quota/ledgertest"
)

// world is a book on a ledger in memory.
type world struct {
	ledger *ledgertest.Memory
	book   *quota.Book
}

func newWorld(t testing.TB, ctx context.Context) *world {
	t.Helper()
	w := &world{ledger: ledgertest.NewMemory(time.Now)}
	w.book = w.open(t, ctx, 1)
	return w
}

// open makes another book, which runs until ctx ends.
func (w *world) open(t testing.TB, ctx context.Context, name byte) *quota.Book {
	t.Helper()
	book, err := quota.NewBook(quota.Config{Ledger: w.ledger, Random: &names{name}})
	if err != nil {
		t.Fatal(err)
	}
	go book.Run(ctx)
	return book
}

// names draws one name after another.
type names struct{ last byte }

func (n *names) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = n.last
	}
	n.last++
	return len(p), nil
}

func charge(kind limiter.Kind, limit int64, subject ...string) quota.Charge {
	return quota.Charge{ID: quota.NewLimitID(kind, "p", subject...), Kind: kind, Limit: limit, Rev: 1, Paid: kind == limiter.KindPaidRequests}
}

// spend charges one request and returns the verdict.
func spend(ctx context.Context, b *quota.Book, bill *quota.Bill, price quota.Micros) limiter.Result {
	var res limiter.Result
	b.Spend(ctx, &quota.Request{Now: time.Now(), Price: price, What: "route"}, bill, &res, func(bool) { res = limiter.Result{Verdict: limiter.Allowed} })
	return res
}

// Of 64 callers with 10,000 requests each, exactly as many pass as the limit allows, for
// every kind of limit (bar B18).
func TestB18_ExactlyTheLimitIsAllowed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		kind  limiter.Kind
		limit int64
		price quota.Micros
	}{
		{limiter.KindPerDay, 1000, 0}, {limiter.KindTotalRequests, 1000, 0}, {limiter.KindPaidRequests, 1000, 20_000},
		{limiter.KindWalletAmount, 20_000_000, 20_000}, {limiter.KindWallet, 20_019_999, 20_000},
	} {
		t.Run(tt.kind.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, t.Context())
			bill := w.book.Bill(quota.NewBillID("b"), "a", time.UTC, []quota.Charge{charge(tt.kind, tt.limit, "s")})
			var allowed, unavailable atomic.Int64
			var wg sync.WaitGroup
			for range 64 {
				wg.Go(func() {
					ctx, r := t.Context(), quota.Request{Now: time.Now(), Price: tt.price, What: "route"}
					var res limiter.Result // once: it is large
					memory := func(bool) { res.Verdict, res.Count = limiter.Allowed, 0 }
					for range 10_000 {
						r.Now = time.Now()
						w.book.Spend(ctx, &r, bill, &res, memory)
						switch res.Verdict {
						case limiter.Allowed:
							allowed.Add(1)
						case limiter.RefusedQuota:
						case limiter.Unavailable:
							unavailable.Add(1)
						default:
							t.Errorf("got %v", res.Verdict)
						}
					}
				})
			}
			wg.Wait()
			if allowed.Load() != 1000 {
				t.Errorf("%d allowed (%d timed out), want exactly 1000", allowed.Load(), unavailable.Load())
			}
		})
	}
}

// A clean stop gives back what was not spent, to the last unit.
func TestCloseStrandsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		running, stop := context.WithCancel(t.Context())
		w := newWorld(t, running)
		charges := []quota.Charge{charge(limiter.KindPerDay, 100_000, "c"), charge(limiter.KindWallet, 10_000_000, "a")}
		charges[1].Lines = true
		bill := w.book.Bill(quota.NewBillID("b"), "a", time.UTC, charges)
		for range 123 {
			if res := spend(t.Context(), w.book, bill, 20_000); res.Verdict != limiter.Allowed {
				t.Fatal(res.Verdict)
			}
		}
		stop()
		synctest.Wait()
		if left := w.book.Close(t.Context()); left != 0 {
			t.Errorf("%d leases were not given back", left)
		}
		other := w.open(t, t.Context(), 99)
		details, err := other.Inspect(t.Context(), time.Now(), other.Bill(quota.NewBillID("b"), "a", time.UTC, charges))
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []int64{123, 123 * 20_000} {
			if d := details[i]; d.Used != want || d.Left != d.Limit-want || d.Leased != 0 {
				t.Errorf("%v: got %d used, %d left, %d leased, want %d used and nothing leased", d.Kind, d.Used, d.Left, d.Leased, want)
			}
		}
		lines, err := w.ledger.Lines(t.Context(), "a", nil, 10)
		if err != nil || len(lines) != 1 || lines[0].Spent != 123*20_000 || lines[0].Count != 123 {
			t.Errorf("got lines %+v (%v), want one with 123 requests", lines, err)
		}
	})
}

// While the ledger is away, what was leased may be spent; then requests are refused at
// once, or pass where on_unavailable says so. Afterwards all is as before.
func TestLedgerAway(t *testing.T) {
	t.Parallel()
	for _, allow := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			w := newWorld(t, ctx)
			ch := charge(limiter.KindPerDay, 1000, "c")
			ch.Allow = allow
			bill := w.book.Bill(quota.NewBillID("b"), "a", time.UTC, []quota.Charge{ch})
			if res := spend(t.Context(), w.book, bill, 0); res.Verdict != limiter.Allowed {
				t.Fatal(res.Verdict)
			}
			synctest.Wait()
			w.ledger.Fail(errors.New("locked"))
			counts := map[limiter.Verdict]int{}
			for range 50 {
				began := time.Now()
				counts[spend(t.Context(), w.book, bill, 0).Verdict]++
				if took := time.Since(began); took > 20*time.Millisecond {
					t.Errorf("a request took %v", took)
				}
				time.Sleep(time.Millisecond)
			}
			if allow && counts[limiter.Allowed] != 50 || !allow && (counts[limiter.Unavailable] < 45 || counts[limiter.Allowed]+counts[limiter.Unavailable] != 50) {
				t.Errorf("allow %v: got %v", allow, counts)
			}
			w.ledger.Fail(nil)
			time.Sleep(2 * time.Second)
			if w.book.Away() {
				t.Error("the ledger is back and was not asked")
			}
			if res := spend(t.Context(), w.book, bill, 0); res.Verdict != limiter.Allowed {
				t.Errorf("after the outage: got %v", res.Verdict)
			}
			stop()
			synctest.Wait()
			w.book.Close(t.Context())
			usage, err := w.ledger.Usage(t.Context(), []quota.CellID{{Limit: ch.ID, Window: int32(time.Now().Unix() / 86400)}})
			if want := int64(counts[limiter.Allowed] + 2); err != nil || usage[0].Spent != want || usage[0].Leased != 0 {
				t.Errorf("got %+v (%v), want %d spent", usage, err, want)
			}
		})
	}
}

// BenchmarkSpend is a request charged to limits that are leased.
func BenchmarkSpend(b *testing.B) {
	for _, n := range []int{1, 4} {
		b.Run(fmt.Sprintf("%d limits", n), func(b *testing.B) {
			ctx := b.Context()
			w := newWorld(b, ctx)
			kinds := []limiter.Kind{limiter.KindPerDay, limiter.KindTotalRequests, limiter.KindPaidRequests, limiter.KindWallet}
			var charges []quota.Charge
			for _, kind := range kinds[:n] {
				c := charge(kind, 1e15, "s")
				c.Lines = kind == limiter.KindWallet
				charges = append(charges, c)
			}
			bill := w.book.Bill(quota.NewBillID("b"), "a", time.UTC, charges)
			var res limiter.Result
			r := quota.Request{Now: time.Now(), Price: 1, What: "route"}
			memory := func(bool) { res.Count, res.Verdict = 0, limiter.Allowed }
			for range 1000 {
				w.book.Spend(ctx, &r, bill, &res, memory)
			}
			b.ReportAllocs()
			for b.Loop() {
				if w.book.Spend(ctx, &r, bill, &res, memory); res.Verdict != limiter.Allowed {
					b.Fatal(res.Verdict)
				}
			}
		})
	}
}

// waits counts what requests waited for.
type waits struct{ n atomic.Int64 }

func (w *waits) Moved([]quota.Answer, error, time.Duration) {}
func (w *waits) Waited(quota.Outcome, time.Duration)        { w.n.Add(1) }

// At midnight nobody waits for the first lease of the day, and the day before has
// nothing left leased.
func TestNextDayIsPrepared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		w := &world{ledger: ledgertest.NewMemory(time.Now)}
		observed := &waits{}
		book, err := quota.NewBook(quota.Config{Ledger: w.ledger, Random: &names{1}, Observer: observed})
		if err != nil {
			t.Fatal(err)
		}
		go book.Run(ctx)
		ch := charge(limiter.KindPerDay, 100_000, "c")
		bill := book.Bill(quota.NewBillID("b"), "a", time.UTC, []quota.Charge{ch})
		midnight := time.Now().Truncate(24 * time.Hour).Add(24 * time.Hour)
		time.Sleep(time.Until(midnight) - 40*time.Second)
		spent := [2]int64{}
		for i := range spent {
			for time.Now().Before(midnight.Add(time.Duration(i) * 40 * time.Second)) {
				if res := spend(t.Context(), book, bill, 0); res.Verdict != limiter.Allowed {
					t.Fatal(res.Verdict)
				}
				spent[i]++
				time.Sleep(100 * time.Millisecond)
			}
			if i == 0 {
				observed.n.Store(0)
			}
		}
		if n := observed.n.Load(); n != 0 {
			t.Errorf("%d requests waited after midnight", n)
		}
		stop()
		synctest.Wait()
		book.Close(t.Context())
		for i, window := range []int32{int32(midnight.Unix()/86400) - 1, int32(midnight.Unix() / 86400)} {
			usage, err := w.ledger.Usage(t.Context(), []quota.CellID{{Limit: ch.ID, Window: window}})
			if err != nil || usage[0].Spent != spent[i] || usage[0].Leased != 0 {
				t.Errorf("day %d: got %+v (%v), want %d spent", i, usage, err, spent[i])
			}
		}
	})
}

// slow is a ledger that answers too late for those who wait.
type slow struct{ quota.Ledger }

func (l slow) Move(ctx context.Context, moves []quota.Move, answers []quota.Answer) error {
	time.Sleep(50 * time.Millisecond)
	return l.Ledger.Move(ctx, moves, answers)
}

// However many wait in vain, a process does not hold more than a hundredth of a limit,
// or one price, when they have gone.
func TestB13_NoMoreIsLeasedThanAHundredth(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		charge quota.Charge
		price  quota.Micros
		most   int64
	}{
		{charge(limiter.KindTotalRequests, 1000, "s"), 0, 10}, {charge(limiter.KindTotalRequests, 50, "s"), 0, 1},
		{charge(limiter.KindWallet, 10_000_000, "s"), 20_000, 100_000}, {charge(limiter.KindWallet, 1_000_000, "s"), 20_000, 20_000},
	} {
		synctest.Test(t, func(t *testing.T) {
			ledger := ledgertest.NewMemory(time.Now)
			book, err := quota.NewBook(quota.Config{Ledger: slow{ledger}, Random: &names{1}})
			if err != nil {
				t.Fatal(err)
			}
			go book.Run(t.Context())
			time.Sleep(time.Second) // the clock is learned
			bill := book.Bill(quota.NewBillID("b"), "a", time.UTC, []quota.Charge{tt.charge})
			var wg sync.WaitGroup
			for range 400 {
				wg.Go(func() { spend(t.Context(), book, bill, tt.price) })
			}
			wg.Wait()
			for range 5 {
				time.Sleep(100 * time.Millisecond)
				usage, err := ledger.Usage(t.Context(), []quota.CellID{{Limit: tt.charge.ID}})
				if err != nil || usage[0].Leased > tt.most {
					t.Errorf("%v of %d: %d leased (%v), want at most %d", tt.charge.Kind, tt.charge.Limit, usage[0].Leased, err, tt.most)
				}
			}
		})
	}
}
