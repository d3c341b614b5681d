package endpoint

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/tokens"
	"github.com/tollgate-authz/tollgate/tokens/sqlite"
)

const (
	issuerURL = "https://tollgate.example"
	audience  = "https://tollgate.example/default"
	apiOne    = "https://api.example/one"
)

// epoch is when the test's clock starts.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is a token endpoint with everything real around it but the clock.
type world struct {
	t        testing.TB
	handler  http.Handler
	db       *sqlite.DB
	records  *meddler // between the endpoint and the store
	keys     *tokens.KeyRing
	registry *tokens.Registry
	verifier *tokens.Verifier // of the gate in this process
	pepper   tokens.Pepper

	mu       sync.Mutex
	now      time.Time
	tick     time.Duration // by which the clock goes on each time it is read
	settings Settings
	events   []Event

	client *tokens.Client // any source, scopes read and write
	secret tokens.Secret
}

// newWorld makes a world with a store in memory.
func newWorld(t testing.TB, change ...func(*Config)) *world {
	t.Helper()
	w := newProcess(t, "", change...)
	w.client, w.secret = w.create("reports", nil)
	return w
}

// newFile is the path of a store that several processes can share.
func newFile(t testing.TB) string { return filepath.Join(t.TempDir(), "tollgate.db") }

// newProcess is one process on a store: in memory, or in the file of that path.
func newProcess(t testing.TB, path string, change ...func(*Config)) *world {
	t.Helper()
	w := &world{t: t, now: epoch, pepper: tokens.Pepper{7}, settings: Settings{
		Audience: audience, APIAudiences: []string{apiOne}, AccessTTL: time.Hour, RefreshTTL: 24 * time.Hour, RefreshMaxTTL: 60 * time.Hour,
		Format: tokens.JWT, GenerationsPerMinute: 10,
	}}
	db, err := sqlite.Open(context.Background(), sqlite.Config{Path: path, KEK: [32]byte{1}, Now: w.clock})
	w.must(err)
	t.Cleanup(func() { w.must(db.Close()) })
	w.db = db
	w.must(db.EnsureSigningKey(context.Background(), "ES256", rand.Reader, time.Hour))
	w.keys = tokens.NewKeyRing(issuerURL, rand.Reader, w.clock)
	w.registry, err = tokens.NewRegistry(context.Background(), db, w.keys, epoch)
	w.must(err)
	cache, err := tokens.NewCache(1 << 20)
	w.must(err)
	t.Cleanup(cache.Close)
	w.verifier = tokens.NewVerifier(w.registry, cache)
	w.verifier.Trust([]*tokens.Trust{w.keys.Trust()})
	w.records = &meddler{Records: storeRecords{db, w.registry, w.clock}}
	c := Config{
		Records: w.records, Pepper: &w.pepper, Keys: w.keys, Tokens: w.verifier,
		Limits: newTable(t), Failures: newTable(t),
		Settings: func() Settings { w.mu.Lock(); defer w.mu.Unlock(); return w.settings },
		Now:      w.clock,
		Observe:  func(ev Event) { w.mu.Lock(); defer w.mu.Unlock(); w.events = append(w.events, ev) },
	}
	for _, f := range change {
		f(&c)
	}
	w.handler, err = New(c)
	w.must(err)
	return w
}

func newTable(t testing.TB) *limiter.Table {
	t.Helper()
	table, err := limiter.New(limiter.Config{MaxBytes: 1 << 20, Epoch: epoch})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// unlimited counts no generations.
func unlimited(c *Config) {
	settings := c.Settings
	c.Settings = func() Settings { s := settings(); s.GenerationsPerMinute = 0; return s }
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(w.tick)
	return w.now
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// lastEvent is what the observer was told last.
func (w *world) lastEvent() Event {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.events) == 0 {
		w.t.Fatal("no event")
	}
	return w.events[len(w.events)-1]
}

// follow brings the registry up to date, as the process does several times a second.
func (w *world) follow() {
	w.t.Helper()
	w.must(w.registry.Refresh(context.Background(), w.clock()))
}

// edited follows a change of a record.
func (w *world) edited(_ *tokens.Client, err error) {
	w.t.Helper()
	w.must(err)
	w.follow()
}

// edit changes a client, and follows.
func (w *world) edit(id string, edit func(*tokens.Client) error) {
	w.t.Helper()
	w.edited(w.db.EditClient(w.t.Context(), id, edit))
}

func onlyScopes(scopes ...string) func(*tokens.Client) error {
	return func(c *tokens.Client) error { c.Scopes = scopes; return nil }
}

func suspension(suspended bool) func(*tokens.Client) error {
	return func(c *tokens.Client) error { c.Suspended = suspended; return nil }
}

// create makes a client with the alias name.
func (w *world) create(name string, change func(*tokens.Client)) (*tokens.Client, tokens.Secret) {
	w.t.Helper()
	c := &tokens.Client{
		Name: name, Alias: name, Account: "acme", Plan: "default", Environment: tokens.Production,
		Scopes: []string{"contacts:read", "contacts:write"}, Generation: 1, CreatedAt: epoch,
	}
	if change != nil {
		change(c)
	}
	id, secret, err := tokens.NewCredential(c.Format, rand.Reader)
	w.must(err)
	c.ID = id
	if c.Secrets == nil {
		c.Secrets = []tokens.ClientSecret{{Generation: 1, Hash: w.pepper.Hash(secret)}}
	}
	w.must(w.db.CreateClient(context.Background(), c))
	w.follow()
	return c, secret
}

func trusted(prefix string) func(*tokens.Client) {
	return func(c *tokens.Client) { c.TrustedIPs = []netip.Prefix{netip.MustParsePrefix(prefix)} }
}

// withSecret gives the client a secret that the test knows beforehand.
func (w *world) withSecret(secret tokens.Secret) func(*tokens.Client) {
	return func(c *tokens.Client) {
		c.Secrets = []tokens.ClientSecret{{Generation: 1, Hash: w.pepper.Hash(secret)}}
	}
}
