package authz

import (
	"context"
	"crypto/rand"
	"net/netip"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/limiter/quota/ledgertest"
	"github.com/tollgate-authz/tollgate/tokens"
)

const (
	issuerURL = "https://tollgate.example"
	audience  = "https://api.example"
)

// epoch is when the test's clock starts.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// records is a store that a test changes by hand.
type records struct {
	all     tokens.Changes
	changed tokens.Changes
	key     *tokens.SigningKey
}

func (r *records) Snapshot(context.Context) (*tokens.Changes, error) { return &r.all, nil }

func (r *records) Changes(context.Context, int64) (*tokens.Changes, error) { return &r.changed, nil }

func (r *records) SigningKeys(context.Context) ([]*tokens.SigningKey, error) {
	return []*tokens.SigningKey{r.key}, nil
}

// change makes the registry follow what became of records.
func (w *world) change(t testing.TB, c tokens.Changes) {
	t.Helper()
	w.last++
	c.Last = w.last
	w.records.changed = c
	if err := w.registry.Refresh(t.Context(), w.now); err != nil {
		t.Fatal(err)
	}
}

// world is a gate with everything real around it but the clock and the store.
type world struct {
	gate     *Gate
	now      time.Time
	issuer   *tokens.Issuer
	key      *tokens.SigningKey
	records  *records
	registry *tokens.Registry
	verifier *tokens.Verifier
	cache    *tokens.Cache
	client   *tokens.Client
	keys     *tokens.KeyRing
	trust    *tokens.Trust
	last     int64         // number of the last change
	moves    []tokens.Move // that the gate has told of, as the next two
	lockouts []tokens.Lockout
	notices  []Notice
	ledger   *ledgertest.Memory
	book     *quota.Book
	credits  int64
}

func newWorld(t testing.TB, change ...func(*PolicyConfig)) *world {
	t.Helper()
	w := &world{now: epoch, client: &tokens.Client{
		ID: "client1", Name: "one", Account: "acme", Plan: "default", Environment: tokens.Production,
		Scopes: []string{"contacts:admin", "contacts:read", "contacts:write"}, Generation: 1,
	}}
	w.records = &records{all: tokens.Changes{Clients: map[string]*tokens.Client{w.client.ID: w.client}}}
	var err error
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	w.key, err = tokens.NewSigningKey("ES256", rand.Reader, w.now)
	must(err)
	w.records.key = w.key
	w.issuer, err = tokens.NewIssuer(issuerURL, w.key, rand.Reader)
	must(err)
	w.keys = tokens.NewKeyRing(issuerURL, rand.Reader, func() time.Time { return w.now })
	w.registry, err = tokens.NewRegistry(t.Context(), w.records, w.keys, w.now)
	must(err)
	w.cache, err = tokens.NewCache(1 << 20)
	must(err)
	t.Cleanup(w.cache.Close)
	w.verifier = tokens.NewVerifier(w.registry, w.cache)
	w.trust = w.keys.Trust()
	w.verifier.Trust([]*tokens.Trust{w.trust})
	limits, err := limiter.New(limiter.Config{MaxBytes: 8 << 20, Epoch: w.now})
	must(err)
	clock := func() time.Time { return w.now }
	w.ledger = ledgertest.NewMemory(clock)
	w.book, err = quota.NewBook(quota.Config{Ledger: w.ledger, Random: rand.Reader, Now: clock})
	must(err)
	w.gate = New(Config{
		Policy: testPolicy(t, change...), Tokens: w.verifier, Limits: limits, Quotas: w.book, Now: clock,
		LockedOut: func(l tokens.Lockout) { w.lockouts = append(w.lockouts, l); w.registry.LockNow(&l) },
		Notify:    func(n Notice) { w.notices = append(w.notices, n) },
		Moved:     func(m tokens.Move) { w.moves = append(w.moves, m); w.registry.MoveNow(&m) },
	})
	return w
}

// plan is one whose limits are all in memory.
func plan(t testing.TB, of limiter.Plan) *Plan {
	t.Helper()
	p, err := limiter.NewPlan(of)
	if err != nil {
		t.Fatal(err)
	}
	return &Plan{Name: of.Name, Table: p}
}

func testPolicy(t testing.TB, change ...func(*PolicyConfig)) *Policy {
	t.Helper()
	strict := plan(t, limiter.Plan{Name: "route:strict", Label: "strict", PerMinute: 2})
	c := PolicyConfig{
		Audience: audience, Enforce: true,
		Plans: map[string]*Plan{"default": plan(t, limiter.Plan{Name: "default", Burst: limiter.Burst{Rate: 5, Size: 10}, PerMinute: 60})},
		APIs: []*API{{
			Name: "contacts", Hosts: []string{"api.example.com"}, SandboxHosts: []string{"sandbox.example.com"}, ForwardToken: true,
			Routes: []*Route{
				{Name: "contacts.get", Pattern: "GET /v1/contacts/{id}", Scopes: []string{"contacts:read"}, Source: "t.yaml:1:1"},
				{Pattern: "POST /v1/contacts", AnyScope: []string{"contacts:write", "contacts:admin"}, Source: "t.yaml:2:1"},
				{Pattern: "GET /v1/free", Source: "t.yaml:3:1"},
				{Pattern: "GET /v1/strict", Plan: strict, Source: "t.yaml:4:1"},
				{Pattern: "GET /v1/secret", Scopes: []string{"secret:read"}, Source: "t.yaml:5:1"},
			},
		}, {
			Name: "billing", Hosts: []string{"billing.example.com"}, Audience: "https://billing.example", AllowInPath: allowSemicolon,
			Routes: []*Route{{Pattern: "GET /v1/{rest...}", Source: "t.yaml:6:1"}},
		}, {
			Name: "public", Hosts: []string{"www.example.com"}, Open: true,
			Routes: []*Route{{Pattern: "/", Source: "t.yaml:7:1"}},
		}},
	}
	for _, f := range change {
		f(&c)
	}
	p, err := NewPolicy(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// token issues a token as the token endpoint would.
func (w *world) token(t testing.TB, scopes ...string) string {
	t.Helper()
	return w.tokenFor(t, audience, scopes...)
}

func (w *world) tokenFor(t testing.TB, aud string, scopes ...string) string {
	t.Helper()
	issued, err := w.issuer.Issue(tokens.Claims{Client: w.client.ID, Audience: aud, Scopes: scopes, Generation: 1, IssuedAt: w.now, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return issued.Bearer.Reveal()
}

// publish makes c the client's state, as the change feed would; nil deletes it.
func (w *world) publish(t testing.TB, c *tokens.Client) {
	t.Helper()
	w.change(t, tokens.Changes{Clients: map[string]*tokens.Client{w.client.ID: c}})
}

// get is an ordinary request with a bearer token; "" sends none.
func get(path, bearer string) Request {
	r := Request{Method: "GET", Host: "api.example.com", Path: path, Peer: netip.MustParseAddr("192.0.2.10")}
	if bearer != "" {
		r.Authorization, r.Authorizations = "Bearer "+bearer, 1
	}
	return r
}
