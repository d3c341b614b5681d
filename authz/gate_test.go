package authz

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/authz/deny"
	"github.com/tollgate-authz/tollgate/authz/route"
	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/tokens"
)

var allowSemicolon = route.Allow{Semicolon: true}

// expect judges a request and compares the reason; nil means allowed.
func (w *world) expect(t *testing.T, what string, req Request, want *deny.Reason) Decision {
	t.Helper()
	d := w.gate.Check(t.Context(), req)
	if got := d.Refusal(); got != want {
		t.Errorf("%s: got %v (%s: %v), want %v", what, got, d.Step, d.Cause, want)
	}
	return d
}

func TestC3_ScopesAndRoutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	read, write := w.token(t, "contacts:read"), w.token(t, "contacts:write")
	post := get("/v1/contacts", write)
	post.Method = "POST"
	w.expect(t, "scope held", get("/v1/contacts/7?x=1", read), nil)
	w.expect(t, "GET serves HEAD", Request{Method: "HEAD", Host: "API.example.com:8080", Path: "/v1/contacts/7", Authorization: "bearer  " + read, Authorizations: 1}, nil)
	w.expect(t, "one of two scopes", post, nil)
	w.expect(t, "no scope asked for", get("/v1/free", read), nil)
	d := w.expect(t, "scope missing", get("/v1/contacts/7", write), deny.Unauthorized)
	if d.ScopeWanted != "contacts:read" {
		t.Errorf("ScopeWanted %q, want contacts:read", d.ScopeWanted)
	}
	w.expect(t, "no route", get("/v2/contacts", read), deny.Unauthorized)
	w.expect(t, "no host", Request{Method: "GET", Host: "other.example", Path: "/v1/free", Authorization: "Bearer " + read, Authorizations: 1}, deny.Unauthorized)
	w.expect(t, "no route without token is R1", get("/v2/contacts", ""), deny.InvalidToken)
}

func TestI9_MethodMustBeTheDocumentedOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, method := range []string{"DELETE", "PUT", "get", "FOO", ""} {
		req := get("/v1/contacts/7", w.token(t, "contacts:read"))
		req.Method = method
		w.expect(t, method, req, deny.Unauthorized)
	}
}

func TestI8_GatewayErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := w.token(t, "contacts:read")
	basic := get("/v1/free", "")
	basic.Authorization, basic.Authorizations = "Basic dXNlcjpwYXNz", 1
	twice := get("/v1/free", good)
	twice.Authorizations = 2
	joined := get("/v1/free", good+",Bearer "+good)
	changed := []byte(good)
	if at := len(changed) - 20; changed[at] == 'A' {
		changed[at] = 'B'
	} else {
		changed[at] = 'A'
	}
	for what, req := range map[string]Request{"none": get("/v1/free", ""), "another scheme": basic} {
		if d := w.expect(t, what, req, deny.InvalidToken); d.TokenSent {
			t.Errorf("%s: counts as a token", what)
		}
	}
	for what, req := range map[string]Request{"twice": twice, "joined": joined, "garbage": get("/v1/free", "abc"), "changed": get("/v1/free", string(changed))} {
		if d := w.expect(t, what, req, deny.InvalidToken); !d.TokenSent {
			t.Errorf("%s: does not count as a token", what)
		}
	}
}

func TestI8_ExpiredTokenIsR5(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bearer := w.token(t, "contacts:read")
	w.now = epoch.Add(time.Hour - time.Second)
	w.expect(t, "a second before", get("/v1/free", bearer), nil)
	w.now = epoch.Add(time.Hour)
	w.expect(t, "at exp", get("/v1/free", bearer), deny.Expired)
	w.publish(t, nil)
	w.expect(t, "expired and its client deleted", get("/v1/free", bearer), deny.Expired)
}

func TestI2_DeletedOrNarrowedClientHoldsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bearer := w.token(t, "contacts:read", "contacts:write")
	w.expect(t, "before", get("/v1/contacts/7", bearer), nil)
	narrowed := *w.client
	narrowed.Scopes = []string{"contacts:write"}
	w.publish(t, &narrowed)
	d := w.expect(t, "narrowed", get("/v1/contacts/7", bearer), deny.Unauthorized)
	if d.Identity.ScopeList != "contacts:write" {
		t.Errorf("effective scopes %q, want contacts:write", d.Identity.ScopeList)
	}
	widened := *w.client
	widened.Scopes = []string{"contacts:read", "contacts:write", "secret:read"}
	w.publish(t, &widened)
	w.expect(t, "given back", get("/v1/contacts/7", bearer), nil)
	w.expect(t, "widening a client widens no token", get("/v1/secret", bearer), deny.Unauthorized)
	w.publish(t, nil)
	w.expect(t, "deleted", get("/v1/contacts/7", bearer), deny.InvalidToken)
}

