package tokens

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"regexp"
	"testing"
	"time"
)

// newTestGrant draws an opaque token of client1.
func newTestGrant(t testing.TB, format Format) (bearer string, g *Grant) {
	t.Helper()
	text, hash, id, err := NewOpaqueToken(format, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return text.Reveal(), &Grant{
		ID: id, Client: "client1", Hash: hash, Family: "family1", Generation: 2, Scopes: []string{"a:read", "b:write"}, Audience: "https://api.example",
		CreatedAt: start, ExpiresAt: start.Add(time.Hour),
	}
}

func TestD2_OpaqueFormats(t *testing.T) {
	t.Parallel()
	for format, form := range map[Format]*regexp.Regexp{Opaque: regexp.MustCompile(`^tga_[A-Za-z0-9_-]{43}$`), Classic: regexp.MustCompile(`^[A-Za-z0-9]{24}$`)} {
		for range 50 {
			bearer, g := newTestGrant(t, format)
			if !form.MatchString(bearer) || g.Hash != sha256.Sum256([]byte(bearer)) || len(g.ID) != 22 || !g.IsOpaque() {
				t.Errorf("%s: %q with the ID %q", format, bearer, g.ID)
			}
		}
		if _, _, _, err := NewOpaqueToken(format, &dry{40}); err == nil {
			t.Errorf("%s: drawn from a source that ran dry", format)
		}
	}
}

// dry is a source of that many bytes.
type dry struct{ left int }

func (d *dry) Read(p []byte) (int, error) {
	n := min(d.left, len(p))
	if d.left -= n; n == 0 {
		return 0, errors.New("dry")
	}
	return n, nil
}

// opaqueWorld is a verifier that knows one opaque token.
func opaqueWorld(t *testing.T, format Format) (v *Verifier, f *feed, bearer string, g *Grant) {
	t.Helper()
	f = newFeed(&Client{ID: "client1", Scopes: []string{"a:read"}, Generation: 2, Environment: Production})
	bearer, g = newTestGrant(t, format)
	f.snapshot.Grants = map[string]*Grant{g.ID: g}
	v = newTestVerifier(t, newForge(t).ownTrust(t))
	v.registry = newTestRegistry(t, f)
	return v, f, bearer, g
}

func TestOpaqueTokenIsWhatItsRecordSays(t *testing.T) {
	t.Parallel()
	for _, format := range []Format{Opaque, Classic} {
		v, _, bearer, g := opaqueWorld(t, format)
		for i := range 2 {
			token, err := v.Verify(t.Context(), bearer, start)
			if err != nil {
				t.Fatal(err)
			}
			id := token.Identity()
			if id.Ended != nil || id.ScopeList != "a:read" || id.ClientID() != "client1" || id.Subject() != "client1" || id.TokenID() != g.ID || id.Issuer() != ownURL ||
				token.Generation != 2 || token.Family != "family1" || len(token.Audience) != 1 || token.Audience[0] != g.Audience ||
				!token.Issued.Equal(g.CreatedAt) || !token.Expires.Equal(g.ExpiresAt) || token.Record().Hash != g.Hash {
				t.Errorf("%s: token %+v, identity %+v", format, token, id)
			}
			v.cache.Wait()
			if hits := v.cache.Hits(); hits != uint64(i) {
				t.Errorf("%s: %d hits of the cache, want %d", format, hits, i)
			}
		}
		for _, other := range []string{bearer + "A", bearer[1:], bearer + " ", ""} {
			if _, err := v.Verify(t.Context(), other, start); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %q: %v, want %v", format, other, err, ErrInvalid)
			}
		}
		near := g.Hash
		near[31] ^= 1
		if v.registry.opaqueGrant(&near) != nil {
			t.Error("half of a hash is enough to find a token")
		}
	}
}

