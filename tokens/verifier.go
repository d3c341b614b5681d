package tokens

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tollgate-authz/tollgate/tokens/strictjson"
)

// ErrNoKeys means that the issuer's keys were never loaded: our fault, not the
// caller's. The gate answers 503 R0.
var ErrNoKeys = errors.New("no key set of the issuer was ever loaded")

// Verifier verifies JWTs of trusted issuers and remembers those it has verified.
// It is safe for concurrent use.
type Verifier struct {
	issuers  atomic.Pointer[trusted]
	askers   atomic.Pointer[Introspectors]
	registry *Registry
	foreign  *Origin // of all tokens of others
	cache    *Cache
}

// trusted are the issuers in force.
type trusted struct {
	byName map[string]*Trust
	own    *Trust
}

// NewVerifier trusts nobody until Trust is called. cache may be nil: then every
// token is verified each time.
func NewVerifier(registry *Registry, cache *Cache) *Verifier {
	v := &Verifier{registry: registry, foreign: &Origin{registry: registry}, cache: cache}
	v.issuers.Store(&trusted{})
	return v
}

// Trust replaces the trusted issuers. Tokens verified under the old rules are
// verified again when they come next.
func (v *Verifier) Trust(issuers []*Trust) {
	next := &trusted{byName: make(map[string]*Trust, len(issuers))}
	for _, t := range issuers {
		next.byName[t.Issuer] = t
		if t.Own {
			next.own = t
		}
	}
	v.issuers.Store(next)
}

// Introspect replaces the issuers that are asked about tokens which cannot be
// verified here; nil: none.
func (v *Verifier) Introspect(list *Introspectors) { v.askers.Store(list) }

// Verify returns the token behind a bearer credential. An error that wraps
// ErrInvalid is the token's fault, any other is ours. The token may have expired
// and its client may be gone: that is for the caller to judge, each time.
func (v *Verifier) Verify(ctx context.Context, bearer string, now time.Time) (*Token, error) {
	return v.verify(ctx, bearer, now, false)
}

// VerifyOwn is Verify for tokens that were issued here. No other issuer is asked or
// told about any.
func (v *Verifier) VerifyOwn(ctx context.Context, bearer string, now time.Time) (*Token, error) {
	return v.verify(ctx, bearer, now, true)
}

func (v *Verifier) verify(ctx context.Context, bearer string, now time.Time, own bool) (*Token, error) {
	digest := sha256.Sum256(unsafeBytes(bearer))
	if v.cache != nil {
		if t := v.cache.get(&digest); t != nil && v.stillHolds(t) && (t.Trust.Own || !own) {
			return t, nil
		}
	}
	t := v.findOpaque(&digest)
	if t == nil {
		// What has our own form and is not known is nobody's: it is not shown to others.
		if list := v.askers.Load(); !own && list.Takes(bearer) && !hasOurPrefix(bearer) {
			return list.Introspect(ctx, bearer, now) // which remembers it as long as the issuer's word holds
		}
		var err error
		if t, err = v.verifyAnew(ctx, bearer, now, own); err != nil {
			return nil, err
		}
	}
	t.digest = digest
	// A token whose client is not known (deleted, or not yet heard of) is looked
	// at afresh each time.
	if v.cache != nil && now.Before(t.Expires) && (t.client != nil || !t.Trust.Own) {
		v.cache.put(t, t.Expires.Sub(now))
	}
	return t, nil
}

// apiKeyTrust stands where an issuer does: API keys have none.
var apiKeyTrust = &Trust{}

// VerifyAPIKey returns the credential that an API key is.
func (v *Verifier) VerifyAPIKey(key string) (*Token, error) {
	if !wellFormedKey(key) {
		return nil, invalid("not an API key of ours (prefix, length or checksum)")
	}
	digest := sha256.Sum256(unsafeBytes(key))
	t := v.registry.apiKey(&digest)
	if t == nil {
		return nil, invalid("unknown API key")
	}
	return t, nil
}

// stillHolds reports whether what was verified then would be verified now: the
// key has not left its set, the issuer is trusted on the same terms.
func (v *Verifier) stillHolds(t *Token) bool {
	return (t.key == nil || !t.key.retired.Load()) && v.issuers.Load().byName[t.Trust.Issuer] == t.Trust
}

