package authz

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/limiter/quota/ledgertest"
	"github.com/tollgate-authz/tollgate/tokens"
)

// live is a world whose clock is that of the bubble it runs in, with a ledger that
// answers. Time passes only while everybody sleeps.
func live(t *testing.T, run func(t *testing.T, w *world), change ...func(*PolicyConfig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, change...)
		w.now = time.Now()
		w.ledger = ledgertest.NewMemory(time.Now)
		var err error
		if w.book, err = quota.NewBook(quota.Config{Ledger: w.ledger, Random: rand.Reader}); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go w.book.Run(ctx)
		w.gate.quotas, w.gate.now = w.book, time.Now
		run(t, w)
	})
}

// codes counts what became of n requests.
func (w *world) codes(t *testing.T, n int, req Request) map[string]int {
	t.Helper()
	codes := map[string]int{}
	for range n {
		codes[w.code(t, req)]++
	}
	return codes
}

func (w *world) code(t *testing.T, req Request) string {
	t.Helper()
	d := w.gate.Check(t.Context(), req)
	if reason := d.Refusal(); reason != nil {
		return reason.Code
	}
	return "ok"
}

func wantCodes(t *testing.T, got map[string]int, want map[string]int) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// withPlan changes the default plan.
func withPlan(change func(*Plan)) func(*PolicyConfig) {
	return func(c *PolicyConfig) {
		table, err := limiter.NewPlan(limiter.Plan{Name: "default", WarnAt: 0.8})
		if err != nil {
			panic(err)
		}
		p := &Plan{Name: "default", Table: table}
		change(p)
		c.Plans["default"] = p
	}
}

func tabled(of limiter.Plan) *limiter.Plan {
	of.Name = "default"
	return mustPlan(of)
}

func (w *world) credit(t *testing.T, amount string) {
	t.Helper()
	sum, err := quota.ParseMicros(amount)
	if err != nil {
		t.Fatal(err)
	}
	w.credits++
	w.change(t, tokens.Changes{Accounts: map[string]*tokens.Account{"acme": {Name: "acme", Zone: "Europe/Berlin", Credit: sum, CreditRev: w.credits}}})
}

// A day's limit counts for the client over all of its tokens, and ends at midnight of
// the account's zone, to which Retry-After leads to the second.
func TestI8_PerDayIsTheClientsAndEndsAtMidnight(t *testing.T) {
	t.Parallel()
	live(t, func(t *testing.T, w *world) {
		w.credit(t, "0")
		first := get("/v1/free", w.token(t))
		wantCodes(t, w.codes(t, 6, first), map[string]int{"ok": 6})
		w.now = w.now.Add(time.Second) // another token
		second := get("/v1/free", w.token(t))
		wantCodes(t, w.codes(t, 10, second), map[string]int{"ok": 4, "R3": 6})
		d := w.gate.Check(t.Context(), first)
		berlin, err := time.LoadLocation("Europe/Berlin")
		if err != nil {
			t.Fatal(err)
		}
		year, month, day := time.Now().In(berlin).Date()
		midnight := time.Date(year, month, day+1, 0, 0, 0, 0, berlin)
		if wait := time.Until(midnight); d.Limits.RetryAfter != wait || d.Limits.Never {
			t.Errorf("retry after %v (never %v), want %v", d.Limits.RetryAfter, d.Limits.Never, wait)
		}
		time.Sleep(time.Until(midnight) - time.Second)
		w.now = time.Now()
		first = get("/v1/free", w.token(t))
		wantCodes(t, w.codes(t, 1, first), map[string]int{"R3": 1})
		time.Sleep(time.Second)
		wantCodes(t, w.codes(t, 12, first), map[string]int{"ok": 10, "R3": 2})
	}, withPlan(func(p *Plan) { p.PerDay = Limit{10, 1} }))
}

