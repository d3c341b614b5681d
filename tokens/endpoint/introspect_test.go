package endpoint

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollgate-authz/tollgate/tokens"
)

// said reads an answer of the introspection endpoint.
func said(t *testing.T, r response) map[string]any {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(r.body), &fields); err != nil || r.status != 200 {
		t.Fatalf("got %v, %v", r, err)
	}
	return fields
}

// TestIntrospectOwnTokens: RFC 7662 section 2.2, for every kind of token.
func TestIntrospectOwnTokens(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		w := newWorld(t, unlimited)
		c := w.caller("app", refreshing, formatted(format))
		r := c.token("scope", "contacts:write contacts:read", "resource", apiOne)
		want := map[string]any{
			"active": true, "scope": "contacts:write contacts:read", "client_id": c.id, "sub": c.id, "token_type": "Bearer",
			"iat": float64(epoch.Unix()), "exp": float64(epoch.Unix() + 3600), "aud": apiOne, "iss": issuerURL, "jti": w.verify(r).ID,
		}
		if d := cmp.Diff(want, said(t, c.introspect(r.fields.AccessToken))); d != "" {
			t.Errorf("%s access token: -want +got:\n%s", format, d)
		}
		want["exp"] = float64(epoch.Add(24 * time.Hour).Unix())
		delete(want, "jti")
		delete(want, "token_type")
		if d := cmp.Diff(want, said(t, c.introspect(r.fields.RefreshToken))); d != "" {
			t.Errorf("%s refresh token: -want +got:\n%s", format, d)
		}
		// What was used is no longer active; what is new says when it ends at the latest.
		for range 3 {
			w.advance(18 * time.Hour)
			old := r
			r = c.refreshed(old)
			c.wantActive(false, old.fields.AccessToken) // it has expired
			w.records.set(func(call string) error {
				if call == "EndFamily" {
					t.Error("asking about a spent refresh token has ended its family")
				}
				return nil
			})
			c.wantActive(false, old.fields.RefreshToken)
			w.records.set(nil)
		}
		if got := said(t, c.introspect(r.fields.RefreshToken))["exp"]; got != float64(epoch.Add(60*time.Hour).Unix()) {
			t.Errorf("%s: exp %v, want the end of the family", format, got)
		}
	}
}

// TestIntrospectOthersTokens: only with the scope for it, and only what that is for.
func TestIntrospectOthersTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	owner := w.caller("owner", refreshing)
	plain, may := w.caller("plain"), w.caller("may", scoped("tollgate:introspect"))
	near := w.caller("near", scoped("tollgate:introspection", "tollgate", "tollgate:admin"))
	opaque := w.caller("opaque", formatted(tokens.Opaque)).token()
	r := owner.token()
	for _, token := range []string{r.fields.AccessToken, r.fields.RefreshToken, opaque.fields.AccessToken} {
		may.wantActive(true, token)
		plain.wantActive(false, token)
		near.wantActive(false, token)
	}
	// The right to ask is the client's, and gone with its scope; and it is no right to revoke.
	may.revoked(r.fields.AccessToken)
	may.revoked(r.fields.RefreshToken)
	may.wantActive(true, r.fields.AccessToken)
	w.edit(may.id, onlyScopes("contacts:read"))
	may.wantActive(false, r.fields.AccessToken)
}

// TestIntrospectEffectiveScopes shows what the gate goes by, not what the token says.
func TestIntrospectEffectiveScopes(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		w := newWorld(t, unlimited)
		c, may := w.caller("app", refreshing, formatted(format)), w.caller("may", scoped("tollgate:introspect"))
		r := c.token()
		w.edit(c.id, onlyScopes("contacts:write", "more"))
		for _, token := range []string{r.fields.AccessToken, r.fields.RefreshToken} {
			for _, who := range []caller{c, may} {
				if got := said(t, who.introspect(token))["scope"]; got != "contacts:write" {
					t.Errorf("%s: scope %v, want what is left", format, got)
				}
			}
		}
		w.edit(c.id, onlyScopes("more"))
		if got, ok := said(t, c.introspect(r.fields.AccessToken))["scope"]; ok {
			t.Errorf("%s: scope %v, want none", format, got)
		}
	}
}

