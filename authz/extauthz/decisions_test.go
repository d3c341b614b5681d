package extauthz

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollgate-authz/tollgate/authz"
	"github.com/tollgate-authz/tollgate/authz/decisions"
	"github.com/tollgate-authz/tollgate/authz/deny"
	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/tokens"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newDecisions() Decisions {
	return Decisions{
		Ring: decisions.New(decisions.Config{Steps: authz.Steps[:], Start: noon}),
		Now:  func() time.Time { return noon.Add(time.Hour) },
	}
}

// decided is an allowed request as the gate answers it.
func decided() (authz.Request, authz.Decision) {
	trust := &tokens.Trust{Issuer: "https://issuer.example", Account: "acme", Environment: tokens.Production}
	d := authz.Decision{
		ID: authz.NewID(), At: noon, Allowed: true, Source: netip.MustParseAddr("192.0.2.7"),
		Identity: &tokens.Identity{Token: &tokens.Token{Trust: trust, ID: "token1", ClientID: "client1"}},
		Route:    &authz.Route{Name: "contacts.get", Pattern: "GET /v1/contacts/{id}", API: &authz.API{Name: "contacts"}},
	}
	return authz.Request{Method: "GET", Host: "api.example.com", Path: "/v1/contacts/7?token=x", RequestID: "req-1"}, d
}

func TestDecisionsAreKept(t *testing.T) {
	t.Parallel()
	watching, err := limiter.NewPlan(limiter.Plan{Name: "watch", Label: "watch", PerMinute: 1, Shadow: true})
	if err != nil {
		t.Fatal(err)
	}
	var passed []decisions.Step
	for _, name := range authz.Steps {
		passed = append(passed, decisions.Step{Name: name, Result: decisions.StepPassed})
	}
	upTo := func(n int) []decisions.Step {
		return append(passed[:n:n], decisions.Step{Name: authz.Steps[n], Result: decisions.StepRefused})
	}
	refuse := func(d *authz.Decision, step string, err error) {
		d.Allowed, d.Step, d.Cause, d.Reason = false, step, err, deny.Internal
		_ = errors.As(err, &d.Reason)
	}
	for _, tt := range []struct {
		name   string
		change func(*authz.Decision)
		want   func(*decisions.Record)
	}{
		{"allowed", func(*authz.Decision) {}, func(*decisions.Record) {}},
		{"no scope", func(d *authz.Decision) { refuse(d, "scope", deny.Unauthorized.Because("no")) }, func(r *decisions.Record) {
			r.Code, r.Status, r.Step, r.Cause, r.Steps = "R6", 401, "scope", "R6: no", upTo(6)
		}},
		{"not enforced", func(d *authz.Decision) { refuse(d, "path", deny.BadRequest.Because("no")); d.Passed = true }, func(r *decisions.Record) {
			r.Code, r.Status, r.Step, r.Cause, r.Passed, r.Steps = "R0", 400, "path", "R0: no", true, upTo(0)
		}},
		{"open", func(d *authz.Decision) { d.Identity, d.Route.API.Open = nil, true }, func(r *decisions.Record) {
			r.Account, r.Client, r.Token, r.Environment, r.Steps = "", "", "", "", passed[:1]
		}},
		{"limits", func(d *authz.Decision) {
			refuse(d, "limits", deny.RateLimited.Because("used up"))
			d.Limits.Add(limiter.Standing{Kind: limiter.KindPerDay, Refused: true})
			d.Limits.Add(limiter.Standing{Kind: limiter.KindPerMinute, Plan: watching, Refused: true})
			d.Limits.Add(limiter.Standing{Kind: limiter.KindBurst})
			d.Limits.Shadowed = true
		}, func(r *decisions.Record) {
			r.Code, r.Status, r.Step, r.Cause = "R3", 429, "limits", "R3: used up"
			r.Steps, r.Limits, r.Shadowed = upTo(8), []string{"per_day"}, []string{"watch.per_minute"}
		}},
		{"a panic, before the gate was asked", func(d *authz.Decision) {
			*d = authz.Decision{ID: d.ID, Step: "panic", Cause: fmt.Errorf("%w: boom\nstack", authz.ErrPanic)}
		}, func(r *decisions.Record) {
			*r = decisions.Record{Seq: r.Seq, ID: r.ID, Time: noon.Add(time.Hour), Method: r.Method, Host: r.Host, Path: r.Path, RequestID: r.RequestID, TookMicros: r.TookMicros}
			r.Code, r.Status, r.Step, r.Cause, r.Steps = "R0", 503, "panic", "panic: boom", []decisions.Step{{Name: "panic", Result: decisions.StepRefused}}
		}},
	} {
		o := newDecisions()
		req, d := decided()
		tt.change(&d)
		want := decisions.Record{
			Seq: uint64(noon.UnixMicro()) + 1, Time: noon, ID: string(d.ID[:]), Code: "allow", Status: 200, Method: "GET", Host: "api.example.com", Path: "/v1/contacts/7",
			API: "contacts", Route: "contacts.get", Account: "acme", Client: "client1", Token: "token1", Environment: "production", Source: "192.0.2.7", RequestID: "req-1",
			TookMicros: 17, Steps: passed,
		}
		tt.want(&want)
		o.Observe(&req, &d, 17*time.Microsecond)
		if diff := cmp.Diff([]decisions.Record{want}, o.Ring.Latest(&decisions.Filter{}, 0, 9)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

func TestKeepingAnAllowedDecisionDoesNotAllocate(t *testing.T) {
	o := newDecisions()
	req, d := decided()
	if n := testing.AllocsPerRun(1000, func() { o.Observe(&req, &d, time.Microsecond) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// BenchmarkAnswerObserved is BenchmarkAnswer with an answer of ordinary size, with and
// without the ring.
func BenchmarkAnswerObserved(b *testing.B) {
	message := marshal(b, recorded(b)[0])
	_, d := decided()
	o := newDecisions()
	for _, bb := range []struct {
		name     string
		observer Observer
	}{{"nobody", nil}, {"decisions", o}} {
		b.Run(bb.name, func(b *testing.B) {
			s := New(Config{Judge: judgeFunc(func(context.Context, authz.Request) authz.Decision { return d }), Observer: bb.observer})
			dst := make([]byte, 0, 64<<10)
			b.ReportAllocs()
			for b.Loop() {
				s.answer(b.Context(), dst, message)
			}
		})
	}
}

func BenchmarkObserve(b *testing.B) {
	req, d := decided()
	o := newDecisions()
	b.ReportAllocs()
	for b.Loop() {
		o.Observe(&req, &d, time.Microsecond)
	}
}
