package tokens

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// feed is a store that a test changes by hand.
type feed struct {
	mu       sync.Mutex
	snapshot Changes
	changes  Changes
	keys     []*SigningKey
	err      error
	gap      bool // the store no longer knows what changed
	polls    int
}

// newFeed is a store with some clients, after one change.
func newFeed(clients ...*Client) *feed {
	f := &feed{snapshot: Changes{Clients: map[string]*Client{}, Last: 1}, changes: Changes{Last: 1}}
	for _, c := range clients {
		f.snapshot.Clients[c.ID] = c
	}
	return f
}

func twoClients() *feed {
	return newFeed(&Client{ID: "a", Alias: "first", Plan: "p"}, &Client{ID: "b", Plan: "p"})
}

func (f *feed) Snapshot(context.Context) (*Changes, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &f.snapshot, f.err
}

func (f *feed) Changes(_ context.Context, after int64) (*Changes, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.polls++
	if f.err != nil {
		return nil, f.err
	}
	if f.gap {
		return nil, fmt.Errorf("the store: %w", ErrGap)
	}
	if f.changes.Last == after {
		return &Changes{Last: after}, nil
	}
	return &f.changes, nil
}

func (f *feed) SigningKeys(context.Context) ([]*SigningKey, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.keys, f.err
}

// set changes the store while a registry follows it.
func (f *feed) set(changes Changes, err error) (polls int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes, f.err = changes, err
	return f.polls
}

// tell changes the store and has the registry follow.
func (f *feed) tell(t testing.TB, r *Registry, changes Changes) {
	t.Helper()
	changes.Last = r.last + 1
	f.set(changes, nil)
	if err := r.Refresh(t.Context(), start); err != nil {
		t.Fatal(err)
	}
}

func testRing() *KeyRing { return NewKeyRing(ownURL, rand.Reader, func() time.Time { return start }) }

