package endpoint

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tollgate-authz/tollgate/authz"
	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/limiter/quota/ledgertest"
	"github.com/tollgate-authz/tollgate/tokens"
)

// dayWorld is a world whose token requests count in days, by the plan "default" of a
// gate and in its book.
type dayWorld struct {
	*world
	gate   *authz.Gate
	ledger *ledgertest.Memory
}

// untilMidnight is the time from epoch to the next day in Kathmandu, where accounts of
// these tests are at home: it is 17:45 there.
const untilMidnight = 6*time.Hour + 15*time.Minute

// withDays runs a test in a bubble: what waits for the ledger there waits in no time,
// and gives up only when there is no answer.
func withDays(t *testing.T, perDay, authPerDay int64, run func(t *testing.T, w *dayWorld), change ...func(*authz.PolicyConfig, *authz.Plan)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		days := &authz.Days{Account: func(name string) *tokens.Account { return &tokens.Account{Name: name, Zone: "Asia/Kathmandu"} }}
		w := &dayWorld{world: newWorld(t, func(c *Config) { c.Days = days })}
		w.settings.GenerationsPerMinute = 0
		plan := &authz.Plan{Name: "default", PerDay: authz.Limit{Amount: perDay, Rev: 1}, AuthPerDay: authz.Limit{Amount: authPerDay, Rev: 1}}
		c := authz.PolicyConfig{
			Audience: audience, Enforce: true, Plans: map[string]*authz.Plan{"default": plan},
			APIs: []*authz.API{{Name: "one", Hosts: []string{"api.example"}, Routes: []*authz.Route{{Pattern: "GET /calls", Source: "test"}}}},
		}
		for _, f := range change {
			f(&c, plan)
		}
		if plan.Table == nil {
			var err error
			plan.Table, err = limiter.NewPlan(limiter.Plan{Name: "default"})
			w.must(err)
		}
		policy, err := authz.NewPolicy(c)
		w.must(err)
		w.ledger = ledgertest.NewMemory(w.clock)
		book, err := quota.NewBook(quota.Config{Ledger: w.ledger, Random: rand.Reader, Now: w.clock})
		w.must(err)
		w.gate = authz.New(authz.Config{Policy: policy, Tokens: w.verifier, Limits: newTable(t), Quotas: book, Now: w.clock})
		days.Gate = w.gate
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go book.Run(ctx)
		run(t, w)
	})
}

// succeed makes requests until one does not, and returns how many did and the answer
// to that one.
func (w *dayWorld) succeed(q request) (n int, last response) {
	for range 40 {
		if last = w.do(q); last.status != 200 {
			return n, last
		}
		n++
	}
	return n, last
}

// wantSucceed wants so many to succeed, and the next one to wait for that long.
func (w *dayWorld) wantSucceed(q request, want int, wait time.Duration) {
	w.t.Helper()
	n, last := w.succeed(q)
	if n != want {
		w.t.Errorf("%d requests succeeded, want %d; then %v", n, want, last)
	}
	w.wantUsedUp(last, wait)
}

func (w *dayWorld) wantUsedUp(r response, wait time.Duration) {
	w.t.Helper()
	r.want(w.t, 429, "R3")
	if got, want := r.header.Get("Retry-After"), strconv.Itoa(int(wait.Seconds())); got != want {
		w.t.Errorf("Retry-After %q, want %s", got, want)
	}
	if cause := w.lastEvent().Cause; cause != "no token requests left today" {
		w.t.Errorf("refused because of %q", cause)
	}
}

// call asks the gate with a token, and returns the code.
func (w *dayWorld) call(token string) string {
	w.t.Helper()
	d := w.gate.Check(w.t.Context(), authz.Request{
		Method: "GET", Host: "api.example", Path: "/calls", Authorization: "Bearer " + token, Authorizations: 1, Peer: netip.MustParseAddr("192.0.2.1"),
	})
	if no := d.Refusal(); no != nil {
		return no.Code
	}
	return "ok"
}

