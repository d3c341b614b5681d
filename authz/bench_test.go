package authz

import (
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
)

// BenchmarkGateCheckWarm is the whole decision on a token seen before: every
// step, with limits that are charged and never reached.
func BenchmarkGateCheckWarm(b *testing.B) {
	w := newWorld(b, func(c *PolicyConfig) {
		plan, err := limiter.NewPlan(limiter.Plan{Name: "default", Burst: limiter.Burst{Rate: 1e6, Size: 1e6}, PerMinute: 1e9})
		if err != nil {
			b.Fatal(err)
		}
		c.Plans["default"] = plan
	})
	req := get("/v1/contacts/7?x=1", w.token(b, "contacts:read"))
	ctx := b.Context()
	w.gate.now = func() time.Time { w.now = w.now.Add(10 * time.Microsecond); return w.now }
	w.gate.Check(ctx, req)
	w.cache.Wait()
	b.ReportAllocs()
	for b.Loop() {
		if d := w.gate.Check(ctx, req); !d.Allowed {
			b.Fatal(d.Cause)
		}
	}
}