// Each token has a minute of its own: a client with two tokens has it twice.
func TestV3_EachTokenHasAMinuteOfItsOwn(t *testing.T) {
	t.Parallel()
	live(t, func(t *testing.T, w *world) {
		first := get("/v1/free", w.token(t))
		w.now = w.now.Add(time.Second) // another token
		second := get("/v1/free", w.token(t))
		wantCodes(t, w.codes(t, 5, first), map[string]int{"ok": 3, "R3": 2})
		wantCodes(t, w.codes(t, 5, second), map[string]int{"ok": 3, "R3": 2})
	}, withPlan(func(p *Plan) { p.Table = tabled(limiter.Plan{PerMinute: 3}) }))
}

// A token's own limits are its own, whatever other tokens of the client do.
func TestO1_LimitsOfOneToken(t *testing.T) {
	t.Parallel()
	live(t, func(t *testing.T, w *world) {
		limited := w.token(t)
		verified, err := w.verifier.Verify(t.Context(), limited, w.now)
		if err != nil {
			t.Fatal(err)
		}
		grant := *verified.Record()
		limit := func(rev int64, limits tokens.TokenLimits) {
			g := grant
			g.Terms = &tokens.Terms{Limits: limits, LimitsRev: rev}
			w.change(t, tokens.Changes{Grants: map[string]*tokens.Grant{g.ID: &g}})
		}
		w.now = w.now.Add(time.Second)
		other := w.token(t)
		limit(1, tokens.TokenLimits{TotalRequests: 5, PerMinute: 3})
		req := get("/v1/free", limited)
		wantCodes(t, w.codes(t, 5, req), map[string]int{"ok": 3, "R3": 2})
		d := w.gate.Check(t.Context(), req)
		if s := d.Limits.All(); len(s) != 2 || LimitName(&s[0]) != "token.per_minute" || LimitName(&s[1]) != "token.total_requests" || s[1].Remaining != 2 {
			t.Errorf("standings %+v, want token.per_minute and 2 left of token.total_requests", s)
		}
		wantCodes(t, w.codes(t, 20, get("/v1/free", other)), map[string]int{"ok": 20})
		time.Sleep(time.Minute)
		wantCodes(t, w.codes(t, 3, req), map[string]int{"ok": 2, "R3": 1})
		if d := w.gate.Check(t.Context(), req); !d.Limits.Never {
			t.Error("a limit that never resets promises a time")
		}
		limit(2, tokens.TokenLimits{TotalRequests: 7}) // a change holds for the next Check
		wantCodes(t, w.codes(t, 3, req), map[string]int{"ok": 2, "R3": 1})
		limit(3, tokens.TokenLimits{TotalRequests: 1})
		wantCodes(t, w.codes(t, 3, req), map[string]int{"R3": 3})
		limit(4, tokens.TokenLimits{TotalRequests: 8})
		wantCodes(t, w.codes(t, 3, req), map[string]int{"ok": 1, "R3": 2})
	}, withPlan(func(*Plan) {}))
}

// Paid requests need credit, and spend it to the last digit; in the sandbox they cost
// nothing (row O7).
func TestO4_WalletPaysForPricedRoutes(t *testing.T) {
	t.Parallel()
	priced := func(c *PolicyConfig) { c.APIs[0].Routes[0].Price = 20_000 }
	live(t, func(t *testing.T, w *world) {
		req := get("/v1/contacts/7", w.token(t, "contacts:read"))
		free := get("/v1/free", w.token(t, "contacts:read"))
		wantCodes(t, w.codes(t, 2, req), map[string]int{"R3": 2})
		wantCodes(t, w.codes(t, 2, free), map[string]int{"ok": 2})
		w.credit(t, "0.10")
		wantCodes(t, w.codes(t, 7, req), map[string]int{"ok": 5, "R3": 2})
		if d := w.gate.Check(t.Context(), req); !d.Limits.Never {
			t.Error("an empty wallet promises a time")
		}
		w.credit(t, "0.13")
		wantCodes(t, w.codes(t, 2, req), map[string]int{"ok": 1, "R3": 1})
		time.Sleep(2 * time.Second)
		lines, err := w.ledger.Lines(t.Context(), "acme", nil, 10)
		if err != nil || len(lines) != 1 || lines[0].Spent != 120_000 || lines[0].Count != 6 || lines[0].What != "contacts.get" {
			t.Errorf("got %+v (%v), want 6 requests of contacts.get for 0.12", lines, err)
		}
		wantCodes(t, w.codes(t, 2, free), map[string]int{"ok": 2})

		sandbox := *w.client
		sandbox.Environment = tokens.Sandbox
		w.publish(t, &sandbox)
		req.Host = "sandbox.example.com"
		wantCodes(t, w.codes(t, 9, req), map[string]int{"ok": 9})
	}, withPlan(func(p *Plan) { p.PaidRequests = Limit{100, 1} }), priced)
}

