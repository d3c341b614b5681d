package endpoint

import (
	"regexp"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// TestD2_ClassicFormat: lengths and characters, and row D3's expires_in and
// token_type whatever the configuration says of other tokens.
func TestD2_ClassicFormat(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	w.settings.AccessTTL = 10 * time.Minute
	c := w.caller("classic", refreshing, formatted(tokens.Classic))
	token24, secret10 := regexp.MustCompile(`^[A-Za-z0-9]{24}$`), regexp.MustCompile(`^[A-Za-z0-9]{10}$`)
	if !token24.MatchString(c.id) || !secret10.MatchString(c.secret.Reveal()) {
		t.Errorf("client ID %q of %d characters, secret of %d", c.id, len(c.id), len(c.secret.Reveal()))
	}
	r := c.token()
	for range 20 {
		if !token24.MatchString(r.fields.AccessToken) || !token24.MatchString(r.fields.RefreshToken) {
			t.Errorf("got %v, want two tokens of 24 characters", r)
		}
		if r.fields.TokenType != "bearer" || r.fields.ExpiresIn != 3600 {
			t.Errorf("got %v, want a bearer token for 3600 s", r)
		}
		w.advance(time.Second)
		r = c.refreshed(r)
	}
	w.advance(time.Hour - time.Second)
	w.wantLive(true, r)
	w.advance(time.Second)
	w.wantLive(false, r)
	if own := w.caller("brief", formatted(tokens.Classic), func(c *tokens.Client) { c.TokenTTL = time.Minute }); own.token().fields.ExpiresIn != 60 {
		t.Error("a classic client's own lifetime is not used")
	}
}

// TestOpaqueFormat: marked for secret scanners, 256 bits, known to the gate at once
// and for as long as it says.
func TestOpaqueFormat(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	access, refresh := regexp.MustCompile(`^tga_[A-Za-z0-9_-]{43}$`), regexp.MustCompile(`^tgr_[A-Za-z0-9_-]{48}$`)
	c := w.caller("opaque", refreshing, formatted(tokens.Opaque))
	r := c.token("scope", "contacts:read", "resource", apiOne)
	if !access.MatchString(r.fields.AccessToken) || !refresh.MatchString(r.fields.RefreshToken) || r.fields.ExpiresIn != 3600 {
		t.Errorf("got %v", r)
	}
	token := w.verify(r)
	if len(token.Scopes) != 1 || token.Scopes[0] != "contacts:read" || token.Audience[0] != apiOne || token.ClientID != c.id || !token.Expires.Equal(epoch.Add(time.Hour)) {
		t.Errorf("the gate sees %+v", token)
	}
	if jwt := w.caller("jwt", refreshing, formatted(tokens.JWT)).token(); !refresh.MatchString(jwt.fields.RefreshToken) {
		t.Errorf("got %v, want the same kind of refresh token beside a JWT", jwt)
	}
	w.advance(time.Hour)
	w.wantLive(false, r)

	// The format of the configuration is that of clients without one of their own.
	w.settings.Format = tokens.Opaque
	if r := w.caller("default").token(); !access.MatchString(r.fields.AccessToken) {
		t.Errorf("got %v, want an opaque token", r)
	}
	if r := w.do(jsonRequest("reports", w.secret, nil)); !access.MatchString(r.fields.AccessToken) {
		t.Errorf("got %v, want an opaque token", r)
	}
	if r := w.caller("own", formatted(tokens.JWT)).token(); access.MatchString(r.fields.AccessToken) {
		t.Errorf("got %v, want a JWT", r)
	}
}
