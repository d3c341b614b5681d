package storetest

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

func clientComesBack(t *testing.T, s *world) {
	full := NewClient("client1")
	bare := &tokens.Client{ID: "client2", Name: "bare", Account: "default", Plan: "default", Environment: tokens.Production,
		Scopes: []string{"a"}, CreatedAt: Epoch}
	create(t, s, full, bare)
	diff(t, must[*tokens.Client](t)(s.Client(t.Context(), "client1")), full)
	diff(t, must[*tokens.Client](t)(s.Client(t.Context(), "client2")), bare)
}

func clientByAlias(t *testing.T, s *world) {
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

func clientsByCreation(t *testing.T, s *world) {
	var want []*tokens.Client
	for i := range 5 { // IDs run against the order of creation
		c := NewClient(fmt.Sprintf("client%d", 9-i))
		c.CreatedAt = Epoch.Add(time.Duration(i) * time.Second)
		want = append(want, c)
	}
	create(t, s, want[3], want[0], want[4], want[1], want[2])
	diff(t, must[[]*tokens.Client](t)(s.ListClients(t.Context())), want)
	all := must[*tokens.Changes](t)(s.Snapshot(t.Context()))
	diff(t, slices.SortedFunc(maps.Values(all.Clients), func(a, b *tokens.Client) int { return a.CreatedAt.Compare(b.CreatedAt) }), want)
}

func namesAreTakenOnce(t *testing.T, s *world) {
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
	if err := s.DeleteClient(t.Context(), "client1", nil); err != nil {
		t.Fatal(err)
	}
	c := NewClient("client2")
	c.Alias = "client1" // a name is free again once its client is gone
	create(t, s, c)
}

func faultyClient(t *testing.T, s *world) {
	for name, spoil := range map[string]func(*tokens.Client){
		"no ID":                func(c *tokens.Client) { c.ID = "" },
		"space in the ID":      func(c *tokens.Client) { c.ID = "client 1" },
		"no name":              func(c *tokens.Client) { c.Name = "" },
		"no scope":             func(c *tokens.Client) { c.Scopes = nil },
		"two scopes in one":    func(c *tokens.Client) { c.Scopes = []string{"a b"} },
		"unknown environment":  func(c *tokens.Client) { c.Environment = "moon" },
		"plain secret":         func(c *tokens.Client) { c.Secrets[0].Hash = []byte("secret") },
		"no hash":              func(c *tokens.Client) { c.Secrets[0].Hash = nil },
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

func onlyScopes(scopes ...string) func(*tokens.Client) error {
	return func(c *tokens.Client) error { c.Scopes = scopes; return nil }
}

func trusting(list ...netip.Prefix) func(*tokens.Client) error {
	return func(c *tokens.Client) error { c.TrustedIPs = list; return nil }
}

func suspension(suspended bool) func(*tokens.Client) error {
	return func(c *tokens.Client) error { c.Suspended = suspended; return nil }
}

func editClient(t *testing.T, s *world) {
	c := NewClient("client1")
	create(t, s, c, NewClient("client2"))
	want := *c
	step := func(name string, edit func(*tokens.Client) error) {
		t.Helper()
		diff(t, must[*tokens.Client](t)(s.EditClient(t.Context(), name, edit)), &want)
		diff(t, must[*tokens.Client](t)(s.Client(t.Context(), "client1")), &want)
	}
	want.Scopes = []string{"a:first", "z:last"}
	step("client1", onlyScopes("z:last", "a:first", "z:last"))
	want.TrustedIPs = []netip.Prefix{netip.MustParsePrefix("198.51.100.7/32")}
	step("alias-client1", trusting(want.TrustedIPs...))
	want.TrustedIPs = nil
	step("client1", trusting())
	want.Scopes = []string{"a:first", "m:middle"}
	step("client1", func(c *tokens.Client) error { c.Scopes[1] = "m:middle"; return nil })

	for _, bad := range [][]string{{}, {"a b"}, {""}} {
		if _, err := s.EditClient(t.Context(), "client1", onlyScopes(bad...)); err == nil {
			t.Errorf("scopes %q were stored", bad)
		}
	}
	_, err := s.EditClient(t.Context(), "nobody", onlyScopes("a"))
	wantError(t, err, tokens.ErrNotFound)
	diff(t, must[*tokens.Client](t)(s.Client(t.Context(), "client1")), &want)
	diff(t, must[*tokens.Client](t)(s.Client(t.Context(), "client2")), NewClient("client2"))
}

func deleteClient(t *testing.T, s *world) {
	create(t, s, NewClient("client1"), NewClient("client2"))
	refusal := func(want string) func(*tokens.Client) error {
		return func(c *tokens.Client) error { diff(t, c, NewClient(want)); return errStale }
	}
	wantError(t, s.DeleteClient(t.Context(), "alias-client1", refusal("client1")), errStale)
	diff(t, must[*tokens.Client](t)(s.Client(t.Context(), "client1")), NewClient("client1"))
	if err := s.DeleteClient(t.Context(), "client1", nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"client1", "alias-client1"} {
		_, err := s.Client(t.Context(), name)
		wantError(t, err, tokens.ErrNotFound)
	}
	wantError(t, s.DeleteClient(t.Context(), "client1", nil), tokens.ErrNotFound)
	diff(t, must[[]*tokens.Client](t)(s.ListClients(t.Context())), []*tokens.Client{NewClient("client2")})
}

func oneGetsTheAlias(t *testing.T, s *world) {
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
