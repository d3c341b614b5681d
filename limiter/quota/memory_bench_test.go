package quota_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// generous is a ledger that gives whatever it is asked for and remembers nothing, so
// that what a benchmark finds is the book's.
type generous struct {
	quota.Ledger
	answers atomic.Int64
}

// settle waits until the ledger has heard of as many leases: what the book still has to
// tell would be counted among the requests.
func (l *generous) settle(leases int) {
	for l.answers.Load() < int64(leases) {
		runtime.Gosched()
	}
}

func (l *generous) Move(_ context.Context, moves []quota.Move, answers []quota.Answer) error {
	for i := range moves {
		m := &moves[i]
		answers[i] = quota.Answer{
			Status: quota.Open, Granted: max(m.Known, m.Spent+max(m.Hold, m.Need)), Available: m.Limit, Limit: m.Limit, Rev: m.Rev, Now: time.Now().UnixMilli(),
		}
		if m.Close {
			answers[i].Status = quota.Closed
		}
	}
	l.answers.Add(int64(len(moves)))
	return nil
}

// crowd are many tokens that use their limits.
type crowd struct {
	table *limiter.Table
	book  *quota.Book
	plans []*limiter.Plan // in memory, of every token
	bills []*quota.Bill   // by token
	res   limiter.Result
}

const plenty = 1e12 // a limit that nobody reaches

func kindOf(plan *limiter.Plan, kind limiter.Kind, subject ...string) quota.Charge {
	return quota.Charge{
		ID: quota.NewLimitID(kind, "plan", subject...), Kind: kind, Plan: plan, Limit: plenty, Rev: 1, Near: plenty * 4 / 5,
		Paid: kind == limiter.KindPaidRequests, Lines: kind == limiter.KindWallet,
	}
}

// newCrowd makes as many tokens, a thousand of them for each client; own: every token
// has limits of its own beside its client's.
func newCrowd(b *testing.B, tokens int, own bool) *crowd {
	b.Helper()
	table, err := limiter.New(limiter.Config{MaxBytes: 1 << 30, Epoch: time.Now()})
	if err != nil {
		b.Fatal(err)
	}
	book, err := quota.NewBook(quota.Config{Ledger: &generous{}, Random: &names{1}, MaxCounters: 5*tokens + 10_000})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { book.Run(ctx); close(ended) }()
	b.Cleanup(func() { stop(); <-ended })
	c := &crowd{table: table, book: book, bills: make([]*quota.Bill, tokens)}
	plan := func(name string, burst limiter.Burst) *limiter.Plan {
		p, err := limiter.NewPlan(limiter.Plan{Name: name, Burst: burst, PerMinute: 1e9, WarnAt: 0.8})
		if err != nil {
			b.Fatal(err)
		}
		return p
	}
	c.plans = []*limiter.Plan{plan("default", limiter.Burst{Rate: 1e6, Size: 1e6})}
	ownPlan := c.plans[0]
	if own {
		ownPlan = plan("token:", limiter.Burst{})
		c.plans = append(c.plans, ownPlan)
	}
	for i := range c.bills {
		client := fmt.Sprint("client", i/1000)
		charges := []quota.Charge{
			kindOf(c.plans[0], limiter.KindPerDay, client), kindOf(c.plans[0], limiter.KindTotalRequests, client),
			kindOf(c.plans[0], limiter.KindPaidRequests, client), kindOf(nil, limiter.KindWallet, client),
		}
		id := quota.NewBillID(client)
		if own {
			token := fmt.Sprint("token", i)
			for _, kind := range []limiter.Kind{limiter.KindPerDay, limiter.KindTotalRequests, limiter.KindPaidRequests, limiter.KindWalletAmount} {
				charges = append(charges, kindOf(ownPlan, kind, token))
			}
			id = quota.NewBillID(token)
		}
		c.bills[i] = book.Bill(id, client, time.UTC, charges)
	}
	return c
}

// use makes one request with a token.
func (c *crowd) use(ctx context.Context, i int) {
	now := time.Now()
	r := quota.Request{Now: now, Price: 1, What: "route"}
	c.book.Spend(ctx, &r, c.bills[i], &c.res, func(spend bool) {
		if spend {
			c.table.Take(now, limiter.Subject(i), c.plans, &c.res)
		} else {
			c.table.Look(now, limiter.Subject(i), c.plans, &c.res)
		}
	})
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}

// BenchmarkMemory is what a token costs while it is active, in the table and in the book,
// the list of bills included that the gate has in its place.
func BenchmarkMemory(b *testing.B) {
	for _, bb := range []struct {
		name   string
		own    bool
		tokens int
	}{
		{"limits of clients", false, 1_000_000}, {"limits of tokens", true, 200_000},
	} {
		b.Run(bb.name, func(b *testing.B) {
			for b.Loop() {
				before := heapInUse()
				c := newCrowd(b, bb.tokens, bb.own)
				made := heapInUse()
				for range 2 {
					for i := range c.bills {
						c.use(b.Context(), i)
					}
				}
				if c.res.Verdict != limiter.Allowed {
					b.Fatal(c.res.Verdict)
				}
				used := heapInUse()
				b.ReportMetric(float64(used-before)/float64(bb.tokens), "B/token")
				b.ReportMetric(float64(made-before)/float64(bb.tokens), "B/bill")
				b.ReportMetric(float64(c.table.Bytes())/float64(bb.tokens), "B/table")
				b.ReportMetric(0, "ns/op")
				runtime.KeepAlive(c)
			}
		})
	}
}

// BenchmarkSpend_Subjects is a request of one of many clients, each with a day of its
// own, ten to an account: a prime step visits all of them, in no order of the memory.
func BenchmarkSpend_Subjects(b *testing.B) {
	for n := 10; n <= 1_000_000; n *= 10 {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ledger := &generous{}
			book, err := quota.NewBook(quota.Config{Ledger: ledger, Random: &names{1}, MaxCounters: n})
			if err != nil {
				b.Fatal(err)
			}
			ctx, stop := context.WithCancel(context.Background())
			ended := make(chan struct{})
			go func() { book.Run(ctx); close(ended) }()
			bills := make([]*quota.Bill, n)
			var res limiter.Result
			spend := func(i int) {
				r := quota.Request{Now: time.Now(), What: "route"}
				book.Spend(ctx, &r, bills[i], &res, func(bool) { res.Verdict, res.Count = limiter.Allowed, 0 })
			}
			for i := range bills {
				client := fmt.Sprint(i)
				bills[i] = book.Bill(quota.NewBillID(client), fmt.Sprint(i/10), time.UTC, []quota.Charge{kindOf(nil, limiter.KindPerDay, client)})
				spend(i)
			}
			ledger.settle(n)
			runtime.GC()
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				i = (i + 7919) % n
				spend(i)
			}
			if res.Verdict != limiter.Allowed {
				b.Fatal(res.Verdict)
			}
			stop()
			<-ended
		})
	}
}
