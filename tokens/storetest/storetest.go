// Package storetest is the conformance suite of the stores: what package tokens
// and its callers rely on, whichever database keeps the records.
package storetest

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tollgate-authz/tollgate/tokens"
)

// Store is everything that a store does.
type Store interface {
	tokens.Records
	CreateClient(ctx context.Context, c *tokens.Client) error
	Client(ctx context.Context, idOrAlias string) (*tokens.Client, error)
	ListClients(ctx context.Context) ([]*tokens.Client, error)
	UpdateClient(ctx context.Context, id string, scopes *[]string, trusted *[]netip.Prefix) (*tokens.Client, error)
	DeleteClient(ctx context.Context, id string) error
	SigningKeys(ctx context.Context) ([]*tokens.SigningKey, error)
	EnsureSigningKey(ctx context.Context, alg string, random io.Reader, now time.Time) (*tokens.SigningKey, error)
}

// Epoch is a time at which a test's records may have been made. Stores keep
// microseconds.
var Epoch = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

// NewClient is a client with every field set, fit to be stored.
func NewClient(id string) *tokens.Client {
	var pepper tokens.Pepper
	return &tokens.Client{
		ID: id, Name: "Reports of the night — " + id, Alias: "alias-" + id, Account: "acme", Plan: "gold",
		Environment: tokens.Sandbox, Scopes: []string{"contacts:read", "contacts:write"},
		TrustedIPs: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32")},
		TokenTTL:   10 * time.Minute, SecretHash: pepper.Hash("secret of " + tokens.Secret(id)), CreatedAt: Epoch,
	}
}

