package tokens

import (
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
)

// Identity is whom a verified token speaks for right now: its claims, cut down
// to what its client still has (contract section 3, effective scopes). It is
// made once for a token and made anew when the client changes.
type Identity struct {
	Client      string
	Account     string
	Plan        string
	Environment Environment
	Issuer      string
	Subject     string
	TokenID     string
	Scopes      []string
	ScopeList   string // Scopes separated by spaces
	TrustedIPs  []netip.Prefix

	// Encoded is what the writer of answers makes of the fields above. It is kept
	// here because it lives and dies with them; only the writer knows its type.
	Encoded atomic.Value

	client *Client // the state of the client it was made from; nil for foreign tokens
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
	if id := t.view.last.Load(); id != nil && id.client == client {
		return id
	}
	id := t.identify(client)
	t.view.last.Store(id)
	return id
}

func (t *Token) identify(client *Client) *Identity {
	id := &Identity{
		Client: t.ClientID, Account: t.Trust.Account, Plan: t.Trust.Plan, Environment: t.Trust.Environment,
		Issuer: t.Trust.Issuer, Subject: t.Subject, TokenID: t.ID, Scopes: t.Scopes, client: client,
	}
	if client != nil {
		id.Account, id.Plan, id.Environment, id.TrustedIPs = client.Account, client.Plan, client.Environment, client.TrustedIPs
		id.Scopes = slices.DeleteFunc(slices.Clone(t.Scopes), func(s string) bool { return !slices.Contains(client.Scopes, s) })
	}
	id.ScopeList = strings.Join(id.Scopes, " ")
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
