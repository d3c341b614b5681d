package endpoint

import (
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// TestV5_RevokeAccessToken: refused at once, also by a gate that has it in its cache;
// what else the client has goes on (RFC 7009 section 2.1).
func TestV5_RevokeAccessToken(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		w := newWorld(t, unlimited)
		c := w.caller("app", refreshing, formatted(format))
		other := w.do(jsonRequest(c.id, c.secret, nil))
		r := c.token()
		seen := w.verify(r)
		w.wantLive(true, r)
		c.revoked(r.fields.AccessToken)
		w.wantLive(false, r)
		if seen.Identity().Ended == nil {
			t.Errorf("%s: a token that was verified before is still accepted", format)
		}
		c.wantActive(false, r.fields.AccessToken)
		w.wantLive(true, other)
		c.wantActive(true, r.fields.RefreshToken)
		w.advance(time.Second)
		w.wantLive(true, c.refreshed(r))
		// Also in a process that starts later.
		registry, err := tokens.NewRegistry(t.Context(), w.db, w.keys, w.clock())
		w.must(err)
		later := tokens.NewVerifier(registry, nil)
		later.Trust([]*tokens.Trust{w.keys.Trust()})
		if token, err := later.Verify(t.Context(), r.fields.AccessToken, w.clock()); err != nil || token.Identity().Ended == nil {
			t.Errorf("%s: after a restart: %v, ended: %v", format, err, token.Identity().Ended)
		}
	}
}

// TestV5_RevokeRefreshToken ends the family: access tokens, and any refresh token of
// it, whichever of them was revoked.
func TestV5_RevokeRefreshToken(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		for _, old := range []bool{false, true} {
			w := newWorld(t, unlimited)
			c := w.caller("app", refreshing, formatted(format))
			other := c.token()
			first := c.token()
			w.advance(time.Second)
			second := c.refreshed(first)
			if old {
				c.revoked(first.fields.RefreshToken)
			} else {
				c.revoked(second.fields.RefreshToken)
			}
			for _, r := range []response{first, second} {
				w.wantLive(false, r)
				c.wantActive(false, r.fields.AccessToken)
				c.wantActive(false, r.fields.RefreshToken)
				c.refresh(r).wantInvalidGrant(t)
			}
			c.revoked(second.fields.RefreshToken) // again
			w.wantLive(true, other)
			c.refreshed(other)
		}
	}
}

// TestV5_RevokeUnknown: the answer is 200, and nothing is written (RFC 7009 section 2.2).
func TestV5_RevokeUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	foreign := w.trustForeign(nil)
	c, other := w.caller("app", refreshing), w.caller("other", refreshing)
	theirs, expired, revoked := other.token(), c.token(), c.token()
	opaque := w.caller("opaque", formatted(tokens.Opaque)).token()
	w.advance(time.Hour)
	theirs = other.refreshed(theirs)
	revoked = c.refreshed(revoked)
	c.revoked(revoked.fields.AccessToken)
	keep := c.token()
	w.records.set(func(call string) error {
		if call == "RevokeToken" || call == "EndFamily" {
			t.Errorf("%s was called", call)
		}
		return nil
	})
	for name, token := range map[string]string{
		"garbage": "x", "dots": "..", "long": strings.Repeat("a", 60000), "not ASCII": "ü\u2028", "line break": keep.fields.AccessToken + "\n",
		"another client's": theirs.fields.AccessToken, "another client's refresh token": theirs.fields.RefreshToken, "another client's opaque": opaque.fields.AccessToken,
		"expired": expired.fields.AccessToken, "revoked": revoked.fields.AccessToken,
		"unknown opaque": "tga_" + strings.Repeat("A", 43), "unknown refresh token": "tgr_" + strings.Repeat("A", 48), "unknown classic": strings.Repeat("A", 24),
		"another signature":       keep.fields.AccessToken[:len(keep.fields.AccessToken)-8] + "AAAAAAAA",
		"another issuer's":        foreign.sign(tokens.Claims{Client: c.id, IssuedAt: w.clock(), TTL: time.Hour}),
		"a client's own ID":       c.id,
		"a client's own secret":   c.secret.Reveal(),
		"an API key of that form": "tgk_" + strings.Repeat("A", 43),
	} {
		t.Log(name)
		c.revoked(token)
	}
	for _, r := range []response{theirs, keep} {
		w.wantLive(true, r)
	}
	w.advance(time.Second)
	other.refreshed(theirs)
}

