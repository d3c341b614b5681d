package manage

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/authz/decisions"
	"github.com/tollgate-authz/tollgate/authz/stats"
	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
	"github.com/tollgate-authz/tollgate/tokens/sqlite"
)

// start is when tests begin.
var start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

const issuer = "https://tollgate.example"

// world is the API on a store in memory, and the time that it goes by.
type world struct {
	t        testing.TB
	mu       sync.Mutex
	time     time.Time
	store    *sqlite.DB
	registry *tokens.Registry
	verifier *tokens.Verifier
	minter   *tokens.Minter
	settings Settings
	api      *Handler
	events   []Event
	ring     *decisions.Ring
	used     map[string]tokens.TokenLimits
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.time
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.time = w.time.Add(d)
}

// Used implements Usage.
func (w *world) Used(_ context.Context, list []*tokens.Token) (used []tokens.TokenLimits, err error) {
	for _, t := range list {
		used = append(used, w.used[t.ID])
	}
	return used, nil
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOn(t, "")
}

// newWorldOn is newWorld on the store in a file.
func newWorldOn(t testing.TB, file string) *world {
	t.Helper()
	w := &world{t: t, time: start, used: map[string]tokens.TokenLimits{}}
	var err error
	if w.store, err = sqlite.Open(t.Context(), sqlite.Config{Path: file, KEK: [32]byte{1}, Now: w.now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.store.Close() })
	if err := w.store.EnsureSigningKey(t.Context(), "ES256", rand.Reader, time.Hour); err != nil {
		t.Fatal(err)
	}
	keys := tokens.NewKeyRing(issuer, rand.Reader, w.now)
	if w.registry, err = tokens.NewRegistry(t.Context(), w.store, keys, w.now()); err != nil {
		t.Fatal(err)
	}
	w.verifier = tokens.NewVerifier(w.registry, nil)
	w.verifier.Trust([]*tokens.Trust{keys.Trust()})
	w.minter = &tokens.Minter{Keys: keys, Pepper: &tokens.Pepper{1}, Random: rand.Reader}
	w.settings = Settings{
		Issuance: tokens.Issuance{Audience: issuer, AccessTTL: time.Hour, RefreshTTL: 24 * time.Hour, RefreshMaxTTL: 240 * time.Hour, Format: tokens.JWT},
		Issuer:   issuer, GenerationsPerMinute: 1000, Currency: "EUR",
		Plans: []Plan{{Name: "default"}}, KeyAPIs: []string{"contacts"},
	}
	limits, err := limiter.New(limiter.Config{MaxBytes: 1 << 20, Epoch: start})
	if err != nil {
		t.Fatal(err)
	}
	w.ring = decisions.New(decisions.Config{Steps: []string{"path", "token", "limits"}, Start: start})
	w.api, err = New(Config{
		Store: w.store, Clients: w.store, Secrets: w.store, APIKeys: w.store, Accounts: w.store, Users: w.store, Registry: w.registry, Tokens: w.verifier, Minter: w.minter, Limits: limits, Usage: w, Purse: purse{w.store}, Reports: &stats.Reader{Store: w.store, Keep: stats.Keep{Minutes: 48 * time.Hour, Hours: 840 * time.Hour, Days: 9600 * time.Hour}, Now: w.now}, Decisions: w.ring, Version: "test",
		Settings: func() Settings { return w.settings }, Now: w.now,
		Observe: func(ev Event) { w.mu.Lock(); w.events = append(w.events, ev); w.mu.Unlock() },
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// purse is the store's money, of which nothing is spent.
type purse struct{ *sqlite.DB }

func (purse) Spent(context.Context, string) (spent, reserved quota.Micros, err error) {
	return 0, 0, nil
}
func (purse) Lines(context.Context, string, *quota.Line, int) ([]quota.Line, error) { return nil, nil }

// client makes a client of an account with scopes.
func (w *world) client(id, account string, scopes ...string) *tokens.Client {
	w.t.Helper()
	c := &tokens.Client{
		ID: id, Name: id, Account: account, Plan: "default", Environment: tokens.Production, Scopes: sortedOnce(scopes), Generation: 1, CreatedAt: w.now(),
		Secrets: []tokens.ClientSecret{{Generation: 1, Hash: w.minter.Pepper.Hash("secret")}},
	}
	if err := w.store.CreateClient(w.t.Context(), c); err != nil {
		w.t.Fatal(err)
	}
	w.follow()
	return c
}

func (w *world) follow() {
	w.t.Helper()
	if err := w.registry.Refresh(w.t.Context(), w.now()); err != nil {
		w.t.Fatal(err)
	}
}

// bearer issues a token to a client, as the token endpoint would.
func (w *world) bearer(c *tokens.Client, scopes ...string) string {
	w.t.Helper()
	if scopes == nil {
		scopes = c.Scopes
	}
	access, err := w.minter.Keys.Issue(tokens.Claims{Client: c.ID, Audience: issuer, Scopes: scopes, Generation: 1, IssuedAt: w.now(), TTL: 100 * time.Hour})
	if err != nil {
		w.t.Fatal(err)
	}
	return access.Bearer.Reveal()
}

// answer is what came back.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	raw    string
	body   map[string]any
}

// do makes a request; body is nil, a text that is sent as it is, or a value for JSON.
func (w *world) do(bearer, method, target string, body any, headers ...string) *answer {
	w.t.Helper()
	var sent []byte
	switch b := body.(type) {
	case nil:
	case string:
		sent = []byte(b)
	default:
		var err error
		if sent, err = json.Marshal(b); err != nil {
			w.t.Fatal(err)
		}
	}
	r := httptest.NewRequestWithContext(w.t.Context(), method, target, bytes.NewReader(sent))
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r)
	if ev := w.lastEvent(); ev.Err != nil {
		w.t.Logf("%s %s: %v", method, target, ev.Err)
	}
	a := &answer{t: w.t, status: rec.Code, header: rec.Header(), raw: rec.Body.String()}
	if strings.Contains(a.header.Get("Content-Type"), "json") && a.raw != "" {
		if err := json.Unmarshal(rec.Body.Bytes(), &a.body); err != nil {
			w.t.Errorf("%s %s: %v: %s", method, target, err, a.raw)
		}
	}
	return a
}

// want fails the test where the status is another one.
func (a *answer) want(status int) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.raw)
	}
	return a
}

// text is a member of the body.
func (a *answer) text(name string) string {
	s, _ := a.body[name].(string)
	return s
}

func (w *world) lastEvent() Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.events[len(w.events)-1]
}

type object = map[string]any
