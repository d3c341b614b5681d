package storetest

import (
	"crypto"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

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

// ensure returns the newest key after there is one of that algorithm.
func ensure(t *testing.T, s Store, alg string) *tokens.SigningKey {
	t.Helper()
	if err := s.EnsureSigningKey(t.Context(), alg, rand.Reader, time.Hour); err != nil {
		t.Fatal(err)
	}
	return must[[]*tokens.SigningKey](t)(s.SigningKeys(t.Context()))[0]
}

func keyIsMadeOnce(t *testing.T, s *world) {
	if keys := must[[]*tokens.SigningKey](t)(s.SigningKeys(t.Context())); len(keys) != 0 {
		t.Fatalf("%d keys in an empty store", len(keys))
	}
	first := ensure(t, s, "ES256")
	works(t, first)
	if !first.CreatedAt.Equal(Epoch) {
		t.Errorf("created at %s, want %s", first.CreatedAt, Epoch)
	}
	sameKey(t, ensure(t, s, "ES256"), first)
	keys := must[[]*tokens.SigningKey](t)(s.SigningKeys(t.Context()))
	if len(keys) != 1 {
		t.Fatalf("%d keys, want 1", len(keys))
	}
	sameKey(t, keys[0], first)
	if err := s.EnsureSigningKey(t.Context(), "HS256", rand.Reader, time.Hour); err == nil {
		t.Error("a key for HS256 was made")
	}
}

func keyOfAnotherAlgorithm(t *testing.T, s *world) {
	var made []*tokens.SigningKey
	for _, alg := range []string{"ES256", "EdDSA", "RS256", "ES256"} {
		key := ensure(t, s, alg)
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

func oneMakesTheKey(t *testing.T, s *world) {
	errs := make([]error, 8)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = s.EnsureSigningKey(t.Context(), "ES256", rand.Reader, time.Hour) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if n := len(must[[]*tokens.SigningKey](t)(s.SigningKeys(t.Context()))); n != 1 {
		t.Errorf("%d keys stored, want 1", n)
	}
}

// rotate makes a new key of the test's time.
func rotate(t *testing.T, s *world, ahead, lifetime time.Duration) *tokens.SigningKey {
	t.Helper()
	key := must[*tokens.SigningKey](t)(s.RotateSigningKey(t.Context(), tokens.Rotation{Alg: "ES256", Random: rand.Reader, Now: s.now, Ahead: ahead, Lifetime: lifetime}))
	if key == nil {
		t.Fatal("no key was made")
	}
	return key
}

func signingKeys(t *testing.T, s Store) []*tokens.SigningKey {
	t.Helper()
	return must[[]*tokens.SigningKey](t)(s.SigningKeys(t.Context()))
}

func wantTimes(t *testing.T, key *tokens.SigningKey, from, until time.Time) {
	t.Helper()
	if !key.SignsFrom.Equal(from) || !key.VerifiesUntil.Equal(until) {
		t.Errorf("the key signs from %s and verifies until %s, want %s and %s", key.SignsFrom, key.VerifiesUntil, from, until)
	}
}

func keysRotate(t *testing.T, s *world) {
	first := ensure(t, s, "ES256")
	wantTimes(t, first, Epoch, time.Time{})
	s.advance(24 * time.Hour)
	second := rotate(t, s, 15*time.Minute, 2*time.Hour)
	keys := signingKeys(t, s)
	if len(keys) != 2 {
		t.Fatalf("%d keys, want 2", len(keys))
	}
	sameKey(t, keys[0], second)
	sameKey(t, keys[1], first)
	from := s.now.Add(15 * time.Minute)
	ended := from.Add(2*time.Hour + time.Minute) // clocks differ by a minute
	wantTimes(t, keys[0], from, time.Time{})
	wantTimes(t, keys[1], Epoch, ended)

	// At once, before the second has ever signed. What was said of the first holds.
	s.advance(time.Minute)
	third := rotate(t, s, 0, 2*time.Hour)
	works(t, third)
	keys = signingKeys(t, s)
	sameKey(t, keys[0], third)
	wantTimes(t, keys[0], s.now, time.Time{})
	wantTimes(t, keys[1], from, s.now.Add(2*time.Hour+time.Minute))
	wantTimes(t, keys[2], Epoch, ended)
	if _, err := s.RotateSigningKey(t.Context(), tokens.Rotation{Alg: "HS256", Random: rand.Reader, Now: s.now}); err == nil {
		t.Error("a key for HS256 was made")
	}
	if err := s.EnsureSigningKey(t.Context(), "ES256", rand.Reader, time.Hour); err != nil || len(signingKeys(t, s)) != 3 {
		t.Errorf("%d keys, %v; want the 3 that there were", len(signingKeys(t, s)), err)
	}
}

// keyOutlivesItsTokens: a key verifies until the last token that it can have signed has
// expired, whoever the token was for.
func keyOutlivesItsTokens(t *testing.T, s *world) {
	for _, tt := range []struct {
		name     string
		ttl      time.Duration // of a new client; 0: no client is made
		lifetime time.Duration
		want     time.Duration
	}{
		{"classic tokens are the longest", 0, time.Minute, tokens.ClassicTTL},
		{"the configuration's are", 0, 2 * time.Hour, 2 * time.Hour},
		{"a client's are", 48 * time.Hour, time.Hour, 48 * time.Hour},
		{"the configuration's are again", 0, 72 * time.Hour, 72 * time.Hour},
	} {
		if tt.ttl != 0 {
			c := NewClient("client1")
			c.TokenTTL = tt.ttl
			create(t, s, c, NewClient("client2"))
		}
		old := ensure(t, s, "ES256")
		rotate(t, s, time.Minute, tt.lifetime)
		keys := signingKeys(t, s)
		sameKey(t, keys[1], old)
		if got := keys[1].VerifiesUntil.Sub(keys[0].SignsFrom); got != tt.want+time.Minute {
			t.Errorf("%s: the old key verifies for %s after it stops to sign, want %s and a minute", tt.name, got, tt.want)
		}
		s.advance(time.Hour)
	}
}

// keyOutlivesNewClients: a client with tokens that live long may be made while the old
// key still signs.
func keyOutlivesNewClients(t *testing.T, s *world) {
	ensure(t, s, "ES256")
	rotate(t, s, time.Hour, time.Hour)
	from, until := s.now.Add(time.Hour), s.now.Add(2*time.Hour+time.Minute)
	client := func(id string, ttl time.Duration, untilThen time.Time) {
		t.Helper()
		c := NewClient(id)
		c.TokenTTL = ttl
		before := snapshot(t, s).Last
		create(t, s, c)
		keys := signingKeys(t, s)
		wantTimes(t, keys[0], from, time.Time{})
		wantTimes(t, keys[1], Epoch, untilThen)
		if c, _ := changed(t, s, before); c.SigningKeys != !untilThen.Equal(until) {
			t.Errorf("%s: the feed tells of signing keys: %t", id, c.SigningKeys)
		}
		until = untilThen
	}
	s.advance(59 * time.Minute)
	client("short", 10*time.Minute, until)
	client("long", 24*time.Hour, from.Add(24*time.Hour+time.Minute))
	client("shorter", 12*time.Hour, until)
	s.advance(time.Minute)
	client("late", 48*time.Hour, until) // the next key signs its tokens
}

// keyOutlivesLongTokens: a token that was given a lifetime of its own is verified until
// it expires, whether it was made before its key was replaced, or after and before the
// next one signs.
func keyOutlivesLongTokens(t *testing.T, s *world) {
	ensure(t, s, "ES256")
	create(t, s, NewClient("client1"))
	token := func(g *tokens.Grant, ttl time.Duration) time.Time {
		t.Helper()
		g.CreatedAt, g.ExpiresAt = s.now, s.now.Add(ttl)
		add(t, s, nil, g)
		return g.ExpiresAt.Add(time.Minute) // clocks differ by a minute
	}
	until := token(newJWT("before", "client1"), 30*24*time.Hour)
	token(NewGrant("opaque", "client1"), 60*24*time.Hour) // nobody signed it
	revoked := newJWT("revoked", "client1")
	revoked.ExpiresAt = s.now.Add(60 * 24 * time.Hour)
	do(t, s.RevokeToken(t.Context(), revoked))
	rotate(t, s, time.Hour, time.Hour)
	wantTimes(t, signingKeys(t, s)[1], Epoch, until)
	for name, step := range map[string]struct {
		g    *tokens.Grant
		ttl  time.Duration
		told bool
	}{
		"shorter": {newJWT("shorter", "client1"), time.Hour, false}, "opaque": {NewGrant("opaque 2", "client1"), 90 * 24 * time.Hour, false},
		"longer": {newJWT("longer", "client1"), 40 * 24 * time.Hour, true},
	} {
		last := snapshot(t, s).Last
		end := token(step.g, step.ttl)
		if step.told {
			until = end
		}
		if c, _ := changed(t, s, last); c.SigningKeys != step.told {
			t.Errorf("%s: the feed tells of signing keys: %t", name, c.SigningKeys)
		}
	}
	wantTimes(t, signingKeys(t, s)[1], Epoch, until)
	s.advance(time.Hour)
	token(newJWT("late", "client1"), 80*24*time.Hour) // the next key signs it
	wantTimes(t, signingKeys(t, s)[1], Epoch, until)
}

func rotationCalledOff(t *testing.T, s *world) {
	first := ensure(t, s, "ES256")
	second := rotate(t, s, 0, time.Hour)
	last := snapshot(t, s).Last
	asked := 0
	r := tokens.Rotation{Alg: "ES256", Random: rand.Reader, Now: s.now, Lifetime: time.Hour, Unless: func(keys []*tokens.SigningKey) bool {
		asked++
		if len(keys) != 2 {
			t.Fatalf("%d keys, want 2", len(keys))
		}
		sameKey(t, keys[0], second)
		sameKey(t, keys[1], first)
		return true
	}}
	if key, err := s.RotateSigningKey(t.Context(), r); key != nil || err != nil || asked != 1 {
		t.Errorf("got %v, %v after %d questions; want nothing after one", key, err, asked)
	}
	if n := len(signingKeys(t, s)); n != 2 || snapshot(t, s).Last != last {
		t.Errorf("%d keys and change %d, want 2 and %d", n, snapshot(t, s).Last, last)
	}

	// Of many that all find the newest too old, one makes the next.
	r.Unless = func(keys []*tokens.SigningKey) bool { return len(keys) > 2 }
	made := make([]*tokens.SigningKey, 8)
	errs := make([]error, len(made))
	var all sync.WaitGroup
	for i := range made {
		all.Go(func() { made[i], errs[i] = s.RotateSigningKey(t.Context(), r) })
	}
	all.Wait()
	made = slices.DeleteFunc(made, func(k *tokens.SigningKey) bool { return k == nil })
	if err := errors.Join(errs...); err != nil || len(made) != 1 || len(signingKeys(t, s)) != 3 {
		t.Errorf("%d rotations, %d keys, %v; want 1 and 3", len(made), len(signingKeys(t, s)), err)
	}
}