// TestIntrospectInactive: of a token that is not active nothing else is said, to
// nobody.
func TestIntrospectInactive(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		w := newWorld(t, unlimited)
		may := w.caller("may", scoped("tollgate:introspect"))
		for name, end := range map[string]func(c caller, r response){
			"suspended": func(c caller, _ response) { w.edit(c.id, suspension(true)) },
			"deleted":   func(c caller, _ response) { w.must(w.db.DeleteClient(t.Context(), c.id, nil)); w.follow() },
			"secret revoked": func(c caller, _ response) {
				w.edited(w.db.RevokeSecret(t.Context(), c.id, 1))
			},
			"revoked": func(c caller, r response) { c.revoked(r.fields.AccessToken); c.revoked(r.fields.RefreshToken) },
			"reused": func(c caller, r response) {
				w.advance(time.Second)
				c.refreshed(r)
				w.advance(time.Second)
				c.refresh(r).wantInvalidGrant(t)
			},
		} {
			c := w.caller("app-"+strings.ReplaceAll(name, " ", "-"), refreshing, formatted(format))
			r := c.token()
			may.wantActive(true, r.fields.AccessToken)
			may.wantActive(true, r.fields.RefreshToken)
			end(c, r)
			may.wantActive(false, r.fields.AccessToken)
			may.wantActive(false, r.fields.RefreshToken)
		}
		c := w.caller("expired", formatted(format))
		r := c.token()
		w.advance(time.Hour - time.Second)
		c.wantActive(true, r.fields.AccessToken)
		w.advance(time.Second)
		c.wantActive(false, r.fields.AccessToken)
	}
}

// TestIntrospectHostileTokens: whatever is no good token is inactive, and no error.
func TestIntrospectHostileTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	c := w.caller("may", scoped("tollgate:introspect"), refreshing)
	r := c.token()
	good := r.fields.AccessToken
	parts := strings.Split(good, ".")
	none := "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0"
	for _, token := range []string{
		"x", ".", "..", "...", " ", good + " ", " " + good, good + "\n", good + ".", "." + good, "Bearer " + good,
		none + "." + parts[1] + ".", none + "." + parts[1] + "." + parts[2], parts[0] + "." + parts[1] + ".", parts[0] + ".." + parts[2], parts[0] + "." + parts[1] + "." + parts[2][:80],
		parts[0] + "." + strings.Repeat("A", len(parts[1])) + "." + parts[2], good + "A", strings.ToLower(good), strings.Repeat(good+".", 50), strings.Repeat("a", 60000),
		"tga_", "tgr_", strings.Repeat("Z", 24), "tgr_" + strings.Repeat("_", 48), "ü", "\u2028", "{}", `{"alg":"none"}`, "' OR 1=1 --", "../../etc/passwd", "%00", c.id, c.secret.Reveal(),
	} {
		if r := c.introspect(token); r.status != 200 || r.body != `{"active":false}` {
			t.Errorf("%.40q: got %v", token, r)
		}
	}
	c.wantActive(true, good)
}

// unloaded is an issuer whose keys were never fetched.
type unloaded struct{}

func (unloaded) Key(context.Context, string) (*tokens.Key, error) {
	return nil, fmt.Errorf("keys: %w", tokens.ErrNoKeys)
}

// TestIntrospectForeignToken: whoever may ask about all tokens is told of those of
// other issuers too. A client of ours that is named as one of theirs is not.
func TestIntrospectForeignToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	idp := w.trustForeign(nil)
	c, may := w.caller("app"), w.caller("may", scoped("tollgate:introspect"))
	token := idp.sign(tokens.Claims{Client: c.id, Audience: audience, Scopes: []string{"contacts:read", "theirs"}, IssuedAt: w.clock(), TTL: time.Minute})
	want := map[string]any{
		"active": true, "scope": "contacts:read theirs", "client_id": c.id, "sub": c.id, "token_type": "Bearer", "aud": audience, "iss": foreignURL,
		"exp": float64(epoch.Unix() + 90), // with the leeway that the gate gives it; when it was issued is not kept
	}
	got := said(t, may.introspect(token))
	delete(got, "jti")
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	c.wantActive(false, token)
	// No revocation of ours reaches it.
	c.revoked(token)
	may.revoked(token)
	w.edit(c.id, suspension(true))
	may.wantActive(true, token)
	w.advance(90 * time.Second)
	may.wantActive(false, token)

	// While an issuer's keys are not known nobody can say whether its tokens are good;
	// that they are not ours to revoke is certain.
	w.trustForeign(unloaded{})
	may.introspect(token).wantUnavailable(t)
	may.revoked(token)
}
