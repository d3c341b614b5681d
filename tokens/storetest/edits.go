package storetest

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// errStale is what a caller's precondition says.
var errStale = errors.New("it is another by now")

func zone(name string) func(*tokens.Account) error {
	return func(a *tokens.Account) error { a.Zone = name; return nil }
}

func named(name string) func(*tokens.User) error {
	return func(u *tokens.User) error { u.Name = name; return nil }
}

// one makes a record of every kind that can be edited.
func one(t *testing.T, s *world) {
	t.Helper()
	create(t, s, NewClient("client1"))
	createKeys(t, s, NewAPIKey("key1"))
	do(t, s.CreateUser(t.Context(), NewUser("user1")))
}

// unchanged wants what one has made to be as it was, and the feed to be quiet.
func unchanged(t *testing.T, s *world, last int64) {
	t.Helper()
	diff(t, must[*tokens.Client](t)(s.Client(t.Context(), "client1")), NewClient("client1"))
	diff(t, must[*tokens.APIKey](t)(s.APIKey(t.Context(), "key1")), NewAPIKey("key1"))
	diff(t, must[*tokens.Account](t)(s.Account(t.Context(), "acme")), &tokens.Account{Name: "acme", CreatedAt: Epoch})
	diff(t, must[*tokens.User](t)(s.User(t.Context(), "user1")), NewUser("user1"))
	diff(t, must[*tokens.Changes](t)(s.Changes(t.Context(), last)), &tokens.Changes{Last: last})
}

// fixedFields: whoever edits one is refused, also in place, and also along with one that
// may be edited.
func fixedFields(t *testing.T, s *world) {
	one(t, s)
	last := snapshot(t, s).Last
	for i, spoil := range []func(*tokens.Client){
		func(c *tokens.Client) { c.ID = "client2" },
		func(c *tokens.Client) { c.Name = "another" },
		func(c *tokens.Client) { c.Alias = "another" },
		func(c *tokens.Client) { c.Account = "initech" },
		func(c *tokens.Client) { c.Plan = "default" },
		func(c *tokens.Client) { c.Environment = tokens.Production },
		func(c *tokens.Client) { c.TokenTTL = time.Hour },
		func(c *tokens.Client) { c.Format = tokens.JWT },
		func(c *tokens.Client) { c.Refresh = false },
		func(c *tokens.Client) { c.Secrets = nil },
		func(c *tokens.Client) { c.Secrets[0].Hash[0] ^= 1 },
		func(c *tokens.Client) { c.Secrets[0].Until = s.now },
		func(c *tokens.Client) { c.Generation++ },
		func(c *tokens.Client) { c.Ended++ },
		func(c *tokens.Client) { c.CreatedAt = c.CreatedAt.Add(time.Second) },
	} {
		_, err := s.EditClient(t.Context(), "client1", func(c *tokens.Client) error { c.Suspended = true; spoil(c); return nil })
		if !errors.Is(err, tokens.ErrFixed) {
			t.Errorf("client, edit %d: got error %v, want %v", i, err, tokens.ErrFixed)
		}
	}
	for i, spoil := range []func(*tokens.APIKey){
		func(k *tokens.APIKey) { k.ID = "key2" },
		func(k *tokens.APIKey) { k.Name = "another" },
		func(k *tokens.APIKey) { k.Account = "initech" },
		func(k *tokens.APIKey) { k.Plan = "default" },
		func(k *tokens.APIKey) { k.Environment = tokens.Production },
		func(k *tokens.APIKey) { k.APIs[0] = "another" },
		func(k *tokens.APIKey) { k.APIs = nil },
		func(k *tokens.APIKey) { k.Hash[0] ^= 1 },
		func(k *tokens.APIKey) { k.CreatedAt = k.CreatedAt.Add(time.Second) },
		func(k *tokens.APIKey) { k.ExpiresAt = time.Time{} },
	} {
		_, err := s.EditAPIKey(t.Context(), "key1", func(k *tokens.APIKey) error { k.Scopes = nil; spoil(k); return nil })
		if !errors.Is(err, tokens.ErrFixed) {
			t.Errorf("API key, edit %d: got error %v, want %v", i, err, tokens.ErrFixed)
		}
	}
	for i, spoil := range []func(*tokens.Account){
		func(a *tokens.Account) { a.Name = "initech" },
		func(a *tokens.Account) { a.CreatedAt = a.CreatedAt.Add(time.Second) },
		func(a *tokens.Account) { a.Credit++ },
		func(a *tokens.Account) { a.CreditRev++ },
	} {
		_, err := s.EditAccount(t.Context(), "acme", func(a *tokens.Account) error { a.Zone = "Europe/Berlin"; spoil(a); return nil })
		if !errors.Is(err, tokens.ErrFixed) {
			t.Errorf("account, edit %d: got error %v, want %v", i, err, tokens.ErrFixed)
		}
	}
	for i, spoil := range []func(*tokens.User){
		func(u *tokens.User) { u.ID = "user2" },
		func(u *tokens.User) { u.Email = "another@example.com" },
		func(u *tokens.User) { u.CreatedAt = u.CreatedAt.Add(time.Second) },
		func(u *tokens.User) { u.Rev++ },
	} {
		_, err := s.EditUser(t.Context(), "user1", func(u *tokens.User) error { u.Suspended = true; spoil(u); return nil })
		if !errors.Is(err, tokens.ErrFixed) {
			t.Errorf("user, edit %d: got error %v, want %v", i, err, tokens.ErrFixed)
		}
	}
	unchanged(t, s, last)
}