// TestV5_RevokeByStrangers is refused as a token request is, and counted so.
func TestV5_RevokeByStrangers(t *testing.T) {
	t.Parallel()
	for _, path := range []string{pathRevoke, pathIntrospect} {
		w := newWorld(t, unlimited)
		c := w.caller("app", refreshing)
		r := c.token()
		ask := func(pairs ...string) request {
			return withTarget(formRequest(append(pairs, "token", r.fields.RefreshToken)...), path)
		}
		for _, tt := range []struct {
			name   string
			q      request
			status int
			code   string
			oauth  string
		}{
			{"no credentials", ask(), 401, "R1", "invalid_client"},
			{"a client ID alone", ask("client_id", c.id), 401, "R1", "invalid_client"},
			{"the token as a bearer", ask().with("Authorization", "Bearer "+r.fields.AccessToken), 401, "R1", "invalid_client"},
			{"Basic and body", ask("client_secret", c.secret.Reveal()).basic(c.id, c.secret), 400, "R0", "invalid_request"},
			{"Basic and another client_id", ask("client_id", "reports").basic(c.id, c.secret), 400, "R0", "invalid_request"},
			{"Basic twice", ask().basic(c.id, c.secret).basic(c.id, c.secret), 400, "R0", "invalid_request"},
			{"secret in the URL", withTarget(ask(), path+"?client_id="+c.id+"&client_secret="+c.secret.Reveal()), 400, "R0", "invalid_request"},
			{"token in the URL", withTarget(formRequest().basic(c.id, c.secret), path+"?token="+r.fields.RefreshToken), 400, "R0", "invalid_request"},
			{"no token", withTarget(formRequest().basic(c.id, c.secret), path), 400, "R0", "invalid_request"},
			{"empty token", withTarget(formRequest("token", "").basic(c.id, c.secret), path), 400, "R0", "invalid_request"},
			{"token twice", ask("token", "x").basic(c.id, c.secret), 400, "R0", "invalid_request"},
			{"JSON", withType(ask().basic(c.id, c.secret), "application/json"), 400, "R0", "invalid_request"},
			{"multipart", withType(ask().basic(c.id, c.secret), "multipart/form-data; boundary=x"), 400, "R0", "invalid_request"},
			{"wrong secret in the body", ask("client_id", c.id, "client_secret", "x"), 401, "R1", "invalid_client"},
			{"unknown client", ask().basic("nobody", "x"), 401, "R1", "invalid_client"},
		} {
			res := w.do(tt.q)
			if res.refused(t, tt.status, tt.code, tt.oauth); res.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s: got %v", path, tt.name, res.header)
			}
			if challenged := res.header.Get("WWW-Authenticate") != ""; challenged != (tt.status == 401 && tt.q.header["Authorization"] != nil) {
				t.Errorf("%s %s: challenged: %t", path, tt.name, challenged)
			}
		}
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"} {
			q := ask().basic(c.id, c.secret)
			q.method = method
			if res := w.do(q); res.status != http.StatusMethodNotAllowed || res.header.Get("Allow") != "POST" {
				t.Errorf("%s %s: got %v", method, path, res)
			}
		}
		c.refreshed(r)
		// One failure at that client is spent above; nine more, and the source has to wait.
		for range failuresAtClient - 1 {
			w.do(ask().basic(c.id, "wrong")).refused(t, 401, "R1", "invalid_client")
		}
		res := w.do(ask().basic(c.id, c.secret))
		if res.refused(t, 429, "R3", "temporarily_unavailable"); res.header.Get("Retry-After") == "" {
			t.Errorf("got %v without Retry-After", res)
		}
		c.ask(pathOAuth2Token, "grant_type", "client_credentials").refused(t, 429, "R3", "temporarily_unavailable")
		if res := w.do(ask().basic(c.id, c.secret).from("192.0.2.2")); res.status != http.StatusOK {
			t.Errorf("the client from its own address: got %v", res)
		}
	}
}

