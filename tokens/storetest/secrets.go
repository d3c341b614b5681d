package storetest

import (
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

func hashOf(secret tokens.Secret) []byte {
	var pepper tokens.Pepper
	return pepper.Hash(secret)
}

func secretsOverlap(t *testing.T, s *world) {
	create(t, s, NewClient("client1"), NewClient("client2"))
	want := NewClient("client1")
	first := want.Secrets[0]
	until, later, soon := s.now.Add(time.Hour), s.now.Add(2*time.Hour), s.now.Add(time.Minute)
	type secrets = []tokens.ClientSecret
	secret := func(generation int64, name tokens.Secret, until time.Time) tokens.ClientSecret {
		return tokens.ClientSecret{Generation: generation, Hash: hashOf(name), Until: until}
	}
	old := func(until time.Time) tokens.ClientSecret { c := first; c.Until = until; return c }
	for _, tt := range []struct {
		name  tokens.Secret
		until time.Time
		want  secrets
	}{
		{"second", until.Add(999 * time.Nanosecond), secrets{secret(2, "second", time.Time{}), old(until)}},
		{"third", later, secrets{secret(3, "third", time.Time{}), secret(2, "second", later), old(until)}}, // nothing lives longer than it was said once
		{"fourth", time.Time{}, secrets{secret(4, "fourth", time.Time{}), secret(3, "third", time.Time{}), secret(2, "second", later), old(until)}},
		{"fifth", soon, secrets{secret(5, "fifth", time.Time{}), secret(4, "fourth", soon), secret(3, "third", soon), secret(2, "second", soon), old(soon)}},
	} {
		got := must[*tokens.Client](t)(s.AddSecret(t.Context(), "alias-client1", hashOf(tt.name), tt.until))
		want.Generation, want.Secrets = tt.want[0].Generation, tt.want
		diff(t, got, want)
		diff(t, must[*tokens.Client](t)(s.Client(t.Context(), "client1")), want)
	}
	for _, bad := range [][]byte{nil, []byte("the secret itself")} {
		if _, err := s.AddSecret(t.Context(), "client1", bad, soon); err == nil {
			t.Errorf("%q was stored as a hash", bad)
		}
	}
	_, err := s.AddSecret(t.Context(), "nobody", hashOf("x"), soon)
	wantError(t, err, tokens.ErrNotFound)
	diff(t, must[*tokens.Client](t)(s.Client(t.Context(), "client1")), want)
	diff(t, must[*tokens.Client](t)(s.Client(t.Context(), "client2")), NewClient("client2"))
}

func revokeSecret(t *testing.T, s *world) {
	create(t, s, NewClient("client1"), NewClient("client2"))
	want := NewClient("client1")
	for _, name := range []tokens.Secret{"second", "third"} {
		want = must[*tokens.Client](t)(s.AddSecret(t.Context(), "client1", hashOf(name), time.Time{}))
	}
	third := want.Secrets[0]
	for _, tt := range []struct {
		revoke, ended int64
		left          []tokens.ClientSecret
	}{
		{2, 2, []tokens.ClientSecret{third}},
		{1, 2, []tokens.ClientSecret{third}}, // what has ended stays so
		{3, 3, nil},
		{3, 3, nil},
	} {
		want.Ended, want.Secrets = tt.ended, tt.left
		diff(t, must[*tokens.Client](t)(s.RevokeSecret(t.Context(), "alias-client1", tt.revoke)), want)
		diff(t, must[*tokens.Client](t)(s.Client(t.Context(), "client1")), want)
	}
	for _, generation := range []int64{-1, 0, 4} {
		_, err := s.RevokeSecret(t.Context(), "client1", generation)
		wantError(t, err, tokens.ErrNotFound)
	}
	_, err := s.RevokeSecret(t.Context(), "nobody", 1)
	wantError(t, err, tokens.ErrNotFound)
	diff(t, must[*tokens.Client](t)(s.Client(t.Context(), "client1")), want)

	// A generation is never given twice, or its tokens would come back to life.
	want.Generation, want.Secrets = 4, []tokens.ClientSecret{{Generation: 4, Hash: hashOf("fourth")}}
	diff(t, must[*tokens.Client](t)(s.AddSecret(t.Context(), "client1", hashOf("fourth"), s.now)), want)
	diff(t, must[*tokens.Client](t)(s.Client(t.Context(), "client2")), NewClient("client2"))
}

func suspendClient(t *testing.T, s *world) {
	create(t, s, NewClient("client1"), NewClient("client2"))
	want := NewClient("client1")
	for _, suspended := range []bool{true, true, false} {
		want.Suspended = suspended
		diff(t, must[*tokens.Client](t)(s.EditClient(t.Context(), "alias-client1", suspension(suspended))), want)
		diff(t, must[*tokens.Client](t)(s.Client(t.Context(), "client1")), want)
		diff(t, must[*tokens.Client](t)(s.Client(t.Context(), "client2")), NewClient("client2"))
	}
	_, err := s.EditClient(t.Context(), "nobody", suspension(true))
	wantError(t, err, tokens.ErrNotFound)
}

func accountsOnTheFly(t *testing.T, s *world) {
	first, second := NewClient("client1"), NewClient("client2")
	second.CreatedAt = Epoch.Add(time.Hour)
	create(t, s, first, second)
	key := NewAPIKey("key1")
	key.Account = "initech"
	if err := s.CreateAPIKey(t.Context(), key, key.APIs); err != nil {
		t.Fatal(err)
	}
	want := []*tokens.Account{{Name: "acme", CreatedAt: Epoch}, {Name: "initech", CreatedAt: key.CreatedAt}}
	diff(t, must[[]*tokens.Account](t)(s.ListAccounts(t.Context())), want)
	for _, id := range []string{"client1", "client2"} {
		if err := s.DeleteClient(t.Context(), id, nil); err != nil {
			t.Fatal(err)
		}
	}
	diff(t, must[[]*tokens.Account](t)(s.ListAccounts(t.Context())), want) // its counters live on
}

func accountIsMadeOnce(t *testing.T, s *world) {
	acme := &tokens.Account{Name: "acme", Zone: "Europe/Berlin", CreatedAt: Epoch.Add(-time.Hour)}
	if err := s.CreateAccount(t.Context(), acme); err != nil {
		t.Fatal(err)
	}
	create(t, s, NewClient("client1"))
	wantError(t, s.CreateAccount(t.Context(), &tokens.Account{Name: "acme", CreatedAt: Epoch}), tokens.ErrExists)
	for _, bad := range []tokens.Account{{Name: "", CreatedAt: Epoch}, {Name: "a b", CreatedAt: Epoch}, {Name: "zone", Zone: "Mars/Olympus", CreatedAt: Epoch}} {
		if err := s.CreateAccount(t.Context(), &bad); err == nil {
			t.Errorf("the account %+v was stored", bad)
		}
	}
	diff(t, must[[]*tokens.Account](t)(s.ListAccounts(t.Context())), []*tokens.Account{acme})
}
