package endpoint

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The tests of this file are about who may use a refresh token; those of refresh_test.go
// about what it is good for.

// TestD4_ClientWithoutRefresh learns so, and gets no refresh token to begin with.
func TestD4_ClientWithoutRefresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, app := w.caller("plain"), w.caller("app", refreshing)
	for _, r := range []response{c.token(), c.token("scope", "contacts:read")} {
		if strings.Contains(r.body, "refresh_token") {
			t.Errorf("got %v, want no refresh token", r)
		}
	}
	for _, token := range []string{"x", app.token().fields.RefreshToken} {
		c.refreshWith(token).refused(t, 400, "R0", "unauthorized_client")
	}
	// A token that begins no family says of none.
	if token := w.verify(c.token()); token.Family != "" {
		t.Errorf("family %q", token.Family)
	}
}

// TestI6_NoRefreshTokenByJSON: /auth/token has no way to use one.
func TestI6_NoRefreshTokenByJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	for _, format := range formats {
		c := w.caller("app-"+string(format), refreshing, formatted(format))
		r := w.do(jsonRequest(c.id, c.secret, nil))
		if r.want(t, 200, ""); strings.Contains(r.body, "refresh_token") || w.verify(r).Family != "" {
			t.Errorf("%s: got %v, want no refresh token", format, r)
		}
		w.do(jsonBody(fmt.Sprintf(`{"client_id":%q,"client_secret":%q,"grant_type":"refresh_token","refresh_token":"x"}`, c.id, c.secret.Reveal()))).want(t, 200, "")
	}
}

// TestD4_SuspendedClient: its refresh tokens wait for it.
func TestD4_SuspendedClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	c := w.caller("app", refreshing)
	r := c.token()
	w.edit(c.id, suspension(true))
	c.refresh(r).refused(t, 401, "R1", "invalid_client")
	c.ask(pathOAuth2Token, "grant_type", "client_credentials").refused(t, 401, "R1", "invalid_client")
	c.revoke(r.fields.AccessToken).refused(t, 401, "R1", "invalid_client")
	c.introspect(r.fields.AccessToken).refused(t, 401, "R1", "invalid_client")
	w.wantLive(false, r)
	w.edit(c.id, suspension(false))
	w.wantLive(true, r)
	c.refreshed(r)
}

// TestD4_DeletedClient: nothing of it is left, also not for a client of its name.
func TestD4_DeletedClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	c := w.caller("app", refreshing)
	r := c.token()
	w.must(w.db.DeleteClient(t.Context(), c.id, nil))
	w.follow()
	c.refresh(r).refused(t, 401, "R1", "invalid_client")
	w.caller("app", refreshing).refresh(r).wantInvalidGrant(t)
	w.wantLive(false, r)
}

// TestI10_RefreshFromElsewhere: trusted addresses hold for all that a client can ask,
// and what is refused for that ends nothing.
func TestI10_RefreshFromElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	c := w.caller("app", refreshing, trusted("192.0.2.0/24"))
	r := c.token()
	for path, pairs := range map[string][]string{
		pathOAuth2Token: {"grant_type", "refresh_token", "refresh_token", r.fields.RefreshToken},
		pathRevoke:      {"token", r.fields.RefreshToken},
		pathIntrospect:  {"token", r.fields.RefreshToken},
	} {
		w.do(withTarget(formRequest(pairs...), path).basic(c.id, c.secret).from("203.0.113.1")).refused(t, 403, "R4", "access_denied")
	}
	c.refreshed(r)
}

// TestI4_RefreshesCount: refreshes and first tokens share the limit, and one that is
// limited spends no refresh token.
func TestI4_RefreshesCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.caller("app", refreshing)
	r := c.token()
	w.do(jsonRequest(c.id, c.secret, nil)).want(t, 200, "")
	for range 8 {
		c.refresh(r, "scope", "nonsense").refused(t, 400, "R2", "invalid_scope") // counts nothing
		r = c.refreshed(r)
	}
	for range 3 {
		limited := c.refresh(r)
		if limited.refused(t, 429, "R3", "temporarily_unavailable"); limited.header.Get("Retry-After") == "" {
			t.Errorf("got %v without Retry-After", limited)
		}
	}
	c.refresh(r, "scope", "nonsense").refused(t, 429, "R3", "temporarily_unavailable") // generations come before scope
	c.ask(pathOAuth2Token, "grant_type", "client_credentials").refused(t, 429, "R3", "temporarily_unavailable")
	c.wantActive(true, r.fields.RefreshToken) // asking and revoking are no generations
	w.wantLive(true, r)
	w.advance(time.Minute)
	c.refreshed(r)
}