func (v *Verifier) verifyAnew(ctx context.Context, bearer string, now time.Time, own bool) (*Token, error) {
	c, err := parseCompact(bearer)
	if err != nil {
		return nil, err
	}
	claims, err := parseObject("payload", c.payload)
	if err != nil {
		return nil, err
	}
	iss := claims.Get("iss")
	if iss == nil || iss.Kind != strictjson.String {
		return nil, invalid("it names no issuer (iss)")
	}
	trust := v.issuers.Load().byName[iss.Text]
	switch {
	case trust == nil:
		return nil, invalid("its issuer is not trusted")
	case own && !trust.Own:
		return nil, invalid("it was not issued here")
	}
	key, err := trust.checkSignature(ctx, c)
	if err != nil {
		return nil, err
	}
	t, err := trust.readClaims(&claims, now)
	if err != nil {
		return nil, err
	}
	t.key = key
	if !trust.Own {
		t.Origin = v.foreign
		return t, nil
	}
	t.registry, t.client = v.registry, v.registry.registration(t.ClientID)
	return t, nil
}

// findOpaque returns the token of ours that is known by its hash, nil when there is
// none.
func (v *Verifier) findOpaque(digest *[sha256.Size]byte) *Token {
	trust, g := v.issuers.Load().own, v.registry.opaqueGrant(digest)
	if trust == nil || g == nil {
		return nil
	}
	t := v.tokenOf(trust, g)
	t.Rotation, _ = g.rotationOf(digest)
	return t
}

// tokenOf is the token that a record stands for.
func (v *Verifier) tokenOf(trust *Trust, g *Grant) *Token {
	return &Token{
		Trust: trust, ID: g.ID, Subject: g.Client, ClientID: g.Client, Scopes: g.Scopes, Audience: []string{g.Audience},
		Expires: g.ExpiresAt, digest: g.Hash, client: v.registry.registration(g.Client),
		Origin: &Origin{Issued: g.CreatedAt, Generation: g.Generation, Family: g.Family, Recorded: true, Rotation: g.rotation(), opaque: g.IsOpaque(), registry: v.registry},
	}
}

// Recorded returns the token of ours that is recorded under an ID, nil when there is
// none. It is for those who administer tokens and do not have them.
func (v *Verifier) Recorded(id string) *Token {
	trust, g := v.issuers.Load().own, v.registry.grant(id)
	if trust == nil || g == nil {
		return nil
	}
	return v.tokenOf(trust, g)
}

// Held returns the token that a record of a store stands for, nil before there is an
// issuer of our own.
func (v *Verifier) Held(g *Grant) *Token {
	if trust := v.issuers.Load().own; trust != nil {
		return v.tokenOf(trust, g)
	}
	return nil
}

// AllRecorded returns the recorded tokens that have not expired, the oldest first.
func (v *Verifier) AllRecorded(now time.Time) []*Token {
	trust := v.issuers.Load().own
	if trust == nil {
		return nil
	}
	var list []*Token
	for _, g := range v.registry.liveGrants(now) {
		list = append(list, v.tokenOf(trust, g))
	}
	slices.SortFunc(list, func(a, b *Token) int {
		return cmp.Or(a.Issued.Compare(b.Issued), strings.Compare(a.ID, b.ID))
	})
	return list
}

// checkSignature finds the one key that the token names and verifies with it. No
// other key is tried: "any key that fits" is how confused deputies are made.
func (t *Trust) checkSignature(ctx context.Context, c *compact) (*Key, error) {
	if !slices.Contains(t.Algorithms, c.alg) {
		return nil, invalid("algorithm %.16q is not trusted for this issuer", c.alg)
	}
	if !t.acceptsType(c.typ) {
		return nil, invalid("typ %.32q is not accepted for this issuer", c.typ)
	}
	key, err := t.Keys.Key(ctx, c.kid)
	if err != nil {
		return nil, err
	}
	if key == nil {
		return nil, invalid("the issuer has no key of this kid")
	}
	if !key.fits(c.alg) {
		return nil, invalid("algorithm %s is not the key's", c.alg)
	}
	if err := key.verify(c.alg, unsafeBytes(c.signed), c.signature); err != nil {
		return nil, invalid("bad signature")
	}
	return key, nil
}

// hasOurPrefix tells credentials that were made here from those of others.
func hasOurPrefix(bearer string) bool {
	return strings.HasPrefix(bearer, opaquePrefix) || strings.HasPrefix(bearer, refreshPrefix) || strings.HasPrefix(bearer, keyPrefix)
}
