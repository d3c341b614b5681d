package tokens

import (
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unique"
)

// Identity is whom a verified credential speaks for right now: its claims, cut down
// to what its client still has (contract section 3, effective scopes). It is
// made once for a token and made anew when records change. It is small,
// because there is one for every token in the cache: what client or issuer say
// is asked of them.
type Identity struct {
	Token     *Token
	Client    *Client  // the local client as it was then; nil for a foreign token, and for one whose client is gone
	Key       *APIKey  // of an API key only
	Grant     *Grant   // what is recorded of an own token; nil for most JWTs
	Ended     error    // why the credential has ended, for good; see EndedBy
	Scopes    []string // effective
	ScopeList string   // Scopes separated by spaces

	// Memo is room for what the gate works out of the identity, so long as it lives.
	Memo atomic.Value

	revision uint64 // of the registry, when it was made
}

// ClientID is the OAuth client; of a foreign token, what its client_claim says; of
// an API key, the key's ID.
func (id *Identity) ClientID() string { return id.Token.ClientID }

// TokenID names the token: its jti, or a hash of its claims; of an API key, its ID.
func (id *Identity) TokenID() string { return id.Token.ID }

// Issuer is the iss of the token; an API key has none.
func (id *Identity) Issuer() string { return id.Token.Trust.Issuer }

// Subject is the sub of the token; an API key has none.
func (id *Identity) Subject() string { return id.Token.Subject }

// Account is whose limits count.
func (id *Identity) Account() string {
	switch {
	case id.Client != nil:
		return id.Client.Account
	case id.Key != nil:
		return id.Key.Account
	}
	return id.Token.Trust.Account
}

// AccountRecord is what is known of the account, nil where there is no record of it.
func (id *Identity) AccountRecord() *Account {
	if id.Token.Origin == nil || id.Token.registry == nil {
		return nil
	}
	return id.Token.registry.Account(id.Account())
}

// Lockout is the one that is in force for the token, nil when there is none.
func (id *Identity) Lockout(now time.Time) *Lockout {
	if id.Token.Origin == nil || id.Token.registry == nil {
		return nil
	}
	return id.Token.registry.Lockout(id.Issuer(), id.TokenID(), now)
}

// Plan names the limits.
func (id *Identity) Plan() string {
	switch {
	case id.Client != nil:
		return id.Client.Plan
	case id.Key != nil:
		return id.Key.Plan
	}
	return id.Token.Trust.Plan
}

// Environment is the one that the token is good for.
func (id *Identity) Environment() Environment {
	switch {
	case id.Client != nil && id.Grant != nil && id.Grant.Terms != nil && id.Grant.Terms.Environment != "":
		return id.Grant.Terms.Environment
	case id.Client != nil:
		return id.Client.Environment
	case id.Key != nil:
		return id.Key.Environment
	}
	return id.Token.Trust.Environment
}

// TrustedIPs are where the client or API key may be used from; none: anywhere. Whoever
// asks must ask for TokenIPs too: every list that is set must hold the address.
func (id *Identity) TrustedIPs() []netip.Prefix {
	switch {
	case id.Client != nil:
		return id.Client.TrustedIPs
	case id.Key != nil:
		return id.Key.TrustedIPs
	}
	return nil
}

// TokenIPs are where this one token may be used from; none: anywhere.
func (id *Identity) TokenIPs() []netip.Prefix {
	if id.Grant == nil || id.Grant.Terms == nil {
		return nil
	}
	return id.Grant.Terms.TrustedIPs
}

// Limits are the token's own, and the revision of them.
func (id *Identity) Limits() (limits TokenLimits, rev int64) {
	if id.Grant == nil || id.Grant.Terms == nil {
		return TokenLimits{}, 0
	}
	return id.Grant.Terms.Limits, id.Grant.Terms.LimitsRev
}

// identityCache holds the identity last made for a token.
type identityCache struct{ last atomic.Pointer[Identity] }

// Identity returns whom the token speaks for at this moment, and whether it has
// ended. The registry is asked again only after something changed there.
func (t *Token) Identity() *Identity {
	var revision uint64
	if t.Origin != nil && t.registry != nil {
		revision = t.registry.revision.Load() // before the records are looked at: a change in between makes it anew next time
	}
	if id := t.view.last.Load(); id != nil && id.revision == revision {
		return id
	}
	id := &Identity{Token: t, Scopes: t.Scopes, revision: revision}
	id.Ended = stand(id)
	if id.overruled() {
		id.Scopes = id.Grant.Scopes
	}
	switch {
	case id.Client != nil:
		lost := func(s string) bool { return !slices.Contains(id.Client.Scopes, s) }
		if slices.ContainsFunc(id.Scopes, lost) {
			id.Scopes = slices.DeleteFunc(slices.Clone(id.Scopes), lost)
		}
	case id.Key != nil:
		id.Scopes = id.Key.Scopes
	}
	id.ScopeList = unique.Make(strings.Join(id.Scopes, " ")).Value()
	t.view.last.Store(id)
	return id
}

// overruled reports whether the token's record says what holds for it, and not what it
// was made with (contract section 3: a PATCH overrides what the JWT says).
func (id *Identity) overruled() bool {
	return id.Grant != nil && id.Token.Origin != nil && id.Token.Recorded
}

// Expires is when the token expires, with the leeway of its issuer; zero: never.
func (id *Identity) Expires() time.Time {
	if id.overruled() && id.Token.Rotation == id.Grant.rotation() {
		return id.Grant.ExpiresAt
	}
	return id.Token.Expires
}

// TTL is the lifetime that was set for the token last.
func (id *Identity) TTL() time.Duration {
	if id.overruled() {
		return id.Grant.TTL()
	}
	return id.Token.Expires.Sub(id.Token.Issued)
}

// Expired reports whether the token has expired. RFC 7519 section 4.1.4: it is not
// accepted "on or after" exp.
func (id *Identity) Expired(now time.Time) bool {
	expires := id.Expires()
	return !expires.IsZero() && !now.Before(expires)
}

// EndedBy returns why the credential has ended at now, nil if it has not. What time
// alone ends, expiry, it leaves out.
func (id *Identity) EndedBy(now time.Time) error {
	if id.Ended == nil && id.overruled() && id.Token.Rotation != id.Grant.rotation() && !now.Before(id.Grant.Terms.OldUntil) {
		return errTokenRotated
	}
	return id.Ended
}

// HasAll reports whether the identity has every scope asked for.
func (id *Identity) HasAll(scopes []string) bool {
	for _, s := range scopes {
		if !slices.Contains(id.Scopes, s) {
			return false
		}
	}
	return true
}

// HasAny reports whether it has one of them; asking for none is always met.
func (id *Identity) HasAny(scopes []string) bool {
	return len(scopes) == 0 || slices.ContainsFunc(scopes, func(s string) bool { return slices.Contains(id.Scopes, s) })
}
