package storetest

import (
	"crypto/sha256"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// NewAPIKey is an API key with every field set, fit to be stored.
func NewAPIKey(id string) *tokens.APIKey {
	return &tokens.APIKey{
		ID: id, Name: "Import — " + id, Account: "acme", Plan: "gold", Environment: tokens.Sandbox, Scopes: []string{"contacts:read", "contacts:write"},
		TrustedIPs: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32")}, APIs: []string{"contacts", "invoices"},
		Hash: sha256.Sum256([]byte("key " + id)), CreatedAt: Epoch, ExpiresAt: Epoch.Add(365 * 24 * time.Hour),
	}
}

func createKeys(t *testing.T, s Store, keys ...*tokens.APIKey) {
	t.Helper()
	for _, k := range keys {
		if err := s.CreateAPIKey(t.Context(), k, k.APIs); err != nil {
			t.Fatal(err)
		}
	}
}

func listKeys(t *testing.T, s Store) []*tokens.APIKey {
	t.Helper()
	return must[[]*tokens.APIKey](t)(s.ListAPIKeys(t.Context()))
}

func keyComesBack(t *testing.T, s *world) {
	full, bare := NewAPIKey("key9"), &tokens.APIKey{ID: "key1", Name: "bare", Account: "default", Plan: "default", Environment: tokens.Production, Hash: [32]byte{1}, CreatedAt: Epoch.Add(time.Second)}
	createKeys(t, s, bare, full)
	diff(t, listKeys(t, s), []*tokens.APIKey{full, bare}) // by creation
	diff(t, snapshot(t, s).APIKeys, map[string]*tokens.APIKey{"key9": full, "key1": bare})
	diff(t, must[*tokens.APIKey](t)(s.APIKey(t.Context(), "key9")), full)
	diff(t, must[*tokens.APIKey](t)(s.APIKey(t.Context(), "key1")), bare)
	for _, id := range []string{"key", "KEY9", ""} {
		_, err := s.APIKey(t.Context(), id)
		wantError(t, err, tokens.ErrNotFound)
	}
}

func faultyAPIKey(t *testing.T, s *world) {
	createKeys(t, s, NewAPIKey("key1"))
	for name, spoil := range map[string]func(*tokens.APIKey){
		"an ID that is there":  func(k *tokens.APIKey) { k.ID = "key1" },
		"a hash that is there": func(k *tokens.APIKey) { k.Hash = NewAPIKey("key1").Hash },
		"no name":              func(k *tokens.APIKey) { k.Name = "" },
		"no account":           func(k *tokens.APIKey) { k.Account = "" },
		"unknown environment":  func(k *tokens.APIKey) { k.Environment = "moon" },
		"two scopes in one":    func(k *tokens.APIKey) { k.Scopes = []string{"a b"} },
		"expired":              func(k *tokens.APIKey) { k.ExpiresAt = k.CreatedAt },
	} {
		k := NewAPIKey("key2")
		k.Account = "umbrella"
		spoil(k)
		if err := s.CreateAPIKey(t.Context(), k, k.APIs); err == nil {
			t.Errorf("%s: the API key was stored", name)
		}
	}
	diff(t, listKeys(t, s), []*tokens.APIKey{NewAPIKey("key1")})
	diff(t, must[[]*tokens.Account](t)(s.ListAccounts(t.Context())), []*tokens.Account{{Name: "acme", CreatedAt: Epoch}})
}

func deleteAPIKey(t *testing.T, s *world) {
	createKeys(t, s, NewAPIKey("key1"), NewAPIKey("key2"))
	wantError(t, s.DeleteAPIKey(t.Context(), "key1", func(k *tokens.APIKey) error { diff(t, k, NewAPIKey("key1")); return errStale }), errStale)
	diff(t, must[*tokens.APIKey](t)(s.APIKey(t.Context(), "key1")), NewAPIKey("key1"))
	if err := s.DeleteAPIKey(t.Context(), "key1", nil); err != nil {
		t.Fatal(err)
	}
	wantError(t, s.DeleteAPIKey(t.Context(), "key1", nil), tokens.ErrNotFound)
	wantError(t, s.DeleteAPIKey(t.Context(), "", nil), tokens.ErrNotFound)
	diff(t, listKeys(t, s), []*tokens.APIKey{NewAPIKey("key2")})
}

func moves(t *testing.T, s *world) {
	first := &tokens.Move{Account: "acme", API: "contacts", Client: "client1", At: Epoch}
	other := &tokens.Move{Account: "acme", API: "api with a space", Client: "client1", At: Epoch.Add(time.Second)}
	mark := func(moves ...*tokens.Move) {
		t.Helper()
		for _, m := range moves {
			if err := s.AddMove(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
	}
	mark(first, other, &tokens.Move{Account: "acme", API: "contacts", Client: "client2", At: Epoch.Add(time.Hour)}) // the first mark stays
	diff(t, must[[]*tokens.Move](t)(s.ListMoves(t.Context())), []*tokens.Move{other, first})
	id := tokens.MoveID{Account: "acme", API: "contacts"}
	if err := s.DeleteMove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []tokens.MoveID{id, {Account: "contacts", API: "acme"}, {}} {
		wantError(t, s.DeleteMove(t.Context(), gone), tokens.ErrNotFound)
	}
	diff(t, must[[]*tokens.Move](t)(s.ListMoves(t.Context())), []*tokens.Move{other})
	again := &tokens.Move{Account: "acme", API: "contacts", Client: "client3", At: Epoch.Add(2 * time.Hour)}
	mark(again)
	diff(t, snapshot(t, s).Moves, map[tokens.MoveID]*tokens.Move{id: again, {Account: "acme", API: "api with a space"}: other})
}

func movedAccount(t *testing.T, s *world) {
	if err := s.AddMove(t.Context(), &tokens.Move{Account: "acme", API: "contacts", Client: "client1", At: Epoch}); err != nil {
		t.Fatal(err)
	}
	all := []string{"contacts", "invoices"}
	var made []string
	try := func(id, account string, apis, opens []string, moved bool) {
		t.Helper()
		k := NewAPIKey(id)
		k.Account, k.APIs = account, apis
		err := s.CreateAPIKey(t.Context(), k, opens)
		switch {
		case !moved && err != nil:
			t.Errorf("%s: %v", id, err)
		case moved && err == nil:
			t.Errorf("%s was made", id)
		case moved:
			wantError(t, err, tokens.ErrMoved)
			if !strings.Contains(err.Error(), "contacts") || !strings.Contains(err.Error(), account) {
				t.Errorf("got error %q, want it to name account and API", err)
			}
		default:
			made = append(made, id)
		}
	}
	try("names-it", "acme", []string{"contacts"}, []string{"contacts"}, true)
	try("names-it-too", "acme", all, all, true)
	try("names-another", "acme", []string{"invoices"}, []string{"invoices"}, false)
	try("all", "acme", nil, all, false)
	try("all-are-moved", "acme", nil, []string{"contacts"}, true)
	try("another-account", "initech", []string{"contacts"}, []string{"contacts"}, false)
	try("another-account-all", "initech", nil, []string{"contacts"}, false)
	if err := s.AddMove(t.Context(), &tokens.Move{Account: "acme", API: "invoices", Client: "client1", At: Epoch}); err != nil {
		t.Fatal(err)
	}
	try("all-are-moved-now", "acme", nil, all, true)
	if err := s.DeleteMove(t.Context(), tokens.MoveID{Account: "acme", API: "contacts"}); err != nil {
		t.Fatal(err)
	}
	try("undone", "acme", []string{"contacts"}, []string{"contacts"}, false)
	try("undone-all", "acme", nil, all, false)
	var got []string
	for _, k := range listKeys(t, s) {
		got = append(got, k.ID)
	}
	slices.Sort(got)
	slices.Sort(made)
	diff(t, got, made)
}