// refusedEdits: an error of the edit comes back, whatever the edit did before.
func refusedEdits(t *testing.T, s *world) {
	one(t, s)
	last := snapshot(t, s).Last
	_, err := s.EditClient(t.Context(), "client1", func(c *tokens.Client) error {
		diff(t, c, NewClient("client1"))
		c.Suspended, c.Scopes[0], c.Name = true, "another", "another"
		return errStale
	})
	wantError(t, err, errStale)
	_, err = s.EditAPIKey(t.Context(), "key1", func(k *tokens.APIKey) error {
		diff(t, k, NewAPIKey("key1"))
		k.TrustedIPs = nil
		return errStale
	})
	wantError(t, err, errStale)
	_, err = s.EditAccount(t.Context(), "acme", func(a *tokens.Account) error { a.Zone = "Europe/Berlin"; return errStale })
	wantError(t, err, errStale)
	_, err = s.EditUser(t.Context(), "user1", func(u *tokens.User) error {
		diff(t, u, NewUser("user1"))
		u.Role, u.Account = tokens.Administrator, "initech"
		return errStale
	})
	wantError(t, err, errStale)
	unchanged(t, s, last)
}

// idleEdits: what is the same, if in other words, is not written again.
func idleEdits(t *testing.T, s *world) {
	one(t, s)
	last := snapshot(t, s).Last
	diff(t, must[*tokens.Client](t)(s.EditClient(t.Context(), "client1", func(c *tokens.Client) error {
		slices.Reverse(c.Scopes)
		c.Scopes, c.TrustedIPs, c.Suspended = append(c.Scopes, c.Scopes...), slices.Clone(c.TrustedIPs), false
		return nil
	})), NewClient("client1"))
	diff(t, must[*tokens.APIKey](t)(s.EditAPIKey(t.Context(), "key1", func(k *tokens.APIKey) error { slices.Reverse(k.Scopes); return nil })), NewAPIKey("key1"))
	diff(t, must[*tokens.Account](t)(s.EditAccount(t.Context(), "acme", zone(""))), &tokens.Account{Name: "acme", CreatedAt: Epoch})
	diff(t, must[*tokens.User](t)(s.EditUser(t.Context(), "user1", named(NewUser("user1").Name))), NewUser("user1"))
	unchanged(t, s, last)
}

