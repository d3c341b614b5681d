package tokens

import (
	"crypto/rand"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func newTestSigningKey(t testing.TB, alg string, from time.Time) *SigningKey {
	t.Helper()
	key, err := NewSigningKey(alg, rand.Reader, from)
	if err != nil {
		t.Fatal(err)
	}
	key.SignsFrom = from
	return key
}

// copyOf is a key as it is read from the store again.
func copyOf(t testing.TB, key *SigningKey) *SigningKey {
	t.Helper()
	pkcs8, err := key.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := UnmarshalSigningKey(key.Alg, pkcs8, key.CreatedAt)
	if err != nil {
		t.Fatal(err)
	}
	again.SignsFrom, again.VerifiesUntil = key.SignsFrom, key.VerifiesUntil
	return again
}

// ringWorld is a ring whose clock a test sets, and a verifier that goes by it.
type ringWorld struct {
	t    *testing.T
	now  time.Time
	ring *KeyRing
	v    *Verifier
}

func newRingWorld(t *testing.T) *ringWorld {
	w := &ringWorld{t: t, now: start}
	w.ring = NewKeyRing(ownURL, rand.Reader, func() time.Time { return w.now })
	w.v = newTestVerifier(t, w.ring.Trust())
	return w
}

func (w *ringWorld) set(keys ...*SigningKey) {
	w.t.Helper()
	if err := w.ring.Set(keys); err != nil {
		w.t.Fatal(err)
	}
}

// issue returns a token and the kid that it names.
func (w *ringWorld) issue() (bearer, kid string) {
	w.t.Helper()
	token, err := w.ring.Issue(Claims{Client: "client1", Audience: ownURL, Scopes: []string{"a:read"}, Generation: 1, IssuedAt: w.now, TTL: time.Hour})
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := parseCompact(token.Bearer.Reveal())
	if err != nil {
		w.t.Fatal(err)
	}
	return token.Bearer.Reveal(), c.kid
}

func (w *ringWorld) wantSigner(key *SigningKey) (bearer string) {
	w.t.Helper()
	bearer, kid := w.issue()
	if kid != key.ID {
		w.t.Errorf("the key %s signs, want %s", kid, key.ID)
	}
	w.wantVerified(bearer, true)
	return bearer
}

func (w *ringWorld) wantVerified(bearer string, want bool) {
	w.t.Helper()
	_, err := w.v.Verify(w.t.Context(), bearer, w.now)
	if (err == nil) != want || err != nil && !errors.Is(err, ErrInvalid) {
		w.t.Errorf("the token is verified: %v, want that it is: %t", err, want)
	}
	w.v.cache.Wait()
}

func TestKeyIsPublishedBeforeItSigns(t *testing.T) {
	t.Parallel()
	w := newRingWorld(t)
	old, next := newTestSigningKey(t, "ES256", start.Add(-time.Hour)), newTestSigningKey(t, "EdDSA", start.Add(15*time.Minute))
	old.VerifiesUntil = next.SignsFrom.Add(time.Hour)
	w.set(next, old)
	doc := string(w.ring.Document())
	if !strings.Contains(doc, old.ID) || !strings.Contains(doc, next.ID) {
		t.Errorf("both keys should be published: %s", doc)
	}
	first := w.wantSigner(old)
	w.now = next.SignsFrom.Add(-1)
	last := w.wantSigner(old)
	w.now = next.SignsFrom
	w.wantSigner(next)
	w.wantVerified(first, true)

	// The old one goes with its last token, and not before.
	w.now = old.VerifiesUntil.Add(-1)
	if err := w.ring.Prune(); err != nil {
		t.Fatal(err)
	}
	w.wantVerified(last, true)
	w.now = old.VerifiesUntil
	if err := w.ring.Prune(); err != nil {
		t.Fatal(err)
	}
	w.wantVerified(last, false) // cached as it was
	if doc := string(w.ring.Document()); strings.Contains(doc, old.ID) || !strings.Contains(doc, next.ID) {
		t.Errorf("the next key alone should be published: %s", doc)
	}
	if key, err := w.ring.Key(t.Context(), old.ID); key != nil || err != nil {
		t.Errorf("the ring has the key %v, %v", key, err)
	}
	w.wantSigner(next)
}

func TestKeysStayTheSameObjects(t *testing.T) {
	t.Parallel()
	w := newRingWorld(t)
	a, b := newTestSigningKey(t, "ES256", start), newTestSigningKey(t, "RS256", start)
	w.set(a, b)
	bearer := w.wantSigner(a)
	public := func(id string) *Key {
		key, err := w.ring.Key(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	before, leaving := public(a.ID), public(b.ID)
	w.set(newTestSigningKey(t, "EdDSA", start.Add(time.Hour)), copyOf(t, a)) // b has left
	if public(a.ID) != before || before.retired.Load() {
		t.Error("a key that stayed is another object, or retired")
	}
	if public(b.ID) != nil || !leaving.retired.Load() {
		t.Error("a key that left is there, or not retired")
	}
	hits := w.v.cache.Hits()
	w.wantVerified(bearer, true)
	if w.v.cache.Hits() == hits {
		t.Error("a token was verified again though its key stayed")
	}
	w.set()
	w.wantVerified(bearer, false)
	w.set(a) // back again: another object, since tokens were refused meanwhile
	if public(a.ID) == before {
		t.Error("a retired key came back to life")
	}
	w.wantVerified(bearer, true)
}

// TestRevokedKeyEndsItsTokens: one that its owner takes out of the store before its time.
func TestRevokedKeyEndsItsTokens(t *testing.T) {
	t.Parallel()
	w := newRingWorld(t)
	stolen, next := newTestSigningKey(t, "ES256", start), newTestSigningKey(t, "ES256", start)
	w.set(stolen)
	bearer := w.wantSigner(stolen)
	w.wantVerified(bearer, true) // from the cache
	w.set(next)
	w.wantVerified(bearer, false)
	w.wantSigner(next)
}

func TestEmptyKeyRing(t *testing.T) {
	t.Parallel()
	w := newRingWorld(t)
	want := func(name string) {
		t.Helper()
		if _, err := w.ring.Issue(Claims{Client: "client1"}); !errors.Is(err, errNoSigningKey) {
			t.Errorf("%s: got error %v, want %v", name, err, errNoSigningKey)
		}
	}
	want("new")
	if key, err := w.ring.Key(t.Context(), "kid"); key != nil || err != nil || w.ring.Document() != nil || w.ring.Prune() != nil {
		t.Errorf("a new ring has the key %v, %v and the document %s", key, err, w.ring.Document())
	}
	w.set()
	want("without keys")
	if doc := w.ring.Document(); doc != nil {
		t.Errorf("a ring without keys has the document %s, want none", doc)
	}
	future := newTestSigningKey(t, "ES256", start.Add(time.Second))
	w.set(future)
	want("before its time")
	w.now = future.SignsFrom
	w.wantSigner(future)
	if w.ring.Issuer() != ownURL {
		t.Errorf("issuer %q", w.ring.Issuer())
	}
}

// TestFaultyKeysChangeNothing: the keys that there were go on.
func TestFaultyKeysChangeNothing(t *testing.T) {
	t.Parallel()
	w := newRingWorld(t)
	good := newTestSigningKey(t, "ES256", start)
	w.set(good)
	wrong := copyOf(t, newTestSigningKey(t, "ES256", start))
	wrong.Alg = "EdDSA"
	unknown := copyOf(t, newTestSigningKey(t, "ES256", start))
	unknown.Alg = "HS256"
	for _, bad := range []*SigningKey{wrong, unknown} {
		if err := w.ring.Set([]*SigningKey{bad, good}); err == nil || !strings.Contains(err.Error(), bad.ID) {
			t.Errorf("got error %v, want one that names %s", err, bad.ID)
		}
		w.wantSigner(good)
	}
}

// TestPruneUndoesNoSet: keys that are set while expired ones are looked for stay.
func TestPruneUndoesNoSet(t *testing.T) {
	t.Parallel()
	expired, next := newTestSigningKey(t, "EdDSA", start), newTestSigningKey(t, "EdDSA", start)
	expired.VerifiesUntil = start.Add(time.Second)
	var ring *KeyRing
	var setting atomic.Pointer[sync.WaitGroup]
	ring = NewKeyRing(ownURL, rand.Reader, func() time.Time {
		group := setting.Swap(nil)
		if group == nil {
			return start
		}
		// Prune asks for the time, and has seen the keys: now others come.
		var done atomic.Bool
		group.Go(func() {
			if err := ring.Set([]*SigningKey{next}); err != nil {
				t.Error(err)
			}
			done.Store(true)
		})
		for range 10_000 { // it may have to wait for Prune
			if done.Load() {
				break
			}
			runtime.Gosched()
		}
		return start.Add(time.Second)
	})
	if err := ring.Set([]*SigningKey{newTestSigningKey(t, "EdDSA", start), expired}); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	setting.Store(&group)
	if err := ring.Prune(); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	if key, _ := ring.Key(t.Context(), next.ID); key == nil || key.retired.Load() {
		t.Error("the new key is gone")
	}
}
