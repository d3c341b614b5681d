package tokens

import (
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"unique"
)

// Identity is whom a verified token speaks for right now: its claims, cut down
// to what its client still has (contract section 3, effective scopes). It is
// made once for a token and made anew when the client changes. It is small,
// because there is one for every token in the cache: what client or issuer say
// is asked of them.
type Identity struct {
	Token     *Token
	Client    *Client  // the local client as it was then; nil for a foreign token
	Scopes    []string // effective
	ScopeList string   // Scopes separated by spaces
}

// ClientID is the OAuth client; of a foreign token, what its client_claim says.
func (id *Identity) ClientID() string { return id.Token.ClientID }

// TokenID names the token: its jti, or a hash of its claims.
func (id *Identity) TokenID() string { return id.Token.ID }

// Issuer is the iss of the token.
func (id *Identity) Issuer() string { return id.Token.Trust.Issuer }

// Subject is the sub of the token.
func (id *Identity) Subject() string { return id.Token.Subject }

// Account is whose limits count.
func (id *Identity) Account() string {
	if id.Client != nil {
		return id.Client.Account
	}
	return id.Token.Trust.Account
}

// Plan names the limits.
func (id *Identity) Plan() string {
	if id.Client != nil {
		return id.Client.Plan
	}
	return id.Token.Trust.Plan
}

// Environment is the one that the token is good for.
func (id *Identity) Environment() Environment {
	if id.Client != nil {
		return id.Client.Environment
	}
	return id.Token.Trust.Environment
}

// TrustedIPs are where the token may be used from; none: anywhere.
func (id *Identity) TrustedIPs() []netip.Prefix {
	if id.Client != nil {
		return id.Client.TrustedIPs
	}
	return nil
}

// identityCache holds the identity last made for a token.
type identityCache struct{ last atomic.Pointer[Identity] }

// Identity returns whom the token speaks for, or nil when its client is gone.
func (t *Token) Identity() *Identity {
	var client *Client
	if t.Trust.Own {
		if client = t.client.Client(); client == nil {
			return nil
		}
	}
	if id := t.view.last.Load(); id != nil && id.Client == client {
		return id
	}
	id := t.identify(client)
	t.view.last.Store(id)
	return id
}

func (t *Token) identify(client *Client) *Identity {
	id := &Identity{Token: t, Client: client, Scopes: t.Scopes}
	if client != nil {
		lost := func(s string) bool { return !slices.Contains(client.Scopes, s) }
		if slices.ContainsFunc(t.Scopes, lost) {
			id.Scopes = slices.DeleteFunc(slices.Clone(t.Scopes), lost)
		}
	}
	id.ScopeList = unique.Make(strings.Join(id.Scopes, " ")).Value()
	return id
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
