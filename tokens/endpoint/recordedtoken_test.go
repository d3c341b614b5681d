package endpoint

import (
	"crypto/rand"
	"net/http"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// recorded gives a client a token with terms of its own, and a refresh token beside it.
func (c caller) recorded(terms tokens.Terms, scopes ...string) (response, string) {
	c.t.Helper()
	client := c.registry.Client(c.id)
	m := tokens.Minter{Keys: c.keys, Pepper: &c.pepper, Random: rand.Reader}
	pair, h, err := m.Make(tokens.Order{
		Format: client.TokenFormat(tokens.JWT), Terms: terms, RefreshTTL: 24 * time.Hour, RefreshMax: 60 * time.Hour,
		Claims: tokens.Claims{Client: c.id, Audience: audience, Scopes: scopes, Generation: 1, IssuedAt: c.clock(), TTL: time.Hour},
	})
	c.must(err)
	c.must(c.db.AddTokens(c.t.Context(), h.Family, h.Grant))
	c.follow()
	var r response
	r.status = http.StatusOK
	r.fields.AccessToken, r.fields.RefreshToken = pair.Access.Bearer.Reveal(), pair.Refresh.Reveal()
	return r, h.Grant.ID
}

// TestO2_RefreshGrantRotatesTheRecord: the refresh token of a recorded token is no way
// around its terms.
func TestO2_RefreshGrantRotatesTheRecord(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		w := newWorld(t, unlimited)
		c := w.caller("app", formatted(format))
		first, id := c.recorded(tokens.Terms{Name: "x", Limits: tokens.TokenLimits{TotalRequests: 5}}, "contacts:read")
		w.advance(time.Minute)
		second := c.refreshed(first)
		if second.fields.ExpiresIn != 3600 || second.fields.Scope != "contacts:read" {
			t.Errorf("%s: %v", format, second)
		}
		for name, r := range map[string]response{"first": first, "second": second} { // as after any refresh, the old one lives out its hour
			token := w.verify(r)
			who := token.Identity()
			limits, _ := who.Limits()
			if token.ID != id || limits.TotalRequests != 5 || who.EndedBy(w.clock()) != nil {
				t.Errorf("%s: the %s is %s with %+v: %v", format, name, token.ID, limits, who.EndedBy(w.clock()))
			}
		}
		w.advance(59 * time.Minute)
		if old := w.verify(first).Identity(); !old.Expired(w.clock()) && old.EndedBy(w.clock()) == nil {
			t.Errorf("%s: the first lives for more than its hour", format)
		}
		w.wantLive(true, second)
		c.wantActive(true, second.fields.AccessToken)

		// A recorded token keeps its scopes.
		if r := c.refresh(second, "scope", "contacts:write"); r.status != http.StatusBadRequest || r.fields.Error != "invalid_scope" {
			t.Errorf("%s: another scope: %v", format, r)
		}
		third := c.refreshed(second)
		// Reuse is proof of a theft here as elsewhere (row D4).
		if r := c.refresh(second); r.status != http.StatusBadRequest || r.fields.Error != "invalid_grant" {
			t.Errorf("%s: an old refresh token: %v", format, r)
		}
		w.wantLive(false, third)
	}
}

// TestO2_NarrowerScopeOfARecordedToken: less than the record says would be less for good.
func TestO2_NarrowerScopeOfARecordedToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	c := w.caller("app")
	first, _ := c.recorded(tokens.Terms{Name: "x"}, "contacts:read", "contacts:write")
	if r := c.refresh(first, "scope", "contacts:read"); r.status != http.StatusBadRequest || r.fields.Error != "invalid_scope" {
		t.Errorf("narrower: %v", r)
	}
	c.refreshed(first, "scope", "contacts:write contacts:read")
}

// TestO2_RefreshAfterTheScopesChanged: the refresh token goes with its token, whatever was
// made of that.
func TestO2_RefreshAfterTheScopesChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	c := w.caller("app")
	for _, tt := range []struct {
		were, are []string
		scope     string
	}{
		{[]string{"contacts:read"}, []string{"contacts:write"}, "contacts:write"},
		{[]string{"contacts:read"}, []string{"contacts:read", "contacts:write"}, "contacts:read contacts:write"},
		{[]string{"contacts:read", "contacts:write"}, []string{"contacts:read"}, "contacts:read"},
		{[]string{"contacts:read"}, []string{"GET:api.example.com/v1/ping"}, ""},
	} {
		first, id := c.recorded(tokens.Terms{Name: "x"}, tt.were...)
		_, err := c.db.EditToken(t.Context(), id, func(h *tokens.Holding) error {
			h.Grant.Scopes = tt.are
			h.Bind()
			return nil
		})
		c.must(err)
		c.follow()
		second := c.refreshed(first)
		if second.fields.Scope != tt.scope {
			t.Errorf("%q became %q: the new token has the scope %q", tt.were, tt.are, second.fields.Scope)
		}
		w.wantLive(true, c.refreshed(second))
	}
}

// TestO2_AnothersRecordedToken: a client without refresh tokens of its own learns nothing
// by another's.
func TestO2_AnothersRecordedToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	mine, other := w.caller("app"), w.caller("other")
	first, _ := mine.recorded(tokens.Terms{Name: "x"}, "contacts:read")
	if r := other.refresh(first); r.status != http.StatusBadRequest || r.fields.Error != "unauthorized_client" {
		t.Errorf("another's: %v", r)
	}
	mine.refreshed(first)
}