// TestOpaqueTokenEnds in each way, while it is cached.
func TestOpaqueTokenEnds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(g Grant) Changes
		held   error // why the token that is cached has ended
		known  bool  // whether it is still told from one that never was
	}{
		{"revoked", func(g Grant) Changes {
			g.RevokedAt = start
			return Changes{Grants: map[string]*Grant{g.ID: &g}}
		}, errTokenRevoked, true},
		{"deleted", func(g Grant) Changes { return Changes{Grants: map[string]*Grant{g.ID: nil}} }, errTokenGone, false},
		{"its client deleted", func(Grant) Changes { return Changes{Clients: map[string]*Client{"client1": nil}} }, errClientDeleted, true},
		{"its family ended", func(Grant) Changes {
			return Changes{Families: map[string]*Family{"family1": {ID: "family1", TokensUntil: start.Add(time.Hour)}}}
		}, errFamilyEnded, true},
		{"its secret revoked", func(Grant) Changes {
			return Changes{Clients: map[string]*Client{"client1": {ID: "client1", Generation: 2, Ended: 2}}}
		}, errSecretRevoked, true},
	} {
		v, f, bearer, g := opaqueWorld(t, Opaque)
		held, err := v.Verify(t.Context(), bearer, start)
		if err != nil || held.Identity().Ended != nil {
			t.Fatal(err, held.Identity().Ended)
		}
		v.cache.Wait()
		f.tell(t, v.registry, tt.change(*g))
		if got := held.Identity().Ended; got != tt.held {
			t.Errorf("%s: the token that somebody holds: %v, want %v", tt.name, got, tt.held)
		}
		cached, err := v.Verify(t.Context(), bearer, start)
		if err != nil || cached.Identity().Ended != tt.held {
			t.Errorf("%s: from the cache: %v", tt.name, err)
		}
		v.cache = nil
		anew, err := v.Verify(t.Context(), bearer, start)
		switch {
		case tt.known && (err != nil || anew.Identity().Ended != tt.held):
			t.Errorf("%s: looked up anew: %v, want %v", tt.name, err, tt.held)
		case !tt.known && !errors.Is(err, ErrInvalid):
			t.Errorf("%s: looked up anew: %v, want %v", tt.name, err, ErrInvalid)
		}
	}
}

// TestI8_ExpiredOpaqueTokenStaysKnown, for a day: its holder is told that it expired.
func TestI8_ExpiredOpaqueTokenStaysKnown(t *testing.T) {
	t.Parallel()
	v, f, bearer, g := opaqueWorld(t, Classic)
	revoked := *g
	revoked.RevokedAt = start
	f.tell(t, v.registry, Changes{Grants: map[string]*Grant{g.ID: &revoked}})
	for _, after := range []time.Duration{0, time.Minute, KeepExpired - time.Second} {
		now := g.ExpiresAt.Add(after)
		v.registry.Prune(now)
		token, err := v.Verify(t.Context(), bearer, now)
		if err != nil || !token.Identity().Expired(now) {
			t.Errorf("%s after it expired: %v; want an expired token", after, err)
		}
		v.cache.Wait()
	}
	if v.cache.Hits() != 0 {
		t.Error("an expired token was cached")
	}
	now := g.ExpiresAt.Add(KeepExpired + time.Minute)
	v.registry.Prune(now)
	if _, err := v.Verify(t.Context(), bearer, now); !errors.Is(err, ErrInvalid) {
		t.Errorf("a day after it expired: %v, want %v", err, ErrInvalid)
	}
}

// TestOpaqueTokenWithoutItsIssuer: our own tokens are read on the terms of our own trust.
func TestOpaqueTokenWithoutItsIssuer(t *testing.T) {
	t.Parallel()
	v, f, bearer, _ := opaqueWorld(t, Opaque)
	if _, err := v.Verify(t.Context(), bearer, start); err != nil {
		t.Fatal(err)
	}
	v.cache.Wait()
	v.Trust([]*Trust{newForge(t).foreignTrust(t)})
	if _, err := v.Verify(t.Context(), bearer, start); !errors.Is(err, ErrInvalid) {
		t.Errorf("without our own issuer: %v, want %v", err, ErrInvalid)
	}

	// A token whose client is not known is not remembered: he may be a moment away.
	stranger, g := newTestGrant(t, Opaque)
	g.Client = "client2"
	v.Trust([]*Trust{newForge(t).ownTrust(t)})
	f.tell(t, v.registry, Changes{Grants: map[string]*Grant{g.ID: g}})
	if token, err := v.Verify(t.Context(), stranger, start); err != nil || token.Identity().Ended != errClientDeleted {
		t.Fatalf("a token whose client is not known: %v", err)
	}
	v.cache.Wait()
	f.tell(t, v.registry, Changes{Clients: map[string]*Client{"client2": {ID: "client2", Generation: 2}}})
	if token, err := v.Verify(t.Context(), stranger, start); err != nil || token.Identity().Ended != nil {
		t.Errorf("once its client is known: %v, %v", err, token.Identity().Ended)
	}
}
