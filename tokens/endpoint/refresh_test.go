package endpoint

import (
	"crypto/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollgate-authz/tollgate/tokens"
)

// formats are the three kinds of clients that refresh tokens.
var formats = []tokens.Format{tokens.JWT, tokens.Opaque, tokens.Classic}

// TestD4_NewPairEachTime follows a family through several refreshes.
func TestD4_NewPairEachTime(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		w := newWorld(t, unlimited)
		c := w.caller("app", refreshing, formatted(format))
		last := c.token()
		if last.fields.RefreshToken == "" || last.fields.TokenType != "bearer" {
			t.Fatalf("%s: got %v, want a refresh token", format, last)
		}
		all := []response{last}
		seen := []string{last.fields.AccessToken, last.fields.RefreshToken}
		for range 5 {
			w.advance(time.Minute)
			last = c.refreshed(last)
			for _, token := range []string{last.fields.AccessToken, last.fields.RefreshToken} {
				if slices.Contains(seen, token) {
					t.Errorf("%s: %s was given before", format, token)
				}
				seen = append(seen, token)
			}
			if last.fields.Scope != "contacts:read contacts:write" || last.fields.ExpiresIn != 3600 || last.fields.TokenType != "bearer" {
				t.Errorf("%s: got %v", format, last)
			}
			all = append(all, last)
		}
		for _, r := range all { // access tokens live out their hour
			w.wantLive(true, r)
		}
		token := w.verify(last)
		if token.ClientID != c.id || token.Generation != 1 || token.Family == "" || !token.Expires.Equal(w.clock().Add(time.Hour)) {
			t.Errorf("%s: the token is of %s, generation %d, family %q until %s", format, token.ClientID, token.Generation, token.Family, token.Expires)
		}
		if d := cmp.Diff([]string{audience}, token.Audience); d != "" {
			t.Errorf("%s: audience: %s", format, d)
		}
	}
}

// TestD4_ReuseEndsTheFamily: any but the most recent refresh token is refused in row
// D4's words, and ends its family with the access tokens, but no other.
func TestD4_ReuseEndsTheFamily(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		for back := 1; back <= 3; back++ {
			w := newWorld(t, unlimited)
			c := w.caller("app", refreshing, formatted(format))
			other := c.token()
			pairs := []response{c.token()}
			for range 3 {
				w.advance(time.Second)
				pairs = append(pairs, c.refreshed(pairs[len(pairs)-1]))
			}
			last := pairs[len(pairs)-1]
			w.advance(time.Second)
			c.refresh(pairs[len(pairs)-1-back]).wantInvalidGrant(t)
			if got := w.lastEvent(); got.Code != "R1" || got.Client != c.id || !strings.Contains(got.Cause, "its family is ended") {
				t.Errorf("event %+v", got)
			}
			c.refresh(last).wantInvalidGrant(t)
			c.wantActive(false, last.fields.RefreshToken)
			w.records.set(func(call string) error {
				if call == "EndFamily" || call == "RotateFamily" {
					t.Errorf("%s was called for a family that has ended", call)
				}
				return nil
			})
			c.refresh(pairs[0]).wantInvalidGrant(t)
			w.records.set(nil)
			for _, r := range pairs {
				w.wantLive(false, r)
				c.wantActive(false, r.fields.AccessToken)
			}
			w.wantLive(true, other)
			c.refreshed(other)
		}
	}
}