func TestI10_TrustedAddresses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bearer := w.token(t)
	trusted := *w.client
	for _, s := range []string{"203.0.113.0/24", "2001:db8::/32"} {
		p, err := tokens.ParseTrustedIP(s)
		if err != nil {
			t.Fatal(err)
		}
		trusted.TrustedIPs = append(trusted.TrustedIPs, p)
	}
	w.publish(t, &trusted)
	from := func(addr string) Request {
		r := get("/v1/free", bearer)
		r.Peer, _ = netip.ParseAddr(addr)
		return r
	}
	w.expect(t, "inside", from("203.0.113.9"), nil)
	w.expect(t, "mapped", from("::ffff:203.0.113.9"), nil)
	w.expect(t, "IPv6 inside", from("2001:db8::1"), nil)
	w.expect(t, "outside", from("198.51.100.1"), deny.Restricted)
	w.expect(t, "unknown", from(""), deny.Restricted)
	forged := from("198.51.100.1")
	forged.ForwardedFor = "203.0.113.9"
	w.expect(t, "x-forwarded-for does not count without trusted hops", forged, deny.Restricted)
}

// TestI10_EveryListMustHoldTheSource: that of the client and that of the token.
func TestI10_EveryListMustHoldTheSource(t *testing.T) {
	t.Parallel()
	wide, narrow, other := netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("203.0.113.64/26"), netip.MustParsePrefix("198.51.100.0/24")
	for _, tt := range []struct {
		client, token []netip.Prefix
		from          string
		refused       string // whose list; empty: allowed
		saw           string
	}{
		{nil, nil, "192.0.2.1", "", "source 192.0.2.1, no list of trusted ranges"},
		{[]netip.Prefix{wide}, nil, "203.0.113.1", "", "source 203.0.113.1, trusted [203.0.113.0/24]"},
		{nil, []netip.Prefix{narrow}, "203.0.113.65", "", "source 203.0.113.65, trusted for this token [203.0.113.64/26]"},
		{nil, []netip.Prefix{narrow}, "203.0.113.1", "token", ""},
		{nil, []netip.Prefix{narrow, other}, "198.51.100.7", "", ""},
		{[]netip.Prefix{wide}, []netip.Prefix{narrow}, "203.0.113.65", "", "source 203.0.113.65, trusted [203.0.113.0/24], trusted for this token [203.0.113.64/26]"},
		{[]netip.Prefix{wide}, []netip.Prefix{narrow}, "203.0.113.1", "token", ""},
		{[]netip.Prefix{narrow}, []netip.Prefix{wide}, "203.0.113.1", "client", ""},
		{[]netip.Prefix{wide}, []netip.Prefix{other}, "198.51.100.7", "client", ""}, // a token is trusted at no place where its client is not
		{[]netip.Prefix{wide}, []netip.Prefix{other}, "203.0.113.1", "token", ""},
		{[]netip.Prefix{wide}, []netip.Prefix{wide}, "", "client", ""},
	} {
		w := newWorld(t)
		bearer := w.token(t)
		trusted := *w.client
		trusted.TrustedIPs = tt.client
		w.publish(t, &trusted)
		req := get("/v1/free", bearer)
		w.gate.Check(t.Context(), req) // the token is known, and whose it is, before its record comes
		token, err := w.verifier.Verify(t.Context(), bearer, w.now)
		if err != nil {
			t.Fatal(err)
		}
		g := token.Record()
		g.Terms = &tokens.Terms{TrustedIPs: tt.token}
		w.change(t, tokens.Changes{Grants: map[string]*tokens.Grant{g.ID: g}})
		req.Peer, _ = netip.ParseAddr(tt.from)
		what := fmt.Sprintf("client %s, token %s, from %s", tt.client, tt.token, tt.from)
		var want *deny.Reason
		if tt.refused != "" {
			want = deny.Restricted
		}
		d := w.expect(t, what, req, want)
		if tt.refused != "" && (d.Step != "source" || !strings.Contains(d.Cause.Error(), "the "+tt.refused+"'s trusted ranges")) {
			t.Errorf("%s: refused by %s: %v, want the list of the %s", what, d.Step, d.Cause, tt.refused)
		}
		_, steps := w.gate.Explain(t.Context(), req)
		for _, s := range steps {
			if s.Name == "source" && tt.saw != "" && s.Saw != tt.saw {
				t.Errorf("%s: explained as %q, want %q", what, s.Saw, tt.saw)
			}
		}
	}
}