// TestV5_CredentialsAsForTokens: by Basic, by alias, in the body; and the hint is one.
func TestV5_CredentialsAsForTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	c := w.caller("app", refreshing)
	for _, ask := range []func(q ...string) request{
		func(q ...string) request { return formRequest(q...).basic(c.id, c.secret) },
		func(q ...string) request { return formRequest(q...).basic("app", c.secret) },
		func(q ...string) request {
			return formRequest(append(q, "client_id", c.id)...).basic(c.id, c.secret)
		},
		func(q ...string) request {
			return formRequest(append(q, "client_id", "app", "client_secret", c.secret.Reveal())...)
		},
	} {
		for _, hint := range []string{"", "access_token", "refresh_token", "no such thing"} {
			for _, kind := range []string{"access", "refresh"} {
				r := c.token()
				token := r.fields.AccessToken
				if kind == "refresh" {
					token = r.fields.RefreshToken
				}
				if res := w.do(withTarget(ask("token", token, "token_type_hint", hint), pathIntrospect)); !strings.HasPrefix(res.body, `{"active":true`) {
					t.Errorf("hint %q, %s token: got %v", hint, kind, res)
				}
				if res := w.do(withTarget(ask("token", token, "token_type_hint", hint), pathRevoke)); res.status != 200 {
					t.Errorf("hint %q, %s token: got %v", hint, kind, res)
				}
				w.wantLive(false, r)
			}
		}
	}
}

// TestV5_EverySpellingIsRevoked: the signature of an ECDSA token can be turned into
// another good one by anybody. Revoking either token ends both.
func TestV5_EverySpellingIsRevoked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	c := w.caller("app")
	for _, revokeOther := range []bool{false, true} {
		r := c.token()
		other := r
		other.fields.AccessToken = turned(t, r.fields.AccessToken)
		w.wantLive(true, r)
		w.wantLive(true, other)
		if revokeOther {
			c.revoked(other.fields.AccessToken)
		} else {
			c.revoked(r.fields.AccessToken)
		}
		w.wantLive(false, r)
		w.wantLive(false, other)
	}
}

// turned returns the token with the signature (r, n-s) in place of (r, s).
func turned(t *testing.T, token string) string {
	t.Helper()
	dot := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	if err != nil || len(signature) != 64 {
		t.Fatalf("a signature of %d bytes: %v", len(signature), err)
	}
	s := new(big.Int).SetBytes(signature[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(signature[32:])
	return token[:dot+1] + base64.RawURLEncoding.EncodeToString(signature)
}

// TestV5_SuspendedTokenStaysRevoked: a token revoked while its client is suspended, by
// a request that began before, does not come back with the client.
func TestV5_SuspendedTokenStaysRevoked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	c := w.caller("app")
	r := c.token()
	w.records.set(func(call string) error {
		if call == "Client done" {
			w.edit(c.id, suspension(true))
		}
		return nil
	})
	c.revoked(r.fields.AccessToken)
	w.records.set(nil)
	w.edit(c.id, suspension(false))
	w.wantLive(false, r)
}

// foreign is another issuer, who signs what he likes.
type foreign struct {
	t      testing.TB
	issuer *tokens.Issuer
}

const foreignURL = "https://idp.example"

// trustForeign makes the gate trust another issuer. Without keys its own are used.
func (w *world) trustForeign(keys tokens.KeySource) foreign {
	w.t.Helper()
	key, err := tokens.NewSigningKey("ES256", rand.Reader, epoch)
	w.must(err)
	issuer, err := tokens.NewIssuer(foreignURL, key, rand.Reader)
	w.must(err)
	public, err := key.Public()
	w.must(err)
	if keys == nil {
		keys = tokens.FixedKeys{public}
	}
	w.verifier.Trust([]*tokens.Trust{w.keys.Trust(), {
		Issuer: foreignURL, Keys: keys, Audiences: []string{audience, ""}, Algorithms: []string{"ES256"}, Types: []string{"at+jwt"}, Leeway: 30 * time.Second,
		ScopeClaim: "scope", ClientClaim: "client_id", Account: "partners", Plan: "default", Environment: tokens.Production,
	}})
	return foreign{w.t, issuer}
}

func (f foreign) sign(c tokens.Claims) string {
	f.t.Helper()
	token, err := f.issuer.Issue(c)
	if err != nil {
		f.t.Fatal(err)
	}
	return token.Bearer.Reveal()
}