// TestD5_SixAreFreeThenTheyCountAsCalls: over both dialects, both grants and all names
// of a client, until its midnight.
func TestD5_SixAreFreeThenTheyCountAsCalls(t *testing.T) {
	t.Parallel()
	withDays(t, 10, 6, func(t *testing.T, w *dayWorld) {
		c := w.caller("app", refreshing)
		token := c.token() // 1 of 6
		for range 3 {
			token = c.refreshed(token) // 4
		}
		w.do(jsonRequest(c.id, c.secret, nil)).want(t, 200, "")
		w.do(jsonRequest("app", c.secret, nil)).want(t, 200, "")
		for range 7 {
			if got := w.call(token.fields.AccessToken); got != "ok" {
				t.Errorf("a call was answered %s", got)
			}
		}
		token = c.refreshed(token) // 8 of 10 calls
		w.do(jsonRequest("app", c.secret, nil)).want(t, 200, "")
		if got := w.call(token.fields.AccessToken); got != "ok" {
			t.Errorf("the last call was answered %s", got)
		}
		if got := w.call(token.fields.AccessToken); got != "R3" {
			t.Errorf("a call too many was answered %s", got)
		}
		w.advance(time.Minute)
		wait := untilMidnight - time.Minute
		form := formRequest("grant_type", "client_credentials").basic(c.id, c.secret)
		for _, q := range []request{
			form, jsonRequest(c.id, c.secret, nil), jsonRequest("app", c.secret, nil),
			formRequest("grant_type", "refresh_token", "refresh_token", token.fields.RefreshToken).basic(c.id, c.secret),
		} {
			r := w.do(q)
			w.wantUsedUp(r, wait)
			if q.target == pathOAuth2Token {
				r.refused(t, 429, "R3", "temporarily_unavailable")
			} else if r.body != `{"code":"R3","message":"Rate Limited"}` {
				t.Errorf("got %v", r)
			}
		}
		w.do(jsonRequest("reports", w.secret, nil)).want(t, 200, "") // another client's day is its own

		w.advance(wait - time.Second)
		w.wantUsedUp(w.do(form), time.Second)
		w.advance(time.Second)
		token = c.refreshed(token) // it was not spent by the refusal
		w.wantSucceed(form, 15, 24*time.Hour)
		if got := w.call(token.fields.AccessToken); got != "R3" {
			t.Errorf("a call on a day that is used up was answered %s", got)
		}
	})
}

// TestD5_CallsDoNotSpendWhatIsFree: a client without calls left still gets its tokens.
func TestD5_CallsDoNotSpendWhatIsFree(t *testing.T) {
	t.Parallel()
	withDays(t, 3, 6, func(t *testing.T, w *dayWorld) {
		q := jsonRequest("reports", w.secret, nil)
		token := w.do(q).fields.AccessToken
		for i, want := range []string{"ok", "ok", "ok", "R3"} {
			if got := w.call(token); got != want {
				t.Errorf("call %d was answered %s, want %s", i, got, want)
			}
		}
		w.wantSucceed(q, 5, untilMidnight)
	})
}

// TestD5_OnlySuccessfulRequestsCount: whatever else refuses, the day is as before.
func TestD5_OnlySuccessfulRequestsCount(t *testing.T) {
	t.Parallel()
	for _, limits := range [][2]int64{{2, 3}, {5, 0}} {
		withDays(t, limits[0], limits[1], func(t *testing.T, w *dayWorld) {
			c := w.caller("app", refreshing, formatted(tokens.Opaque))
			first := c.token() // of five
			stale := c.refreshed(first)
			for i := range 20 {
				w.do(jsonRequest(c.id, "wrong", nil).from(fmt.Sprintf("198.51.100.%d", i))).want(t, 401, "R1")
				w.do(jsonRequest(c.id, c.secret, "nonsense")).want(t, 401, "R2")
				c.ask(pathOAuth2Token, "grant_type", "client_credentials", "scope", "nonsense").refused(t, 400, "R2", "invalid_scope")
				c.ask(pathOAuth2Token, "grant_type", "client_credentials", "resource", "nonsense").refused(t, 400, "R0", "invalid_target")
				c.refreshWith("nonsense").wantInvalidGrant(t)
				c.refresh(stale, "scope", "nonsense").refused(t, 400, "R2", "invalid_scope")
				c.refresh(stale, "resource", apiOne).refused(t, 400, "R0", "invalid_target")
				w.records.fail("AddTokens", "RotateFamily", "Family")
				c.ask(pathOAuth2Token, "grant_type", "client_credentials").wantUnavailable(t)
				c.refresh(stale).wantUnavailable(t)
				w.do(jsonRequest(c.id, c.secret, nil)).want(t, 503, "R0")
				w.records.set(nil)
			}
			c.refreshed(stale) // 3
			w.wantSucceed(jsonRequest(c.id, c.secret, nil), 2, untilMidnight)
		})
	}
}