func TestForwardedForWithTrustedHops(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		hops      int
		forwarded string
		want      string
	}{
		{0, "203.0.113.9", "192.0.2.10"},
		{1, "203.0.113.9", "203.0.113.9"},
		{1, "6.6.6.6, 203.0.113.9", "203.0.113.9"},
		{1, "6.6.6.6,203.0.113.9,192.0.2.10", "203.0.113.9"}, // Envoy appended the peer
		{1, "192.0.2.10,192.0.2.10", "192.0.2.10"},           // dropped once only
		{2, "6.6.6.6, 203.0.113.9, 10.0.0.1", "203.0.113.9"},
		{2, "203.0.113.9", "192.0.2.10"}, // too few
		{3, "203.0.113.9, 10.0.0.1,192.0.2.10", "192.0.2.10"},
		{1, "", "192.0.2.10"},
		{1, "203.0.113.9:4711", "203.0.113.9"},
		{1, "[2001:db8::1]:80", "2001:db8::1"},
		{1, "[2001:db8::1]", "2001:db8::1"},
		{1, "::ffff:203.0.113.9", "203.0.113.9"},
		{1, "203.0.113.9, unknown", "invalid IP"},
		{1, "203.0.113.9,", "invalid IP"},
	} {
		r := get("/", "")
		r.ForwardedFor = tt.forwarded
		if got := r.source(tt.hops).String(); got != tt.want {
			t.Errorf("%d hops, %q: got %s, want %s", tt.hops, tt.forwarded, got, tt.want)
		}
	}
}

func TestO7_SandboxAndProductionAreApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	production := w.token(t)
	onSandbox := get("/v1/free", production)
	onSandbox.Host = "sandbox.example.com"
	w.expect(t, "production token on sandbox", onSandbox, deny.InvalidToken)
	sandbox := *w.client
	sandbox.Environment = tokens.Sandbox
	w.publish(t, &sandbox)
	w.expect(t, "sandbox token on sandbox", onSandbox, nil)
	w.expect(t, "sandbox token on production", get("/v1/free", production), deny.InvalidToken)
	override := get("/v1/free", production)
	override.Environment = "sandbox"
	w.expect(t, "tollgate.environment decides for one host", override, nil)
}

func TestAudienceIsJudgedPerRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	billing := w.tokenFor(t, "https://billing.example")
	at := func(host, bearer string) Request {
		r := get("/v1/free", bearer)
		r.Host = host
		return r
	}
	w.expect(t, "its API", at("billing.example.com", billing), nil)
	w.expect(t, "another API", at("api.example.com", billing), deny.InvalidToken)
	w.expect(t, "tokens.audience is good everywhere", at("billing.example.com", w.token(t)), nil)
	missing := at("billing.example.com", billing)
	missing.Path = "/nothing"
	w.expect(t, "a missing route looks like a forbidden one", missing, deny.Unauthorized)
	foreign := *w.trust
	foreign.Own, foreign.Audiences, foreign.ClientClaim, foreign.ScopeClaim = false, []string{"https://billing.example", "https://general.example"}, "client_id", "scope"
	foreign.Plan, foreign.Environment = "default", tokens.Production
	w.verifier.Trust([]*tokens.Trust{&foreign})
	w.expect(t, "of another issuer: the API's own", at("billing.example.com", w.tokenFor(t, "https://billing.example")), nil)
	w.expect(t, "of another issuer: another API's", at("api.example.com", w.tokenFor(t, "https://billing.example")), deny.InvalidToken)
	w.expect(t, "of another issuer: no API's", at("api.example.com", w.tokenFor(t, "https://general.example")), nil)
	w.verifier.Trust([]*tokens.Trust{w.trust})
	w.expect(t, "a foreign audience", at("api.example.com", w.tokenFor(t, "https://other.example")), deny.InvalidToken)
}

func TestPathStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bearer := w.token(t, "contacts:read")
	for _, path := range []string{"/v1/../free", "/v1//free", "/v1/%2e%2e/free", "/v1/a%2fb", "v1", "", "/v1/free;x", "/%"} {
		w.expect(t, path, get(path, bearer), deny.BadRequest)
	}
	semicolon := get("/v1/a;b", bearer)
	semicolon.Host = "billing.example.com"
	w.expect(t, "allow_in_path", semicolon, nil)
	open := Request{Method: "GET", Host: "www.example.com", Path: "/a/../b"}
	w.expect(t, "an open API has the path step too", open, deny.BadRequest)
	open.Path = "/a"
	if d := w.expect(t, "an open API", open, nil); d.Identity != nil || d.Limits.Count != 0 {
		t.Errorf("an open API looked at credentials or limits: %+v", d)
	}
}

func TestC4_BurstIsR7AndMinuteIsR3(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bearer, other := w.token(t), w.token(t)
	for range 10 {
		w.expect(t, "within the burst", get("/v1/free", bearer), nil)
	}
	d := w.expect(t, "burst used up", get("/v1/free", bearer), deny.BurstLimited)
	if d.Limits.RetryAfter <= 0 || d.Limits.RetryAfter > 200*time.Millisecond {
		t.Errorf("retry after %v, want up to 200ms (one of five a second)", d.Limits.RetryAfter)
	}
	w.expect(t, "each token has its own", get("/v1/free", other), nil)
	for range 50 {
		w.now = w.now.Add(250 * time.Millisecond)
		w.expect(t, "paced", get("/v1/free", bearer), nil)
	}
	w.now = w.now.Add(2 * time.Second)
	d = w.expect(t, "60 a minute used up", get("/v1/free", bearer), deny.RateLimited)
	w.now = w.now.Add(d.Limits.RetryAfter)
	w.expect(t, "after Retry-After", get("/v1/free", bearer), nil)
}

func TestRoutePlanIsChargedBesideTheClientsPlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bearer := w.token(t)
	w.expect(t, "1", get("/v1/strict", bearer), nil)
	d := w.expect(t, "2", get("/v1/strict", bearer), nil)
	if d.Limits.Count != 3 {
		t.Errorf("%d limits, want burst and per_minute of default, per_minute of strict", d.Limits.Count)
	}
	w.expect(t, "3", get("/v1/strict", bearer), deny.RateLimited)
	for range 8 { // the refused request has spent nothing of the default plan
		w.expect(t, "elsewhere", get("/v1/free", bearer), nil)
	}
	w.expect(t, "burst", get("/v1/free", bearer), deny.BurstLimited)
}

func TestContextExtensions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bearer := w.token(t, "contacts:read")
	named := get("/anything", bearer)
	named.Host, named.RouteName = "internal.example", "contacts.get"
	w.expect(t, "tollgate.route", named, nil)
	sandbox := *w.client
	sandbox.Environment = tokens.Sandbox
	w.publish(t, &sandbox)
	w.expect(t, "tollgate.route opens no production route to the sandbox", named, deny.InvalidToken)
	production := *w.client
	w.publish(t, &production)
	misspelt := named
	misspelt.Environment = "sandbx"
	w.expect(t, "an unknown tollgate.environment is our own fault", misspelt, deny.Internal)
	named.RouteName = "no.such"
	w.expect(t, "unknown tollgate.route", named, deny.Unauthorized)
	scoped := get("/v1/secret", bearer)
	scoped.Scopes = "contacts:read"
	w.expect(t, "tollgate.scopes instead of the table's", scoped, nil)
	scoped.Scopes = "contacts:read secret:read"
	w.expect(t, "all are needed", scoped, deny.Unauthorized)
	scoped.Scopes = ""
	w.expect(t, "an empty one leaves the table's", scoped, deny.Unauthorized)
	scoped.Scopes = `a"b`
	w.expect(t, "not a list of scopes is our own fault", scoped, deny.Internal)
}

func TestEnforceFalseReportsAndLetsPass(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *PolicyConfig) { c.Enforce = false })
	d := w.expect(t, "no token", get("/v1/free", ""), deny.InvalidToken)
	if !d.Passed || d.Allowed {
		t.Errorf("Passed %v, Allowed %v; want true, false", d.Passed, d.Allowed)
	}
	if d := w.gate.Check(t.Context(), get("/v1/free", w.token(t))); d.Passed || !d.Allowed {
		t.Errorf("an allowed request: Passed %v, Allowed %v; want false, true", d.Passed, d.Allowed)
	}
}

