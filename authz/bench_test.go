package authz

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/limiter/quota/ledgertest"
	"github.com/tollgate-authz/tollgate/tokens"
)

// BenchmarkGateCheckWarm is the whole decision on a token seen before: every
// step, with limits that are charged and never reached.
func BenchmarkGateCheckWarm(b *testing.B) {
	burst := limiter.Burst{Rate: 1e6, Size: 1e6}
	const most = 1e12
	for _, bb := range []struct {
		name string
		plan limiter.Plan
		Plan
		price quota.Micros
	}{
		{"burst", limiter.Plan{Name: "default", Burst: burst}, Plan{}, 0},
		{"burst and minute", limiter.Plan{Name: "default", Burst: burst, PerMinute: 1e9}, Plan{}, 0},
		{"default plan", limiter.Plan{Name: "default", Burst: burst, PerMinute: 1e9, WarnAt: 0.8}, Plan{PerDay: Limit{most, 1}}, 0},
		{"all", limiter.Plan{Name: "default", Burst: burst, PerMinute: 1e9, WarnAt: 0.8}, Plan{
			PerDay: Limit{most, 1}, TotalRequests: Limit{most, 1}, PaidRequests: Limit{most, 1}, Lockout: time.Minute,
		}, 1},
	} {
		b.Run(bb.name, func(b *testing.B) {
			w := newWorld(b, func(c *PolicyConfig) {
				made := bb.Plan
				made.Name, made.Table = "default", plan(b, bb.plan).Table
				c.Plans["default"] = &made
				c.APIs[0].Routes[0].Price = bb.price
			})
			var clock atomic.Int64 // microseconds
			now := func() time.Time { return epoch.Add(time.Duration(clock.Load()) * time.Microsecond) }
			book, err := quota.NewBook(quota.Config{Ledger: ledgertest.NewMemory(now), Random: w.book.Random, Now: now})
			if err != nil {
				b.Fatal(err)
			}
			go book.Run(b.Context())
			w.change(b, tokens.Changes{Accounts: map[string]*tokens.Account{"acme": {Name: "acme", Credit: most, CreditRev: 1}}})
			w.gate.quotas = book
			w.gate.now = func() time.Time { clock.Add(10); return now() }
			req := get("/v1/contacts/7?x=1", w.token(b, "contacts:read"))
			ctx := b.Context()
			for range 1000 {
				w.gate.Check(ctx, req)
			}
			w.cache.Wait()
			b.ReportAllocs()
			for b.Loop() {
				if d := w.gate.Check(ctx, req); !d.Allowed {
					b.Fatal(d.Cause)
				}
			}
		})
	}
}