// clientEditsAtOnce: of many that each add to what is there, none is lost.
func clientEditsAtOnce(t *testing.T, s *world) {
	one(t, s)
	errs := make([]error, 3*8)
	client, key, user := NewClient("client1"), NewAPIKey("key1"), NewUser("user1")
	var all sync.WaitGroup
	for i := range len(errs) / 3 {
		scope := fmt.Sprintf("scope:%d", i)
		client.Scopes, key.Scopes = append(client.Scopes, scope), append(key.Scopes, scope)
		all.Go(func() {
			_, errs[3*i] = s.EditClient(t.Context(), "client1", func(c *tokens.Client) error { c.Scopes = append(c.Scopes, scope); return nil })
			_, errs[3*i+1] = s.EditAPIKey(t.Context(), "key1", func(k *tokens.APIKey) error { k.Scopes = append(k.Scopes, scope); return nil })
			_, errs[3*i+2] = s.EditUser(t.Context(), "user1", func(u *tokens.User) error { u.Name += "!"; return nil })
		})
	}
	all.Wait()
	do(t, errs...)
	diff(t, must[*tokens.Client](t)(s.Client(t.Context(), "client1")), client)
	diff(t, must[*tokens.APIKey](t)(s.APIKey(t.Context(), "key1")), key)
	user.Name, user.Rev = user.Name+"!!!!!!!!", 9
	diff(t, must[*tokens.User](t)(s.User(t.Context(), "user1")), user)
}

func editAPIKey(t *testing.T, s *world) {
	createKeys(t, s, NewAPIKey("key1"), NewAPIKey("key2"))
	want := NewAPIKey("key1")
	want.Scopes, want.TrustedIPs = []string{"a:first", "z:last"}, []netip.Prefix{netip.MustParsePrefix("198.51.100.7/32")}
	diff(t, must[*tokens.APIKey](t)(s.EditAPIKey(t.Context(), "key1", func(k *tokens.APIKey) error {
		k.Scopes, k.TrustedIPs = []string{"z:last", "a:first"}, want.TrustedIPs
		return nil
	})), want)
	diff(t, must[*tokens.APIKey](t)(s.APIKey(t.Context(), "key1")), want)
	want.Scopes, want.TrustedIPs = nil, nil // an API key may be without any
	diff(t, must[*tokens.APIKey](t)(s.EditAPIKey(t.Context(), "key1", func(k *tokens.APIKey) error { k.Scopes, k.TrustedIPs = nil, nil; return nil })), want)
	for _, bad := range []func(*tokens.APIKey){
		func(k *tokens.APIKey) { k.Scopes = []string{"a b"} },
		func(k *tokens.APIKey) { k.TrustedIPs = []netip.Prefix{{}} },
	} {
		if _, err := s.EditAPIKey(t.Context(), "key1", func(k *tokens.APIKey) error { bad(k); return nil }); err == nil {
			t.Error("a faulty edit was stored")
		}
	}
	_, err := s.EditAPIKey(t.Context(), "nobody", func(*tokens.APIKey) error { return nil })
	wantError(t, err, tokens.ErrNotFound)
	diff(t, listKeys(t, s), []*tokens.APIKey{want, NewAPIKey("key2")})
}

func editAccount(t *testing.T, s *world) {
	create(t, s, NewClient("client1"))
	want, err := s.AddCredit(t.Context(), newCredit("credit1", 5))
	do(t, err)
	for _, want.Zone = range []string{"Europe/Berlin", "Asia/Kathmandu", ""} {
		diff(t, must[*tokens.Account](t)(s.EditAccount(t.Context(), "acme", zone(want.Zone))), want)
		diff(t, must[*tokens.Account](t)(s.Account(t.Context(), "acme")), want)
	}
	if _, err := s.EditAccount(t.Context(), "acme", zone("Mars/Olympus")); err == nil {
		t.Error("an unknown zone was stored")
	}
	_, err = s.EditAccount(t.Context(), "nobody", zone("Europe/Berlin"))
	wantError(t, err, tokens.ErrNotFound)
	diff(t, must[[]*tokens.Account](t)(s.ListAccounts(t.Context())), []*tokens.Account{want})
}