// TestD5_AtOnce: many at once get what there is, and not one more.
func TestD5_AtOnce(t *testing.T) {
	t.Parallel()
	for _, limits := range [][2]int64{{10, 6}, {1, 0}, {30, 0}, {3, 50}} {
		withDays(t, limits[0], limits[1], func(t *testing.T, w *dayWorld) {
			q := formRequest("grant_type", "client_credentials").basic("reports", w.secret)
			got := w.atOnce(64, q)
			if want := int(limits[0] + limits[1]); got[200] != want || got[429] != 64-want {
				t.Errorf("%v a day: answers by status %v, want %d times 200 and otherwise 429", limits, got, want)
			}
			w.advance(untilMidnight)
			w.do(q).want(t, 200, "")
		})
	}
}

// TestD5_OrderOfRefusals: generations, day, scope (contract section 4).
func TestD5_OrderOfRefusals(t *testing.T) {
	t.Parallel()
	withDays(t, 2, 2, func(t *testing.T, w *dayWorld) {
		w.settings.GenerationsPerMinute = 3
		q, badScope := jsonRequest("reports", w.secret, nil), jsonRequest("reports", w.secret, "nonsense")
		for range 3 {
			w.do(q).want(t, 200, "")
		}
		for range 5 { // which spend nothing of the day
			w.do(badScope).want(t, 429, "R3")
			if cause := w.lastEvent().Cause; cause != "too many generations" {
				t.Errorf("refused because of %q", cause)
			}
		}
		w.settings.GenerationsPerMinute = 0
		w.do(badScope).want(t, 401, "R2")
		w.wantSucceed(q, 1, untilMidnight)
		w.wantUsedUp(w.do(badScope), untilMidnight)
		w.do(jsonRequest("reports", "wrong", nil)).want(t, 401, "R1") // strangers do not learn of the day
		w.settings.GenerationsPerMinute = 3
		w.do(q).want(t, 429, "R3")
		if cause := w.lastEvent().Cause; cause != "too many generations" {
			t.Errorf("refused because of %q", cause)
		}
	})
}

// TestD5_LedgerAway: nobody knows whether the day has something left, and the caller
// is asked to come again.
func TestD5_LedgerAway(t *testing.T) {
	t.Parallel()
	errAway := errors.New("the ledger is locked")
	q := func(w *dayWorld) request {
		return formRequest("grant_type", "client_credentials").basic("reports", w.secret)
	}
	withDays(t, 10, 6, func(t *testing.T, w *dayWorld) {
		w.ledger.Fail(errAway)
		for range 20 {
			r := w.do(q(w))
			r.refused(t, 503, "R0", "temporarily_unavailable")
			if r.header.Get("Retry-After") == "" || w.lastEvent().Err == nil {
				t.Errorf("got %v, Retry-After %q, event %+v", r, r.header.Get("Retry-After"), w.lastEvent())
			}
			w.do(jsonRequest("reports", w.secret, nil)).want(t, 503, "R0")
		}
		w.ledger.Fail(nil)
		time.Sleep(2 * time.Second) // until the book has asked again
		w.wantSucceed(q(w), 16, untilMidnight)
	})
	withDays(t, 10, 6, func(t *testing.T, w *dayWorld) { // on_unavailable: allow
		w.ledger.Fail(errAway)
		for range 20 {
			w.do(q(w)).want(t, 200, "")
		}
	}, func(_ *authz.PolicyConfig, p *authz.Plan) { p.AllowUnavailable = true })
	withDays(t, 10, 6, func(t *testing.T, w *dayWorld) { // nothing is enforced
		w.ledger.Fail(errAway)
		for range 20 {
			w.do(q(w)).want(t, 200, "")
		}
	}, func(c *authz.PolicyConfig, _ *authz.Plan) { c.Enforce = false })
}

// TestD5_WithoutALimit: a plan without per_day, one in shadow, an unknown one, and
// enforce: false refuse no token request.
func TestD5_WithoutALimit(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*authz.PolicyConfig, *authz.Plan){
		"no per_day": func(_ *authz.PolicyConfig, p *authz.Plan) { p.PerDay = authz.Limit{} },
		"shadow": func(_ *authz.PolicyConfig, p *authz.Plan) {
			table, err := limiter.NewPlan(limiter.Plan{Name: "default", Shadow: true})
			if err != nil {
				t.Fatal(err)
			}
			p.Table = table
		},
		"unknown":      func(c *authz.PolicyConfig, p *authz.Plan) { c.Plans = map[string]*authz.Plan{"other": p} },
		"not enforced": func(c *authz.PolicyConfig, _ *authz.Plan) { c.Enforce = false },
	} {
		withDays(t, 2, 2, func(t *testing.T, w *dayWorld) {
			if n, last := w.succeed(jsonRequest("reports", w.secret, nil)); n != 40 {
				t.Errorf("%s: %d requests succeeded; then %v", name, n, last)
			}
		}, change)
	}
}