// TestD4_TamperedTokenEndsNothing changes every character of a refresh token.
func TestD4_TamperedTokenEndsNothing(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		w := newWorld(t, unlimited)
		c := w.caller("app", refreshing, formatted(format))
		first := c.token()
		w.advance(time.Second)
		second := c.refreshed(first)
		w.advance(time.Second)
		w.records.set(func(call string) error {
			if call != "Client" && call != "Client done" {
				t.Errorf("%s was called: made-up tokens must not reach the store", call)
			}
			return nil
		})
		for _, good := range []string{first.fields.RefreshToken, second.fields.RefreshToken} {
			bad := []string{"x", good + "A", good[1:], good[:len(good)-1], good + "=", " " + good, good + "\n", good + "\x00", strings.ToUpper(good), strings.Repeat(good, 100), second.fields.AccessToken}
			for i := range good {
				for _, other := range []string{"A", "B", "z", "-"} {
					if other != good[i:i+1] {
						bad = append(bad, good[:i]+other+good[i+1:])
					}
				}
			}
			for _, token := range bad {
				if strings.ContainsRune(token, 0) {
					c.refreshWith(token).refused(t, 400, "R0", "invalid_request")
					continue
				}
				c.refreshWith(token).wantInvalidGrant(t)
			}
		}
		w.records.set(nil)
		c.refreshed(second)
	}
}

// TestD4_TokenFromTheFuture: after the store was restored from a backup, callers hold
// newer refresh tokens than it knows. They must start anew; nobody has stolen anything.
func TestD4_TokenFromTheFuture(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		w := newWorld(t, unlimited)
		c := w.caller("app", refreshing, formatted(format))
		r := c.token()
		family := w.verify(r).Family
		for _, counter := range []uint32{2, 3, 65535} {
			token, err := w.pepper.RefreshToken(family, counter)
			w.must(err)
			c.refreshWith(token.Reveal()).wantInvalidGrant(t)
			c.wantActive(false, token.Reveal())
		}
		w.wantLive(true, r)
		c.refreshed(r)
	}
}

// TestD4_LastOfAFamily: a classic family has 65,535 refresh tokens.
func TestD4_LastOfAFamily(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	c := w.caller("app", refreshing, formatted(tokens.Classic))
	id, err := tokens.NewFamilyID(tokens.Classic, rand.Reader)
	w.must(err)
	w.must(w.db.AddTokens(t.Context(), &tokens.Family{
		ID: id, Client: c.id, Generation: 1, Scopes: []string{"contacts:read"}, Audience: audience, Counter: 65534,
		CreatedAt: epoch, RotatedAt: epoch, IdleUntil: epoch.Add(time.Hour), ExpiresAt: epoch.Add(time.Hour), TokensUntil: epoch,
	}, nil))
	token, err := w.pepper.RefreshToken(id, 65534)
	w.must(err)
	w.advance(time.Second)
	last := c.refreshWith(token.Reveal())
	w.wantLive(true, last)
	c.refresh(last).wantInvalidGrant(t)
	w.wantLive(true, last)
}

// TestD4_AnotherClientsToken: who has stolen a refresh token and not the secret gets
// nothing for it, and cannot end it either.
func TestD4_AnotherClientsToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	c, thief := w.caller("app", refreshing), w.caller("thief", refreshing)
	first := c.token()
	thief.refresh(first).wantInvalidGrant(t)
	w.advance(time.Second)
	second := c.refreshed(first)
	w.advance(time.Second)
	thief.refresh(first).wantInvalidGrant(t) // one that was used before
	thief.refresh(second).wantInvalidGrant(t)
	w.wantLive(true, second)
	third := c.refreshed(second)
	caller{w, c.id, thief.secret}.refresh(third).refused(t, 401, "R1", "invalid_client")
	w.do(formRequest("grant_type", "refresh_token", "refresh_token", third.fields.RefreshToken, "client_id", c.id)).refused(t, 401, "R1", "invalid_client")
	c.refreshed(third)
}