func TestO1_PaidRequestsCountOnlyWithAPrice(t *testing.T) {
	t.Parallel()
	live(t, func(t *testing.T, w *world) {
		w.credit(t, "10")
		req := get("/v1/contacts/7", w.token(t, "contacts:read"))
		free := get("/v1/free", w.token(t, "contacts:read"))
		wantCodes(t, w.codes(t, 5, free), map[string]int{"ok": 5})
		wantCodes(t, w.codes(t, 5, req), map[string]int{"ok": 3, "R3": 2})
		wantCodes(t, w.codes(t, 5, free), map[string]int{"ok": 5})
	}, withPlan(func(p *Plan) { p.PaidRequests = Limit{3, 1} }), func(c *PolicyConfig) { c.APIs[0].Routes[0].Price = 1 })
}

// What any limit refuses is charged to none.
func TestB18_RefusedRequestsSpendNothing(t *testing.T) {
	t.Parallel()
	live(t, func(t *testing.T, w *world) {
		w.credit(t, "0.05")
		priced := get("/v1/contacts/7", w.token(t, "contacts:read"))
		free := get("/v1/free", w.token(t, "contacts:read"))
		free.Authorization = priced.Authorization
		wantCodes(t, w.codes(t, 8, priced), map[string]int{"ok": 2, "R3": 6}) // the wallet refuses, nothing else is spent
		wantCodes(t, w.codes(t, 12, free), map[string]int{"ok": 8, "R7": 4})  // burst refuses, the day is not spent
		time.Sleep(10 * time.Second)
		wantCodes(t, w.codes(t, 12, free), map[string]int{"ok": 10, "R7": 2})
		time.Sleep(10 * time.Second)
		wantCodes(t, w.codes(t, 9, free), map[string]int{"ok": 5, "R3": 4}) // 25 in all
	}, withPlan(func(p *Plan) {
		p.Table = tabled(limiter.Plan{Burst: limiter.Burst{Rate: 1, Size: 10}})
		p.PerDay = Limit{25, 1}
	}), func(c *PolicyConfig) { c.APIs[0].Routes[0].Price = 20_000 })
}

// A route's plan is charged beside the client's, and counted apart.
func TestRoutePlanIsChargedBeside(t *testing.T) {
	t.Parallel()
	live(t, func(t *testing.T, w *world) {
		strict, free := get("/v1/strict", w.token(t)), get("/v1/free", w.token(t))
		free.Authorization = strict.Authorization
		wantCodes(t, w.codes(t, 5, strict), map[string]int{"ok": 3, "R3": 2})
		d := w.gate.Check(t.Context(), strict)
		names := ""
		for _, s := range d.Limits.All() {
			names += LimitName(&s) + " "
		}
		if want := "per_day strict.per_day "; names != want {
			t.Errorf("got limits %q, want %q", names, want)
		}
		wantCodes(t, w.codes(t, 10, free), map[string]int{"ok": 7, "R3": 3})
	}, withPlan(func(p *Plan) { p.PerDay = Limit{10, 1} }), func(c *PolicyConfig) {
		c.APIs[0].Routes[3].Plan = &Plan{Name: "strict", Table: mustPlan(limiter.Plan{Name: "route:strict", Label: "strict"}), PerDay: Limit{3, 1}}
	})
}

