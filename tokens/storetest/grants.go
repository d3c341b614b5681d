package storetest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// NewGrant is an opaque access token with every field set but that it was revoked.
func NewGrant(id, client string) *tokens.Grant {
	return &tokens.Grant{
		ID: id, Client: client, Hash: sha256.Sum256([]byte("token " + id)), Family: "family-of-" + id, Generation: 1,
		Scopes: []string{"contacts:write", "contacts:read"}, Audience: "https://api.example.com", CreatedAt: Epoch, ExpiresAt: Epoch.Add(time.Hour),
	}
}

// newJWT is what is recorded of a JWT.
func newJWT(id, client string) *tokens.Grant {
	g := NewGrant(id, client)
	g.Hash = [sha256.Size]byte{}
	return g
}

// NewFamily is a family with every field set but that it was ended.
func NewFamily(id, client string) *tokens.Family {
	return &tokens.Family{
		ID: id, Client: client, Generation: 1, Scopes: []string{"contacts:write", "contacts:read"}, Audience: "https://api.example.com", Counter: 1,
		CreatedAt: Epoch.Add(-time.Minute), RotatedAt: Epoch, IdleUntil: Epoch.Add(24 * time.Hour), ExpiresAt: Epoch.Add(30 * 24 * time.Hour),
		TokensUntil: Epoch.Add(time.Hour),
	}
}

func add(t *testing.T, s Store, f *tokens.Family, g *tokens.Grant) {
	t.Helper()
	if err := s.AddTokens(t.Context(), f, g); err != nil {
		t.Fatal(err)
	}
}

func snapshot(t *testing.T, s Store) *tokens.Changes {
	t.Helper()
	return must[*tokens.Changes](t)(s.Snapshot(t.Context()))
}

func family(t *testing.T, s Store, id string) *tokens.Family {
	t.Helper()
	return must[*tokens.Family](t)(s.Family(t.Context(), id))
}

func tokensComeBack(t *testing.T, s *world) {
	create(t, s, NewClient("client1"))
	both, familyOnly := NewFamily("family1", "client1"), NewFamily("family2", "client1")
	bare := &tokens.Grant{ID: "bare", Client: "client1", Hash: [32]byte{1}, Generation: 1, CreatedAt: Epoch, ExpiresAt: Epoch.Add(time.Second)}
	add(t, s, both, NewGrant("token1", "client1"))
	add(t, s, familyOnly, nil)
	add(t, s, nil, bare)
	add(t, s, nil, nil)
	diff(t, family(t, s, "family1"), both)
	diff(t, family(t, s, "family2"), familyOnly)
	diff(t, snapshot(t, s).Grants, map[string]*tokens.Grant{"token1": NewGrant("token1", "client1"), "bare": bare})
	for _, id := range []string{"", "family3", "FAMILY1"} {
		_, err := s.Family(t.Context(), id)
		wantError(t, err, tokens.ErrNotFound)
	}
}

func tokensAllOrNone(t *testing.T, s *world) {
	create(t, s, NewClient("client1"))
	add(t, s, NewFamily("family1", "client1"), NewGrant("token1", "client1"))
	sameHash := NewGrant("token2", "client1")
	sameHash.Hash = NewGrant("token1", "client1").Hash
	for name, err := range map[string]error{
		"a family of nobody":       s.AddTokens(t.Context(), NewFamily("family2", "nobody"), nil),
		"a token of nobody":        s.AddTokens(t.Context(), NewFamily("family3", "client1"), NewGrant("token3", "nobody")),
		"a token that is there":    s.AddTokens(t.Context(), NewFamily("family4", "client1"), NewGrant("token1", "client1")),
		"a hash that is there":     s.AddTokens(t.Context(), NewFamily("family5", "client1"), sameHash),
		"a family that is there":   s.AddTokens(t.Context(), NewFamily("family1", "client1"), NewGrant("token4", "client1")),
		"a revocation of nobody's": s.RevokeToken(t.Context(), newJWT("token5", "nobody")),
	} {
		if err == nil {
			t.Errorf("%s was stored", name)
		}
	}
	for i := 2; i <= 5; i++ {
		_, err := s.Family(t.Context(), fmt.Sprintf("family%d", i))
		wantError(t, err, tokens.ErrNotFound)
	}
	diff(t, snapshot(t, s).Grants, map[string]*tokens.Grant{"token1": NewGrant("token1", "client1")})
}

// rotated is a family after its next rotation, at that time.
func rotated(f *tokens.Family, at time.Time) *tokens.Family {
	next := *f
	next.Counter++
	next.Generation++
	next.RotatedAt, next.IdleUntil, next.TokensUntil = at, at.Add(24*time.Hour), at.Add(time.Hour)
	return &next
}