// TestD4_Scopes: a refresh may ask for less, the refresh token keeps what it has, and
// nobody gets more.
func TestD4_Scopes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	c := w.caller("app", refreshing, scoped("admin", "read", "write"))
	r := c.token("scope", "write read")
	for _, tt := range []struct{ asked, given string }{
		{"", "write read"}, {"read", "read"}, {"write", "write"}, {"read write", "read write"}, {"", "write read"},
	} {
		w.advance(time.Second)
		r = c.refreshed(r, "scope", tt.asked)
		if got := strings.Join(w.verify(r).Scopes, " "); r.fields.Scope != tt.given || got != tt.given {
			t.Errorf("asked for %q: got %q and a token with %q, want %q", tt.asked, r.fields.Scope, got, tt.given)
		}
	}
	for _, asked := range []string{"admin", "read admin", "unknown", "read  write", " ", "READ"} {
		c.refresh(r, "scope", asked).refused(t, 400, "R2", "invalid_scope")
	}
	w.advance(time.Second)
	r = c.refreshed(r) // which those have not spent
	// What the client loses is not given again; what it gains is not in the refresh token.
	w.edit(c.id, onlyScopes("admin", "read", "more"))
	w.advance(time.Second)
	if r = c.refreshed(r); r.fields.Scope != "read" {
		t.Errorf("got %v, want the scope that is left", r)
	}
	c.refresh(r, "scope", "write").refused(t, 400, "R2", "invalid_scope")
	w.edit(c.id, onlyScopes("admin"))
	c.refresh(r).refused(t, 400, "R2", "invalid_scope")
	w.edit(c.id, onlyScopes("read", "write"))
	w.advance(time.Second)
	if r = c.refreshed(r); r.fields.Scope != "write read" {
		t.Errorf("got %v, want the scopes that are back", r)
	}
}

// TestD4_Expiry: a refresh token expires when it is not used for refresh_ttl (24 h
// here), and its family in any case (after 60 h).
func TestD4_Expiry(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		w := newWorld(t, unlimited)
		c := w.caller("app", refreshing, formatted(format))
		idle, used := c.token(), c.token()
		w.advance(24*time.Hour - time.Microsecond)
		c.wantActive(true, idle.fields.RefreshToken)
		used = c.refreshed(used)
		w.advance(time.Microsecond)
		c.refresh(idle).wantInvalidGrant(t)
		c.wantActive(false, idle.fields.RefreshToken)
		for range 2 {
			w.advance(18*time.Hour - time.Microsecond)
			used = c.refreshed(used)
		}
		w.advance(time.Microsecond)
		c.wantActive(true, used.fields.RefreshToken) // for a microsecond more
		w.advance(time.Microsecond)
		if w.clock() != epoch.Add(60*time.Hour) {
			t.Fatal(w.clock())
		}
		c.wantActive(false, used.fields.RefreshToken)
		c.refresh(used).wantInvalidGrant(t)
		w.wantLive(true, used) // the access token has its own time
	}
}

// TestD4_Settings: what an operator changes holds for refresh tokens from their next
// use on.
func TestD4_Settings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	c := w.caller("app", refreshing)
	r := c.token()
	w.settings.RefreshTTL, w.settings.AccessTTL = time.Minute, 30*time.Second
	w.advance(time.Hour)
	r = c.refreshed(r)
	if r.fields.ExpiresIn != 30 {
		t.Errorf("got %v, want 30 s", r)
	}
	w.advance(time.Minute)
	c.refresh(r).wantInvalidGrant(t)
}

// TestD4_Resource: the new token is for whom the first one was (RFC 8707 section 2.2).
func TestD4_Resource(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	c := w.caller("app", refreshing)
	for _, tt := range []struct{ resource, audience, other string }{
		{"", audience, apiOne}, {audience, audience, apiOne}, {apiOne, apiOne, audience},
	} {
		r := c.token("resource", tt.resource)
		for _, again := range []string{"", tt.audience} {
			w.advance(time.Second)
			r = c.refreshed(r, "resource", again)
			if d := cmp.Diff([]string{tt.audience}, w.verify(r).Audience); d != "" {
				t.Errorf("%q, then %q: audience: %s", tt.resource, again, d)
			}
		}
		for _, other := range []string{tt.other, "x", tt.audience + "/"} {
			c.refresh(r, "resource", other).refused(t, 400, "R0", "invalid_target")
		}
		c.refreshed(r)
	}
}