// brokenKeys fails in every way that a key source can.
type brokenKeys struct{ err error }

func (b brokenKeys) Key(context.Context, string) (*tokens.Key, error) {
	if b.err == nil {
		panic("a key source that panics")
	}
	return nil, b.err
}

// TestB3_B4_OwnFaultsRefuse: a panic or an error in a step is a 503 deny.
func TestB3_B4_OwnFaultsRefuse(t *testing.T) {
	t.Parallel()
	for _, keys := range []brokenKeys{{tokens.ErrNoKeys}, {errors.New("any other")}, {nil}} {
		w := newWorld(t)
		broken := *w.trust
		broken.Keys = keys
		w.verifier.Trust([]*tokens.Trust{&broken})
		d := w.expect(t, "broken keys", get("/v1/free", w.token(t)), deny.Internal)
		if d.Cause == nil || d.Allowed || d.Passed {
			t.Errorf("keys %v: decision %+v", keys.err, d)
		}
		if keys.err == nil && !errors.Is(d.Cause, ErrPanic) {
			t.Errorf("cause %v, want ErrPanic", d.Cause)
		}
	}
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if d := w.gate.Check(ctx, get("/v1/free", w.token(t))); d.Refusal() != deny.Internal {
		t.Errorf("a cancelled request: %v, want %v", d.Refusal(), deny.Internal)
	}
	unplanned := *w.client
	unplanned.Plan = "gone"
	w.publish(t, &unplanned)
	w.expect(t, "a plan that is not configured", get("/v1/free", w.token(t)), deny.Internal)
}

func TestHiddenTokenStaysHiddenWhateverIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *PolicyConfig) { c.Enforce = false })
	for path, host := range map[string]string{"/v1/x": "billing.example.com", "/nope": "billing.example.com", "/v1/../x": "billing.example.com"} {
		req := get(path, w.token(t))
		req.Host = host
		if d := w.gate.Check(t.Context(), req); !d.HideToken {
			t.Errorf("%s: the upstream would see the token", path)
		}
	}
	for _, host := range []string{"api.example.com", "www.example.com", "unknown.example"} {
		req := get("/v1/free", w.token(t))
		req.Host = host
		if d := w.gate.Check(t.Context(), req); d.HideToken {
			t.Errorf("%s: the token is hidden", host)
		}
	}
}

func TestZeroDecisionRefuses(t *testing.T) {
	t.Parallel()
	var d Decision
	if d.Refusal() != deny.Internal {
		t.Errorf("got %v, want %v", d.Refusal(), deny.Internal)
	}
}

func TestExplainTellsEveryStepAndSpendsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bearer := w.token(t, "contacts:read")
	for range 30 { // three times the burst
		d, steps := w.gate.Explain(t.Context(), get("/v1/contacts/7", bearer))
		if d.Refusal() != nil || len(steps) != len(Steps) {
			t.Fatalf("refusal %v, steps %+v; want allowed after 9 steps", d.Refusal(), steps)
		}
		for i, s := range steps {
			if s.Name != Steps[i] {
				t.Errorf("step %d is %s, and Steps says %s", i, s.Name, Steps[i])
			}
		}
	}
	open := get("/", "")
	open.Host = "www.example.com"
	if _, steps := w.gate.Explain(t.Context(), open); len(steps) != 1 || steps[0].Name != Steps[0] {
		t.Errorf("an open API: steps %+v, want the first of Steps alone", steps)
	}
	_, steps := w.gate.Explain(t.Context(), get("/v1/secret", bearer))
	last := steps[len(steps)-1]
	if last.Name != "scope" || last.Err == nil || !strings.Contains(last.Saw, "t.yaml:5:1") {
		t.Errorf("last step %+v, want scope with the route's line", last)
	}
	for _, s := range steps {
		if strings.Contains(s.Saw, bearer[:20]) || s.Err != nil && strings.Contains(s.Err.Error(), bearer[:20]) {
			t.Errorf("step %s shows the token", s.Name)
		}
	}
}