func newTestRegistry(t testing.TB, f *feed) *Registry {
	t.Helper()
	r, err := NewRegistry(t.Context(), f, testRing(), start)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRegistryFollowsTheFeed(t *testing.T) {
	t.Parallel()
	f := twoClients()
	r := newTestRegistry(t, f)
	held := r.registration("a")
	if r.Client("first") != r.Client("a") || r.Client("a") == nil || r.Client("nobody") != nil || r.Len() != 2 || r.Plans()["p"] != 2 {
		t.Error("the registry does not know what the store has")
	}
	f.set(Changes{Clients: map[string]*Client{"a": {ID: "a", Alias: "second"}, "b": nil, "c": {ID: "c"}}, Last: 3}, nil)
	if err := r.Refresh(t.Context(), start.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if r.Client("first") != nil || r.Client("second") == nil || r.Client("b") != nil || r.Client("c") == nil || held.Client().Alias != "second" {
		t.Error("the changes were not applied")
	}
	f.set(Changes{Clients: map[string]*Client{"a": nil}, Last: 4}, nil)
	if err := r.Refresh(t.Context(), start.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if held.Client() != nil || r.Client("second") != nil {
		t.Error("a deleted client lives on")
	}
	if age := r.Age(start.Add(3 * time.Second)); age != 2*time.Second {
		t.Errorf("age %v, want 2s", age)
	}
	if (*Registration)(nil).Client() != nil {
		t.Error("no registration has a client")
	}
}

// TestV1_AliasMovesToAnotherClient: in whatever order the changes of one poll are
// applied.
func TestV1_AliasMovesToAnotherClient(t *testing.T) {
	t.Parallel()
	for range 50 {
		f := twoClients()
		r := newTestRegistry(t, f)
		f.tell(t, r, Changes{Clients: map[string]*Client{"a": nil, "b": {ID: "b", Alias: "first"}}})
		if c := r.Client("first"); c == nil || c.ID != "b" {
			t.Fatalf("the alias leads to %v, want b", c)
		}
	}
}

// TestRegistryKeepsDecidingWithoutTheStore: an outage is told once, and the
// registry stays as it was.
func TestRegistryKeepsDecidingWithoutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := twoClients()
		r, err := NewRegistry(t.Context(), f, testRing(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		f.set(Changes{}, errors.New("locked"))
		ctx, cancel := context.WithCancel(t.Context())
		told := 0
		go func() { _ = r.Run(ctx, time.Now, func(error) { told++ }) }()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if told != 1 || r.Client("a") == nil || r.Age(time.Now()) < 9*time.Second {
			t.Errorf("told %d times, age %v", told, r.Age(time.Now()))
		}
		before := f.set(Changes{Clients: map[string]*Client{"a": nil}, Last: 2}, nil)
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if r.Client("a") != nil || f.set(Changes{Last: 2}, nil)-before < 1 {
			t.Error("a deletion was not followed within 200 ms")
		}
		cancel()
		synctest.Wait()
	})
}

// TestRegistryLoadsAnewAfterAGap: also when everything has gone meanwhile, which no
// single record tells.
func TestRegistryLoadsAnewAfterAGap(t *testing.T) {
	t.Parallel()
	f := twoClients()
	_, key := newTestKey(t)
	f.snapshot.APIKeys = map[string]*APIKey{key.ID: key}
	f.snapshot.Grants = map[string]*Grant{"old": {ID: "old", Client: "a", Hash: [32]byte{1}, ExpiresAt: start.Add(time.Hour)}}
	f.snapshot.Families = map[string]*Family{"old": {ID: "old", TokensUntil: start.Add(time.Hour)}}
	f.snapshot.Moves = map[MoveID]*Move{{"acme", "old"}: {}}
	r := newTestRegistry(t, f)
	held := &Token{Trust: &Trust{Own: true}, ID: "token1", client: r.registration("a"), Origin: &Origin{Generation: 1, Family: "new", registry: r}}
	if id := held.Identity(); id.Ended != nil {
		t.Fatal(id.Ended)
	}
	a := r.registration("a")

	f.gap = true
	f.snapshot = Changes{Last: 50, Clients: map[string]*Client{"a": {ID: "a", Alias: "second"}, "c": {ID: "c", Alias: "first"}},
		Families: map[string]*Family{"new": {ID: "new", TokensUntil: start.Add(time.Hour)}}, Moves: map[MoveID]*Move{{"acme", "new"}: {}}}
	f.keys = []*SigningKey{newTestSigningKey(t, "ES256", start)}
	if err := r.Refresh(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	if r.last != 50 || r.registration("a") != a || r.Client("second").ID != "a" || r.Client("first").ID != "c" || r.Client("b") != nil ||
		r.Grants() != 0 || r.APIKeys() != 0 || r.opaqueGrant(&[32]byte{1}) != nil || r.Moved("acme", "old") || !r.Moved("acme", "new") || r.keys.Document() == nil {
		t.Error("after the gap the registry is not as the store is")
	}
	if got := held.Identity().Ended; got != errFamilyEnded {
		t.Errorf("the token that somebody holds: %v, want %v", got, errFamilyEnded)
	}

	f.snapshot = Changes{Last: 60}
	if err := r.Refresh(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	if got := held.Identity().Ended; got != errClientDeleted || r.Len() != 0 || r.Client("first") != nil {
		t.Errorf("after all is gone: %v, want %v; %d clients", got, errClientDeleted, r.Len())
	}
}

// TestRegistryWaitsForItsKeys: changes are applied once the signing keys among them
// could be read, and are not lost.
func TestRegistryWaitsForItsKeys(t *testing.T) {
	t.Parallel()
	f := twoClients()
	r := newTestRegistry(t, f)
	bad := newTestSigningKey(t, "ES256", start)
	bad.Alg = "HS256"
	f.keys = []*SigningKey{bad}
	f.set(Changes{SigningKeys: true, Clients: map[string]*Client{"a": nil}, Last: 2}, nil)
	if err := r.Refresh(t.Context(), start.Add(time.Minute)); err == nil || r.last != 1 || r.Age(start.Add(time.Minute)) != time.Minute {
		t.Errorf("a faulty key: %v, change %d", err, r.last)
	}
	f.keys = []*SigningKey{newTestSigningKey(t, "ES256", start)}
	if err := r.Refresh(t.Context(), start); err != nil || r.Client("a") != nil || r.keys.Document() == nil {
		t.Errorf("a good key: %v", err)
	}
	if _, err := NewRegistry(t.Context(), &feed{err: errors.New("locked")}, testRing(), start); err == nil {
		t.Error("a registry was made of a store that does not answer")
	}
}

func TestRegistryPrune(t *testing.T) {
	t.Parallel()
	f := newFeed(&Client{ID: "client1"})
	f.snapshot.Grants = map[string]*Grant{
		"jwt": {ID: "jwt", Client: "client1", ExpiresAt: start.Add(time.Hour), RevokedAt: start}, "opaque": {ID: "opaque", Client: "client1", Hash: [32]byte{1}, ExpiresAt: start.Add(time.Hour)},
		"orphan": {ID: "orphan", Client: "nobody", Hash: [32]byte{2}, ExpiresAt: start.Add(time.Hour)}, "long": {ID: "long", Client: "client1", Hash: [32]byte{3}, ExpiresAt: start.Add(time.Hour)},
	}
	f.snapshot.Families = map[string]*Family{"family1": {ID: "family1", TokensUntil: start.Add(time.Hour)}}
	r := newTestRegistry(t, f)
	f.tell(t, r, Changes{Grants: map[string]*Grant{"long": {ID: "long", Client: "client1", Hash: [32]byte{3}, ExpiresAt: start.Add(48 * time.Hour)}}})
	for _, tt := range []struct {
		at               time.Duration
		grants, families int
	}{
		{0, 4, 1}, {time.Hour - 1, 4, 1}, {time.Hour + time.Minute, 4, 0},
		{KeepExpired + time.Hour - 1, 4, 0}, {KeepExpired + time.Hour + time.Minute, 1, 0},
		{KeepExpired + 48*time.Hour - 1, 1, 0}, {KeepExpired + 48*time.Hour + time.Minute, 0, 0},
	} {
		r.Prune(start.Add(tt.at))
		if r.Grants() != tt.grants || len(r.families) != tt.families {
			t.Errorf("after %s: %d tokens and %d families, want %d and %d", tt.at, r.Grants(), len(r.families), tt.grants, tt.families)
		}
	}
	if len(r.opaque)+len(r.ends) != 0 {
		t.Errorf("%d hashes and %d minutes are left", len(r.opaque), len(r.ends))
	}
}

func TestClientValidate(t *testing.T) {
	t.Parallel()
	good := Client{Name: "n", Account: "default", Environment: Production, Scopes: []string{"a:read"}}
	if faults := good.Validate(); len(faults) != 0 {
		t.Errorf("a good client: %v", faults)
	}
	for name, change := range map[string]func(*Client){
		"no name": func(c *Client) { c.Name = " " }, "control": func(c *Client) { c.Name = "a\nb" }, "alias": func(c *Client) { c.Alias = "No" },
		"account": func(c *Client) { c.Account = "a b" }, "environment": func(c *Client) { c.Environment = "test" }, "no scope": func(c *Client) { c.Scopes = nil },
		"scope": func(c *Client) { c.Scopes = []string{`a"b`} }, "negative": func(c *Client) { c.TokenTTL = -1 }, "long": func(c *Client) { c.TokenTTL = 2 * MaxLifetime }, "fraction": func(c *Client) { c.TokenTTL = 1500 * time.Millisecond },
		"format": func(c *Client) { c.Format = "paper" },
	} {
		c := good
		change(&c)
		if faults := c.Validate(); len(faults) != 1 {
			t.Errorf("%s: %v, want one fault", name, faults)
		}
	}
}

func TestI10_ParseTrustedIP(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{"203.0.113.7": "203.0.113.7/32", "203.0.113.0/24": "203.0.113.0/24", "2001:db8::/32": "2001:db8::/32", "::ffff:10.0.0.1": "10.0.0.1/32"} {
		if p, err := ParseTrustedIP(s); err != nil || p.String() != want {
			t.Errorf("ParseTrustedIP(%q) = %v, %v, want %s", s, p, err, want)
		}
	}
	for _, s := range []string{"", "x", "10.0.0.1/8", "10.0.0.0/33", "fe80::1%eth0", "::ffff:10.0.0.0/104", "10.0.0.0/08"} {
		if p, err := ParseTrustedIP(s); err == nil {
			t.Errorf("ParseTrustedIP(%q) = %v, want an error", s, p)
		}
	}
}

func TestSecretNeverPrints(t *testing.T) {
	t.Parallel()
	s := Secret("canary")
	for _, format := range []string{"%v", "%s", "%q", "%x", "%X", "%+v", "%#v", "%d"} {
		if text := fmt.Sprintf(format, s); strings.Contains(text, "canary") || strings.Contains(text, "63616e617279") {
			t.Errorf("%s prints %s", format, text)
		}
	}
	if text, _ := s.MarshalText(); strings.Contains(string(text), "canary") {
		t.Errorf("JSON has %s", text)
	}
	if s.Reveal() != "canary" {
		t.Error("Reveal does not")
	}
}
