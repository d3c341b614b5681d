package tokens

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// KeyRing is our own signing keys: those that sign, those that are published
// before they sign, and those that have signed and still verify. It is safe for
// concurrent use.
type KeyRing struct {
	issuer string
	random io.Reader
	now    func() time.Time

	setting sync.Mutex // one Set or Prune at a time: Prune must not undo a Set
	keys    atomic.Pointer[ring]
}

type ring struct {
	keys     []*SigningKey // the newest first
	issuers  []*Issuer     // of each of them
	public   map[string]*Key
	document []byte
}

// NewKeyRing makes a ring without keys, of the issuer with that URL.
func NewKeyRing(issuer string, random io.Reader, now func() time.Time) *KeyRing {
	k := &KeyRing{issuer: issuer, random: random, now: now}
	k.keys.Store(&ring{})
	return k
}

// Set makes keys the ring's. One that was there before stays the same object, so that
// tokens verified with it stay verified; one that left is retired.
func (k *KeyRing) Set(keys []*SigningKey) error {
	k.setting.Lock()
	defer k.setting.Unlock()
	return k.setLocked(keys)
}

func (k *KeyRing) setLocked(keys []*SigningKey) error {
	old := k.keys.Load()
	next := &ring{public: make(map[string]*Key, len(keys))}
	for _, key := range keys {
		if !key.verifies(k.now()) {
			continue
		}
		public, err := key.Public()
		if err != nil {
			return fmt.Errorf("signing key %s: %w", key.ID, err)
		}
		if known := old.public[key.ID]; known != nil && known.same(public) {
			public = known
		}
		issuer, err := NewIssuer(k.issuer, key, k.random)
		if err != nil {
			return fmt.Errorf("signing key %s: %w", key.ID, err)
		}
		next.public[key.ID] = public
		next.keys, next.issuers = append(next.keys, key), append(next.issuers, issuer)
	}
	if len(next.keys) > 0 {
		var err error
		if next.document, err = KeySetDocument(next.keys); err != nil {
			return err
		}
	}
	k.keys.Store(next)
	for id, key := range old.public {
		if next.public[id] != key {
			key.retired.Store(true)
		}
	}
	return nil
}

// Prune forgets keys whose last token has expired.
func (k *KeyRing) Prune() error {
	k.setting.Lock()
	defer k.setting.Unlock()
	keys, now := k.keys.Load().keys, k.now()
	if !slices.ContainsFunc(keys, func(key *SigningKey) bool { return !key.verifies(now) }) {
		return nil
	}
	return k.setLocked(keys)
}

// verifies reports whether a token that the key has signed may still be valid.
func (k *SigningKey) verifies(now time.Time) bool {
	return k.VerifiesUntil.IsZero() || now.Before(k.VerifiesUntil)
}

// errNoSigningKey means that the ring has no key that signs yet.
var errNoSigningKey = errors.New("there is no signing key yet")

// Issue signs an access token with the newest key whose time has come.
func (k *KeyRing) Issue(c Claims) (AccessToken, error) {
	r, now := k.keys.Load(), k.now()
	for i, key := range r.keys {
		if !now.Before(key.SignsFrom) {
			return r.issuers[i].Issue(c)
		}
	}
	return AccessToken{}, errNoSigningKey
}

// Issuer is the iss of the tokens.
func (k *KeyRing) Issuer() string { return k.issuer }

// Document is the JWK Set with the public keys, nil while there is none.
func (k *KeyRing) Document() []byte { return k.keys.Load().document }

// Key implements KeySource.
func (k *KeyRing) Key(_ context.Context, kid string) (*Key, error) {
	return k.keys.Load().public[kid], nil
}

// Trust is how our own tokens are read: on terms that do not change with the keys.
func (k *KeyRing) Trust() *Trust {
	return &Trust{
		Issuer: k.issuer, Keys: k, Own: true, Leeway: Leeway,
		Types: []string{"at+jwt"}, Algorithms: slices.Clone(SigningAlgorithms),
	}
}

// SigningAlgorithms are those that our own keys can have.
var SigningAlgorithms = []string{"ES256", "EdDSA", "RS256"}

// Rotation says when a new signing key takes over.
type Rotation struct {
	Key    *SigningKey // nil: a new one of Alg is drawn
	Alg    string
	Random io.Reader
	Now    time.Time
	// Ahead is how long the new key is published before it signs; zero: it signs at
	// once.
	Ahead time.Duration
	// Lifetime is the longest of any access token that the configuration allows;
	// clients with a longer one of their own are looked up.
	Lifetime time.Duration
	// Unless gives a reason not to rotate after all. It is asked before anything is
	// drawn, and again under the store's lock. keys are the newest first.
	Unless func(keys []*SigningKey) bool
}