func TestPolicyFaults(t *testing.T) {
	t.Parallel()
	_, err := NewPolicy(PolicyConfig{APIs: []*API{
		{Name: "a", Hosts: []string{"x.example"}, Source: "t.yaml:1", Routes: []*Route{{Name: "n", Pattern: "GET /a", Source: "t.yaml:2:3"}}},
		{Name: "b", SandboxHosts: []string{"X.example."}, Source: "t.yaml:4", Routes: []*Route{{Name: "n", Pattern: "GET /b", Source: "t.yaml:5:3"}}},
	}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{`t.yaml:5:3: the name "n" is taken by the route at t.yaml:2:3`, "production (t.yaml:1) and sandbox"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
}

func TestCheckDoesNotAllocate(t *testing.T) {
	w := newWorld(t)
	req := get("/v1/contacts/7?x=1", w.token(t, "contacts:read"))
	ctx := t.Context()
	w.gate.Check(ctx, req)
	w.cache.Wait()
	if n := testing.AllocsPerRun(1000, func() {
		w.now = w.now.Add(2 * time.Second)
		if d := w.gate.Check(ctx, req); !d.Allowed {
			t.Fatalf("refused: %v", d.Cause)
		}
	}); n != 0 {
		t.Errorf("%v allocations a check, want 0", n)
	}
}

// TestB10_Floods: many distinct tokens, invalid and valid, push nobody out and
// stay within the tables.
func TestB10_Floods(t *testing.T) {
	w := newWorld(t)
	good := make([]string, 20)
	for i := range good {
		good[i] = w.token(t, "contacts:read")
	}
	ask := func(bearer string) *deny.Reason {
		w.now = w.now.Add(time.Millisecond)
		d := w.gate.Check(t.Context(), get("/v1/free", bearer))
		return d.Refusal()
	}
	for _, bearer := range good {
		ask(bearer)
	}
	w.cache.Wait()
	before := w.gate.limits.Len()
	hits, asked := w.cache.Hits(), 0
	for i := range 20_000 {
		bearer := good[i%len(good)]
		if i%10 != 0 { // nine of ten are forged, each another one
			forged := []byte(bearer)
			copy(forged[len(forged)-40:], fmt.Sprintf("%020d", i)) // inside the signature
			if reason := ask(string(forged)); reason != deny.InvalidToken {
				t.Fatalf("a forged token: %v", reason)
			}
			continue
		}
		asked++
		ask(bearer)
	}
	if rate := float64(w.cache.Hits()-hits) / float64(asked); rate < 0.95 {
		t.Errorf("hit rate of the good tokens %.2f, want at least 0.95", rate)
	}
	if after := w.gate.limits.Len(); after > before {
		t.Errorf("forged tokens made %d limiter entries", after-before)
	}
	hot := w.token(t)
	for range 10 {
		ask(hot)
	}
	for range 3000 { // valid ones, each another one
		if reason := ask(w.token(t)); reason != nil {
			t.Fatalf("a valid token: %v", reason)
		}
		w.now = w.now.Add(-time.Millisecond)
	}
	if reason := ask(hot); reason != deny.BurstLimited {
		t.Errorf("after the flood the used-up bucket says %v, want %v", reason, deny.BurstLimited)
	}
	if bytes := w.gate.limits.Bytes(); bytes > 8<<20 {
		t.Errorf("the limiter uses %d bytes, want at most its 8 MiB", bytes)
	}
}

// TestO8_TenThousandAMinute: an ordinary per-minute limit, exact.
func TestO8_TenThousandAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *PolicyConfig) {
		c.Plans["default"] = plan(t, limiter.Plan{Name: "default", PerMinute: 10_000})
	})
	req := get("/v1/free", w.token(t))
	allowed := 0
	for range 12_000 { // over 48 seconds, faster than the limit
		w.now = w.now.Add(4 * time.Millisecond)
		if d := w.gate.Check(t.Context(), req); d.Allowed {
			allowed++
		} else if d.Refusal() != deny.RateLimited {
			t.Fatalf("refused with %v: %v", d.Refusal(), d.Cause)
		}
	}
	if allowed != 10_000 {
		t.Errorf("%d allowed in the first minute, want 10000", allowed)
	}
	w.now = w.now.Add(60 * time.Second)
	for range 20_000 { // two minutes, evenly at the limit
		w.now = w.now.Add(6 * time.Millisecond)
		w.expect(t, "paced evenly", req, nil)
	}
}