func familyRotates(t *testing.T, s *world) {
	create(t, s, NewClient("client1"))
	first, other := NewFamily("family1", "client1"), NewFamily("family2", "client1")
	add(t, s, first, nil)
	add(t, s, other, nil)
	s.advance(time.Minute)
	second := rotated(first, s.now)
	if err := s.RotateFamily(t.Context(), second, NewGrant("token2", "client1")); err != nil {
		t.Fatal(err)
	}
	diff(t, family(t, s, "family1"), second)

	// What a family is for and how long it lives at most is not changed by a rotation,
	// and an earlier access token may live longer than the next one.
	s.advance(time.Minute)
	third := rotated(second, s.now)
	third.TokensUntil = second.TokensUntil.Add(-time.Second)
	asked := *third
	asked.Scopes, asked.Audience, asked.ExpiresAt, asked.Client = []string{"more"}, "elsewhere", asked.ExpiresAt.Add(time.Hour), "client2"
	if err := s.RotateFamily(t.Context(), &asked, nil); err != nil {
		t.Fatal(err)
	}
	third.TokensUntil = second.TokensUntil
	diff(t, family(t, s, "family1"), third)

	for _, counter := range []uint32{1, 2, 3, 5, 1 << 31} {
		spent := *rotated(third, s.now)
		spent.Counter = counter
		wantError(t, s.RotateFamily(t.Context(), &spent, NewGrant("token3", "client1")), tokens.ErrSpent)
	}
	wantError(t, s.RotateFamily(t.Context(), rotated(NewFamily("family3", "client1"), s.now), NewGrant("token3", "client1")), tokens.ErrNotFound)
	diff(t, family(t, s, "family1"), third)
	diff(t, family(t, s, "family2"), other)
	diff(t, snapshot(t, s).Grants, map[string]*tokens.Grant{"token2": NewGrant("token2", "client1")})
}

func oneRotates(t *testing.T, s *world) {
	create(t, s, NewClient("client1"))
	f := NewFamily("family1", "client1")
	add(t, s, f, nil)
	errs := make([]error, 50)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			errs[i] = s.RotateFamily(t.Context(), rotated(f, s.now), NewGrant(fmt.Sprintf("token%d", i), "client1"))
		})
	}
	all.Wait()
	var winners []string
	for i, err := range errs {
		if err == nil {
			winners = append(winners, fmt.Sprintf("token%d", i))
		} else if !errors.Is(err, tokens.ErrSpent) {
			t.Errorf("got error %v, want %v", err, tokens.ErrSpent)
		}
	}
	if len(winners) != 1 {
		t.Fatalf("%d rotations with one refresh token succeeded, want 1", len(winners))
	}
	diff(t, family(t, s, "family1"), rotated(f, s.now))
	diff(t, snapshot(t, s).Grants, map[string]*tokens.Grant{winners[0]: NewGrant(winners[0], "client1")})
}

func familyExpires(t *testing.T, s *world) {
	create(t, s, NewClient("client1"))
	idle, absolute := NewFamily("idle", "client1"), NewFamily("absolute", "client1")
	absolute.IdleUntil = absolute.ExpiresAt.Add(time.Hour)
	add(t, s, idle, nil)
	add(t, s, absolute, nil)
	for f, end := range map[*tokens.Family]time.Time{idle: idle.IdleUntil, absolute: absolute.ExpiresAt} {
		for _, late := range []time.Duration{0, time.Microsecond, 24 * time.Hour} {
			wantError(t, s.RotateFamily(t.Context(), rotated(f, end.Add(late)), NewGrant("token1", "client1")), tokens.ErrEnded)
		}
		diff(t, family(t, s, f.ID), f)
		if err := s.RotateFamily(t.Context(), rotated(f, end.Add(-time.Microsecond)), nil); err != nil {
			t.Errorf("%s: just before its end: %v", f.ID, err)
		}
	}
	diff(t, snapshot(t, s).Grants, map[string]*tokens.Grant{})
}

func endFamily(t *testing.T, s *world) {
	create(t, s, NewClient("client1"))
	want, other := NewFamily("family1", "client1"), NewFamily("family2", "client1")
	add(t, s, want, nil)
	add(t, s, other, nil)
	s.advance(time.Minute)
	want.EndedAt = s.now
	for range 2 { // the second time it has ended already
		if err := s.EndFamily(t.Context(), "family1"); err != nil {
			t.Fatal(err)
		}
		diff(t, family(t, s, "family1"), want)
		s.advance(time.Minute)
	}
	wantError(t, s.RotateFamily(t.Context(), rotated(want, s.now), NewGrant("token1", "client1")), tokens.ErrEnded)
	before := snapshot(t, s)
	diff(t, before.Families, map[string]*tokens.Family{"family1": want})
	diff(t, before.Grants, map[string]*tokens.Grant{})
	diff(t, family(t, s, "family2"), other)
	if err := s.EndFamily(t.Context(), "family3"); err != nil || snapshot(t, s).Last != before.Last {
		t.Errorf("the end of a family that is not there: %v, change %d after %d", err, snapshot(t, s).Last, before.Last)
	}
}

func revokeToken(t *testing.T, s *world) {
	create(t, s, NewClient("client1"))
	opaque, jwt, untouched := NewGrant("opaque", "client1"), newJWT("jwt", "client1"), NewGrant("other", "client1")
	add(t, s, nil, opaque)
	add(t, s, nil, untouched)
	s.advance(time.Minute)
	opaque.RevokedAt, jwt.RevokedAt = s.now, s.now
	for range 2 { // the first time counts
		said := *newJWT("jwt", "client1")
		said.RevokedAt = Epoch.Add(-time.Hour) // the store's word counts
		if err := s.RevokeToken(t.Context(), &said); err != nil {
			t.Fatal(err)
		}
		other := newJWT("opaque", "client1") // what is recorded stays as it is
		other.Scopes, other.ExpiresAt = []string{"more"}, other.ExpiresAt.Add(time.Hour)
		if err := s.RevokeToken(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		diff(t, snapshot(t, s).Grants, map[string]*tokens.Grant{"opaque": opaque, "jwt": jwt, "other": untouched})
		s.advance(time.Minute)
	}
}