// Exceeding per_minute locks the token out of everything for the period, which
// refusals do not extend; another token of the client is not touched.
func TestV4_LockoutAfterPerMinute(t *testing.T) {
	t.Parallel()
	live(t, func(t *testing.T, w *world) {
		bearer := w.token(t)
		w.now = w.now.Add(time.Second)
		other := get("/v1/free", w.token(t))
		req := get("/v1/free", bearer)
		wantCodes(t, w.codes(t, 6, req), map[string]int{"ok": 5, "R3": 1})
		d := w.gate.Check(t.Context(), req)
		if d.Step != "lockout" || d.Limits.RetryAfter != 5*time.Minute || len(d.Limits.All()) == 0 {
			t.Errorf("refused at %q, retry after %v, standings %v", d.Step, d.Limits.RetryAfter, d.Limits.All())
		}
		wantCodes(t, w.codes(t, 1, other), map[string]int{"ok": 1})
		time.Sleep(2 * time.Minute)
		wantCodes(t, w.codes(t, 3, req), map[string]int{"R3": 3})
		time.Sleep(3*time.Minute - time.Second)
		if d := w.gate.Check(t.Context(), req); d.Limits.RetryAfter != time.Second {
			t.Errorf("retry after %v, want 1s", d.Limits.RetryAfter)
		}
		time.Sleep(time.Second)
		wantCodes(t, w.codes(t, 1, req), map[string]int{"ok": 1})
		if len(w.lockouts) != 1 || w.lockouts[0].Client != "client1" || !w.lockouts[0].Lasting() {
			t.Errorf("told of %+v, want one lockout", w.lockouts)
		}
	}, withPlan(func(p *Plan) {
		p.Table = tabled(limiter.Plan{PerMinute: 5})
		p.Lockout = 5 * time.Minute
	}))
}

func TestV4_BurstAndDayLockNobodyOut(t *testing.T) {
	t.Parallel()
	live(t, func(t *testing.T, w *world) {
		req := get("/v1/free", w.token(t))
		wantCodes(t, w.codes(t, 5, req), map[string]int{"ok": 2, "R7": 3})
		time.Sleep(2 * time.Second)
		wantCodes(t, w.codes(t, 2, req), map[string]int{"ok": 1, "R3": 1})
		if len(w.lockouts) != 0 {
			t.Errorf("told of %+v", w.lockouts)
		}
	}, withPlan(func(p *Plan) {
		p.Table = tabled(limiter.Plan{Burst: limiter.Burst{Rate: 1, Size: 2}, PerMinute: 100})
		p.PerDay, p.Lockout = Limit{3, 1}, time.Hour
	}))
}

// From warn_at on the limit is near, and notice is given once for it and once when it
// is used up, in every window.
func TestV4_NoticeOncePerWindow(t *testing.T) {
	t.Parallel()
	live(t, func(t *testing.T, w *world) {
		bearer := w.token(t)
		for range 2 {
			w.notices = nil
			wantCodes(t, w.codes(t, 13, get("/v1/free", bearer)), map[string]int{"ok": 10, "R3": 3})
			if len(w.notices) != 2 || w.notices[0].Level != limiter.Near || w.notices[0].Used != 8 || w.notices[1].Level != limiter.Reached || w.notices[1].Used != 10 {
				t.Errorf("got notices %+v, want near at 8 and used up at 10", w.notices)
			}
			for _, n := range w.notices {
				if n.Limit != "per_day" || n.Most != 10 || n.Client != "client1" || n.Account != "acme" || n.Token != "" || n.Plan != "default" {
					t.Errorf("got %+v", n)
				}
			}
			time.Sleep(24 * time.Hour)
			w.now = time.Now()
			bearer = w.token(t)
		}
	}, withPlan(func(p *Plan) { p.PerDay = Limit{10, 1} }))
}