// Run runs the suite. open returns an empty store each time, and closes it with
// the test.
func Run(t *testing.T, open func(t *testing.T) Store) {
	for name, test := range map[string]func(*testing.T, Store){
		"a client comes back as it was stored":   clientComesBack,
		"a client is found by its alias":         clientByAlias,
		"clients are listed by creation":         clientsByCreation,
		"names are taken once":                   namesAreTakenOnce,
		"a faulty client is refused":             faultyClient,
		"I2: scopes and addresses are edited":    editClient,
		"I2: a deleted client is gone":           deleteClient,
		"the feed tells every change":            feedTells,
		"the feed is quiet when nothing changed": feedIsQuiet,
		"a registry follows the store":           registryFollows,
		"one of many gets an alias":              oneGetsTheAlias,
		"a signing key is made once":             keyIsMadeOnce,
		"another algorithm makes another key":    keyOfAnotherAlgorithm,
		"one of many makes the signing key":      oneMakesTheKey,
		"a cancelled context changes nothing":    cancelled,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func create(t *testing.T, s Store, clients ...*tokens.Client) {
	t.Helper()
	for _, c := range clients {
		if err := s.CreateClient(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
}

var sameClient = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Prefix{})}

func diff(t *testing.T, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, sameClient); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

func clientComesBack(t *testing.T, s Store) {
	full := NewClient("client1")
	bare := &tokens.Client{ID: "client2", Name: "bare", Account: "default", Plan: "default", Environment: tokens.Production,
		Scopes: []string{"a"}, SecretHash: full.SecretHash, CreatedAt: Epoch}
	create(t, s, full, bare)
	diff(t, must[*tokens.Client](t)(s.Client(t.Context(), "client1")), full)
	diff(t, must[*tokens.Client](t)(s.Client(t.Context(), "client2")), bare)
}

func clientByAlias(t *testing.T, s Store) {
	c, noAlias := NewClient("client1"), NewClient("client2")
	noAlias.Alias = ""
	create(t, s, c, noAlias)
	diff(t, must[*tokens.Client](t)(s.Client(t.Context(), c.Alias)), c)
	for _, name := range []string{"client3", "", "CLIENT1", "Alias-client1", "client1 ", "%", "client1\x00"} {
		_, err := s.Client(t.Context(), name)
		if !errors.Is(err, tokens.ErrNotFound) {
			t.Errorf("Client(%q): got error %v, want %v", name, err, tokens.ErrNotFound)
		}
	}
}

func clientsByCreation(t *testing.T, s Store) {
	var want []*tokens.Client
	for i := range 5 { // IDs run against the order of creation
		c := NewClient(fmt.Sprintf("client%d", 9-i))
		c.CreatedAt = Epoch.Add(time.Duration(i) * time.Second)
		want = append(want, c)
	}
	create(t, s, want[3], want[0], want[4], want[1], want[2])
	diff(t, must[[]*tokens.Client](t)(s.ListClients(t.Context())), want)
	all, last, err := s.Clients(t.Context())
	if err != nil || last == 0 {
		t.Fatalf("Clients: last change %d, %v", last, err)
	}
	diff(t, all, want)
}

func namesAreTakenOnce(t *testing.T, s Store) {
	create(t, s, NewClient("client1"))
	for _, tt := range []struct {
		id, alias string
		want      error
	}{
		{"client1", "other", tokens.ErrIDTaken},
		{"alias-client1", "other", tokens.ErrIDTaken},
		{"client2", "alias-client1", tokens.ErrAliasTaken},
		{"client2", "client1", tokens.ErrAliasTaken},
	} {
		c := NewClient(tt.id)
		c.Alias = tt.alias
		wantError(t, s.CreateClient(t.Context(), c), tt.want)
	}
	if n := len(must[[]*tokens.Client](t)(s.ListClients(t.Context()))); n != 1 {
		t.Errorf("%d clients after refused creations, want 1", n)
	}
	if err := s.DeleteClient(t.Context(), "client1"); err != nil {
		t.Fatal(err)
	}
	c := NewClient("client2")
	c.Alias = "client1" // a name is free again once its client is gone
	create(t, s, c)
}

func faultyClient(t *testing.T, s Store) {
	for name, spoil := range map[string]func(*tokens.Client){
		"no ID":                func(c *tokens.Client) { c.ID = "" },
		"space in the ID":      func(c *tokens.Client) { c.ID = "client 1" },
		"no name":              func(c *tokens.Client) { c.Name = "" },
		"no scope":             func(c *tokens.Client) { c.Scopes = nil },
		"two scopes in one":    func(c *tokens.Client) { c.Scopes = []string{"a b"} },
		"unknown environment":  func(c *tokens.Client) { c.Environment = "moon" },
		"plain secret":         func(c *tokens.Client) { c.SecretHash = []byte("secret") },
		"no hash":              func(c *tokens.Client) { c.SecretHash = nil },
		"no time":              func(c *tokens.Client) { c.CreatedAt = time.Time{} },
		"zero prefix":          func(c *tokens.Client) { c.TrustedIPs = []netip.Prefix{{}} },
		"fraction of a second": func(c *tokens.Client) { c.TokenTTL = time.Second / 2 },
	} {
		c := NewClient("client1")
		spoil(c)
		if err := s.CreateClient(t.Context(), c); err == nil {
			t.Errorf("%s: the client was stored", name)
		}
	}
	if n := len(must[[]*tokens.Client](t)(s.ListClients(t.Context()))); n != 0 {
		t.Errorf("%d clients after refused creations, want none", n)
	}
}

func editClient(t *testing.T, s Store) {
	c := NewClient("client1")
	create(t, s, c, NewClient("client2"))
	want := *c

	scopes := []string{"z:last", "a:first", "z:last"}
	want.Scopes = []string{"a:first", "z:last"}
	diff(t, must[*tokens.Client](t)(s.UpdateClient(t.Context(), "client1", &scopes, nil)), &want)
	diff(t, must[*tokens.Client](t)(s.Client(t.Context(), "client1")), &want)

	trusted := []netip.Prefix{netip.MustParsePrefix("198.51.100.7/32")}
	want.TrustedIPs = trusted
	diff(t, must[*tokens.Client](t)(s.UpdateClient(t.Context(), "client1", nil, &trusted)), &want)
	diff(t, must[*tokens.Client](t)(s.Client(t.Context(), "client1")), &want)

	none := []netip.Prefix{}
	want.TrustedIPs = nil
	diff(t, must[*tokens.Client](t)(s.UpdateClient(t.Context(), "client1", nil, &none)), &want)
	diff(t, must[*tokens.Client](t)(s.Client(t.Context(), "client1")), &want)

	for _, bad := range [][]string{{}, {"a b"}, {""}} {
		if _, err := s.UpdateClient(t.Context(), "client1", &bad, nil); err == nil {
			t.Errorf("scopes %q were stored", bad)
		}
	}
	_, err := s.UpdateClient(t.Context(), "nobody", &scopes, nil)
	wantError(t, err, tokens.ErrNotFound)
	diff(t, must[*tokens.Client](t)(s.Client(t.Context(), "client1")), &want)
	diff(t, must[*tokens.Client](t)(s.Client(t.Context(), "client2")), NewClient("client2"))
}

func deleteClient(t *testing.T, s Store) {
	create(t, s, NewClient("client1"), NewClient("client2"))
	if err := s.DeleteClient(t.Context(), "client1"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"client1", "alias-client1"} {
		_, err := s.Client(t.Context(), name)
		wantError(t, err, tokens.ErrNotFound)
	}
	wantError(t, s.DeleteClient(t.Context(), "client1"), tokens.ErrNotFound)
	diff(t, must[[]*tokens.Client](t)(s.ListClients(t.Context())), []*tokens.Client{NewClient("client2")})
}

func feedTells(t *testing.T, s Store) {
	create(t, s, NewClient("old"), NewClient("doomed"))
	_, last, err := s.Clients(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	create(t, s, NewClient("new"), NewClient("brief"))
	scopes := []string{"only"}
	edited := must[*tokens.Client](t)(s.UpdateClient(t.Context(), "old", &scopes, nil))
	for _, id := range []string{"doomed", "brief"} {
		if err := s.DeleteClient(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	changed, next, err := s.Changes(t.Context(), last)
	if err != nil {
		t.Fatal(err)
	}
	if next <= last {
		t.Errorf("last change %d after %d", next, last)
	}
	diff(t, changed, map[string]*tokens.Client{"new": NewClient("new"), "old": edited, "doomed": nil, "brief": nil})

	// From the start it leads to the same records as Clients.
	changed, again, err := s.Changes(t.Context(), 0)
	if err != nil || again != next {
		t.Fatalf("Changes from the start: last %d, want %d, %v", again, next, err)
	}
	maps.DeleteFunc(changed, func(_ string, c *tokens.Client) bool { return c == nil })
	diff(t, changed, map[string]*tokens.Client{"new": NewClient("new"), "old": edited})
}

func feedIsQuiet(t *testing.T, s Store) {
	changed, last, err := s.Changes(t.Context(), 0)
	if err != nil || last != 0 || len(changed) != 0 {
		t.Fatalf("Changes of an empty store: %v, %d, %v", changed, last, err)
	}
	create(t, s, NewClient("client1"))
	_, last, err = s.Clients(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Refused and rolled back changes do not show.
	wantError(t, s.CreateClient(t.Context(), NewClient("client1")), tokens.ErrIDTaken)
	wantError(t, s.DeleteClient(t.Context(), "nobody"), tokens.ErrNotFound)
	changed, next, err := s.Changes(t.Context(), last)
	if err != nil || next != last || len(changed) != 0 {
		t.Errorf("Changes(%d) = %v, %d, %v; want nothing", last, changed, next, err)
	}
	// Nor does a signing key count as a client.
	must[*tokens.SigningKey](t)(s.EnsureSigningKey(t.Context(), "ES256", rand.Reader, Epoch))
	if changed, _, err := s.Changes(t.Context(), last); err != nil || len(changed) != 0 {
		t.Errorf("Changes(%d) = %v, %v; want no clients", last, changed, err)
	}
	// A feed that went backwards belongs to another store.
	if _, _, err := s.Changes(t.Context(), last+1000); err == nil {
		t.Error("Changes after a change that never was: no error")
	}
}

func registryFollows(t *testing.T, s Store) {
	create(t, s, NewClient("client1"))
	registry, err := tokens.NewRegistry(t.Context(), s, Epoch)
	if err != nil {
		t.Fatal(err)
	}
	refresh := func() {
		t.Helper()
		if err := registry.Refresh(t.Context(), Epoch); err != nil {
			t.Fatal(err)
		}
	}
	diff(t, registry.Client("alias-client1"), NewClient("client1"))
	create(t, s, NewClient("client2"))
	refresh()
	diff(t, registry.Client("client2"), NewClient("client2"))
	if err := s.DeleteClient(t.Context(), "client1"); err != nil {
		t.Fatal(err)
	}
	refresh()
	if c := registry.Client("client1"); c != nil {
		t.Errorf("the registry still has %v", c.ID)
	}
}

func oneGetsTheAlias(t *testing.T, s Store) {
	const many = 8
	errs := make([]error, many)
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() {
			c := NewClient(fmt.Sprintf("client%d", i))
			c.Alias = "wanted"
			errs[i] = s.CreateClient(t.Context(), c)
		})
	}
	all.Wait()
	created := 0
	for _, err := range errs {
		if err == nil {
			created++
		} else {
			wantError(t, err, tokens.ErrAliasTaken)
		}
	}
	if created != 1 {
		t.Errorf("%d clients got the alias, want 1", created)
	}
}

// works reports whether the key signs and its public half verifies.
func works(t *testing.T, key *tokens.SigningKey) {
	t.Helper()
	if _, err := tokens.NewIssuer("https://tollgate.example", key, rand.Reader); err != nil {
		t.Error(err)
	}
	if _, err := key.Public(); err != nil {
		t.Error(err)
	}
}

func sameKey(t *testing.T, got, want *tokens.SigningKey) {
	t.Helper()
	public, ok := want.Private.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(got.Private.Public()) || got.ID != want.ID || got.Alg != want.Alg || !got.CreatedAt.Equal(want.CreatedAt) {
		t.Errorf("got key %s (%s, %s), want %s (%s, %s)", got.ID, got.Alg, got.CreatedAt, want.ID, want.Alg, want.CreatedAt)
	}
}

func keyIsMadeOnce(t *testing.T, s Store) {
	if keys := must[[]*tokens.SigningKey](t)(s.SigningKeys(t.Context())); len(keys) != 0 {
		t.Fatalf("%d keys in an empty store", len(keys))
	}
	ensure := must[*tokens.SigningKey](t)
	first := ensure(s.EnsureSigningKey(t.Context(), "ES256", rand.Reader, Epoch))
	works(t, first)
	if !first.CreatedAt.Equal(Epoch) {
		t.Errorf("created at %s, want %s", first.CreatedAt, Epoch)
	}
	sameKey(t, ensure(s.EnsureSigningKey(t.Context(), "ES256", rand.Reader, Epoch.Add(time.Hour))), first)
	keys := must[[]*tokens.SigningKey](t)(s.SigningKeys(t.Context()))
	if len(keys) != 1 {
		t.Fatalf("%d keys, want 1", len(keys))
	}
	sameKey(t, keys[0], first)
	if _, err := s.EnsureSigningKey(t.Context(), "HS256", rand.Reader, Epoch); err == nil {
		t.Error("a key for HS256 was made")
	}
}

func keyOfAnotherAlgorithm(t *testing.T, s Store) {
	ensure := must[*tokens.SigningKey](t)
	var made []*tokens.SigningKey
	for i, alg := range []string{"ES256", "EdDSA", "RS256", "ES256"} {
		key := ensure(s.EnsureSigningKey(t.Context(), alg, rand.Reader, Epoch.Add(time.Duration(i)*time.Hour)))
		works(t, key)
		if key.Alg != alg {
			t.Errorf("got a key for %s, want %s", key.Alg, alg)
		}
		made = append(made, key)
	}
	slices.Reverse(made)
	keys := must[[]*tokens.SigningKey](t)(s.SigningKeys(t.Context()))
	if len(keys) != len(made) {
		t.Fatalf("%d keys, want %d", len(keys), len(made))
	}
	for i := range made {
		sameKey(t, keys[i], made[i])
	}
	if made[0].ID == made[3].ID {
		t.Error("going back to ES256 revived the retired key")
	}
}

func oneMakesTheKey(t *testing.T, s Store) {
	keys := make([]*tokens.SigningKey, 8)
	errs := make([]error, len(keys))
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() { keys[i], errs[i] = s.EnsureSigningKey(t.Context(), "ES256", rand.Reader, Epoch) })
	}
	all.Wait()
	for i := range keys {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		sameKey(t, keys[i], keys[0])
	}
	if n := len(must[[]*tokens.SigningKey](t)(s.SigningKeys(t.Context()))); n != 1 {
		t.Errorf("%d keys stored, want 1", n)
	}
}

func cancelled(t *testing.T, s Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantError(t, s.CreateClient(ctx, NewClient("client1")), context.Canceled)
	_, err := s.EnsureSigningKey(ctx, "ES256", rand.Reader, Epoch)
	wantError(t, err, context.Canceled)
	if n := len(must[[]*tokens.Client](t)(s.ListClients(t.Context()))); n != 0 {
		t.Errorf("%d clients, want none", n)
	}
	create(t, s, NewClient("client1")) // and the store still works
}