// A plan in shadow counts, tells and refuses nothing.
func TestShadowPlanRefusesNothing(t *testing.T) {
	t.Parallel()
	live(t, func(t *testing.T, w *world) {
		req := get("/v1/free", w.token(t))
		shadowed := 0
		for range 9 {
			d := w.gate.Check(t.Context(), req)
			if !d.Allowed {
				t.Fatalf("refused: %v", d.Cause)
			}
			if d.Limits.Shadowed {
				shadowed++
			}
		}
		if shadowed != 5 {
			t.Errorf("%d would have been refused, want 5", shadowed)
		}
		details, err := w.book.Inspect(t.Context(), time.Now(), w.gate.bill(w.payer(t, req), &check{Request: req, Decision: w.gate.Check(t.Context(), req), policy: w.gate.Policy()}))
		if err != nil || len(details) != 1 || details[0].Used != 4 {
			t.Errorf("got %+v (%v), want 4 used", details, err)
		}
	}, withPlan(func(p *Plan) {
		p.Table = tabled(limiter.Plan{Shadow: true})
		p.PerDay = Limit{4, 1}
	}))
}

func (w *world) payer(t *testing.T, req Request) *payer {
	t.Helper()
	c := &check{Request: req, Decision: w.gate.Check(t.Context(), req), policy: w.gate.Policy()}
	p, err := w.gate.findPayer(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// While the ledger does not answer, requests are refused as our own fault, unless the
// plan lets them pass.
func TestLedgerAwayIsOurFault(t *testing.T) {
	t.Parallel()
	for _, allow := range []bool{false, true} {
		want := "R0"
		if allow {
			want = "ok"
		}
		live(t, func(t *testing.T, w *world) {
			w.ledger.Fail(errors.New("locked"))
			wantCodes(t, w.codes(t, 5, get("/v1/free", w.token(t))), map[string]int{want: 5})
			w.ledger.Fail(nil)
			time.Sleep(2 * time.Second)
			wantCodes(t, w.codes(t, 5, get("/v1/free", w.token(t))), map[string]int{"ok": 5})
		}, withPlan(func(p *Plan) { p.PerDay, p.AllowUnavailable = Limit{1000, 1}, allow }))
	}
}

// A caller who obeys what the answers tell him is never refused, for five minutes and
// whatever limits apply (contract section 3).
func TestACallerWhoObeysIsNeverRefused(t *testing.T) {
	t.Parallel()
	live(t, func(t *testing.T, w *world) {
		w.credit(t, "1000")
		req := get("/v1/contacts/7", w.token(t, "contacts:read"))
		end := time.Now().Add(5 * time.Minute)
		sent := 0
		for time.Now().Before(end) {
			d := w.gate.Check(t.Context(), req)
			if !d.Allowed {
				t.Fatalf("request %d was refused: %v", sent, d.Cause)
			}
			sent++
			for _, s := range d.Limits.All() {
				if s.Remaining == 0 && s.Window > 0 { // nothing left until then
					time.Sleep(s.Reset.Round(time.Second) + time.Second)
				}
			}
		}
		if sent < 200 {
			t.Errorf("only %d requests were sent", sent)
		}
	}, withPlan(func(p *Plan) {
		p.Table = tabled(limiter.Plan{Burst: limiter.Burst{Rate: 5, Size: 10}, PerMinute: 60})
		p.PerDay, p.TotalRequests, p.PaidRequests = Limit{100_000, 1}, Limit{100_000, 1}, Limit{100_000, 1}
	}), func(c *PolicyConfig) { c.APIs[0].Routes[0].Price = 20_000 })
}
