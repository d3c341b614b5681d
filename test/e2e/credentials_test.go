package e2e

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// coded is the R-code that a token gets through Envoy at /v1/free.
func (s *stack) coded(bearer string) func() string {
	return func() string { s.t.Helper(); return s.get("/v1/free", bearer).header.Get("x-tollgate-code") }
}

// expectCode holds one request with a token to an R-code; empty: allowed.
func (s *stack) expectCode(what, bearer, code string) {
	s.t.Helper()
	a := s.get("/v1/free", bearer)
	if a.header.Get("x-tollgate-code") != code || code == "" && a.status != http.StatusOK {
		s.t.Errorf("%s: %d %s, want code %q", what, a.status, a.body, code)
	}
}

// oldRefreshToken is the whole answer to any refresh token but the most recent one.
const oldRefreshToken = `{"error":"invalid_grant","error_description":"Invalid refresh token","code":"R1","message":"Invalid refresh token"}`

// TestD2_D4_Classic: short credentials, and a pair of tokens that is exchanged.
func TestD2_D4_Classic(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newStack(t, envoy)
		c := s.client("--scope", "contacts:read", "--format", "classic")
		token := func(form string) (a answer, i issued) {
			t.Helper()
			a = s.post("/oauth2/token", "application/x-www-form-urlencoded", form+"&client_id="+c.ID+"&client_secret="+c.Secret)
			if err := json.Unmarshal([]byte(a.body), &i); err != nil {
				t.Fatalf("%d %s: %v", a.status, a.body, err)
			}
			return a, i
		}
		a, first := token("grant_type=client_credentials")
		if a.status != http.StatusOK || first.Type != "bearer" || first.ExpiresIn != 3600 {
			t.Fatalf("client_credentials: %d %s", a.status, a.body)
		}
		for what, tt := range map[string]struct {
			text   string
			length int
		}{"client ID": {c.ID, 24}, "secret": {c.Secret, 10}, "access token": {first.Access, 24}, "refresh token": {first.Refresh, 24}} {
			if len(tt.text) != tt.length || !regexp.MustCompile(`^[A-Za-z0-9]*$`).MatchString(tt.text) {
				t.Errorf("%s %q: want %d letters and digits", what, tt.text, tt.length)
			}
		}
		s.expectCode("the first access token", first.Access, "")
		if seen := s.upstream.last().Header; seen.Get("x-tollgate-client") != c.ID || len(seen.Get("x-tollgate-token-id")) < 16 || strings.Contains(seen.Get("x-tollgate-token-id"), first.Access) {
			t.Errorf("the upstream sees %v", seen)
		}
		a, second := token("grant_type=refresh_token&refresh_token=" + first.Refresh)
		if a.status != http.StatusOK || second.Type != "bearer" || second.ExpiresIn != 3600 || len(second.Access) != 24 || len(second.Refresh) != 24 || second.Access == first.Access || second.Refresh == first.Refresh {
			t.Fatalf("refresh_token: %d %s", a.status, a.body)
		}
		s.expectCode("the second access token", second.Access, "")
		if a, _ = token("grant_type=refresh_token&refresh_token=" + first.Refresh); a.status != http.StatusBadRequest || a.body != oldRefreshToken {
			t.Errorf("the old refresh token: %d %s, want 400 %s", a.status, a.body, oldRefreshToken)
		}
		// It was stolen, or the one after it: nothing of the family is of use to anybody.
		if a, _ = token("grant_type=refresh_token&refresh_token=" + second.Refresh); a.body != oldRefreshToken {
			t.Errorf("the newest refresh token after that: %d %s", a.status, a.body)
		}
		s.expectCode("its access token after that", second.Access, "R1")
	})
}

// TestV1_Alias: it stands for the ID at both endpoints, and is nobody else's.
func TestV1_Alias(t *testing.T) {
	t.Parallel()
	s := newTollgate(t, commonConfig)
	s.front = s.http // without Envoy
	c, other := s.client("--scope", "contacts:read", "--alias", "reports", "--refresh"), s.client("--scope", "contacts:read")
	if len(c.ID) < 22 || c.ID == other.ID || c.Secret == other.Secret || len(c.Secret) < 43 {
		t.Errorf("client %s, secret of %d characters", c.ID, len(c.Secret))
	}
	s.expectAnswer("auth", s.authToken("reports", c.Secret, ""), 200, map[string]any{"scope": "contacts:read"})
	s.expectAnswer("oauth2", s.oauthToken("reports", c.Secret, ""), 200, map[string]any{"scope": "contacts:read"})
	byAlias := credential{"reports", c.Secret}
	pair := s.answered(200)(s.grant(t.Context(), byAlias))
	s.answered(200)(s.refresh(t.Context(), byAlias, pair.Refresh))
	s.expectAnswer("another's secret", s.authToken("reports", other.Secret, ""), 401, map[string]any{"code": "R1"})
	for _, taken := range []string{"reports", strings.ToLower(other.ID)} {
		if taken == strings.ToLower(other.ID) && taken != other.ID {
			continue // an alias has no capitals: this ID can be none
		}
		if _, says, status := s.tryTollgate("client", "create", "--name", "x", "--scope", "a", "--alias", taken); status != 1 || !strings.Contains(says, "taken") {
			t.Errorf("alias %s again: status %d, %q", taken, status, says)
		}
	}
	s.tollgate("client", "delete", "reports") // commands take it too
	s.until("the alias is gone", func() bool { return s.authToken("reports", c.Secret, "").status == http.StatusUnauthorized })
	again := s.client("--scope", "contacts:write", "--alias", "reports")
	s.expectAnswer("the next client of that name", s.authToken("reports", again.Secret, ""), 200, map[string]any{"scope": "contacts:write"})
	s.expectAnswer("the secret before", s.authToken("reports", c.Secret, ""), 401, map[string]any{"code": "R1"})
}

// rotateSecret runs client secret rotate.
func (s *stack) rotateSecret(c credential, args ...string) credential {
	s.t.Helper()
	var next credential
	out := s.tollgate(append([]string{"client", "secret", "rotate", c.ID, "--output", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &next); err != nil || next.ID != c.ID || next.Secret == "" || next.Secret == c.Secret {
		s.t.Fatalf("secret rotate printed %q: %v", out, err)
	}
	return next
}

// catchUp has serve read the store, as it does before it answers a command: tries
// with a secret that it does not know yet would count as failures.
func (s *stack) catchUp() {
	s.t.Helper()
	s.tollgate("explain", "--url", "http://api.example.com/v1/free")
}

// TestV2_SecretRotateAndRevoke: a new secret ends nothing, a revoked one all that was
// made with it and before.
func TestV2_SecretRotateAndRevoke(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newStack(t, envoy)
		first := s.client("--scope", "contacts:read", "--refresh")
		ofFirst := s.answered(200)(s.grant(t.Context(), first))
		second := s.rotateSecret(first, "--overlap", "1h")
		s.catchUp()
		ofSecond := s.answered(200)(s.grant(t.Context(), second))
		s.answered(200)(s.grant(t.Context(), first)) // the overlap
		s.expectCode("made with the first secret", ofFirst.Access, "")
		third := s.rotateSecret(first)
		s.endsWithin(follows, "a secret without overlap", "R1", func() string { i, _ := s.grant(t.Context(), second); return i.Code })
		s.answered(401)(s.grant(t.Context(), first)) // a later rotation ends its overlap too
		ofThird := s.answered(200)(s.grant(t.Context(), third))
		s.expectCode("made with the first secret, which is gone", ofFirst.Access, "")
		ofFirst = s.answered(200)(s.refresh(t.Context(), third, ofFirst.Refresh)) // the family lives on, of the third secret now

		s.tollgate("client", "secret", "revoke", first.ID, "--generation", "2")
		s.endsWithin(follows, "secret revoke --generation 2", "R1", s.coded(ofSecond.Access))
		s.expectCode("made with the third secret", ofThird.Access, "")
		s.expectCode("refreshed with the third secret", ofFirst.Access, "")
		if i, err := s.refresh(t.Context(), third, ofSecond.Refresh); err != nil || i.Body != oldRefreshToken {
			t.Errorf("a refresh token of the second secret: %d %s, %v", i.Status, i.Body, err)
		}

		s.tollgate("client", "secret", "revoke", first.ID)
		s.endsWithin(follows, "secret revoke", "R1", s.coded(ofThird.Access))
		s.expectCode("refreshed with the third secret", ofFirst.Access, "R1")
		s.answered(401)(s.grant(t.Context(), third))
		fourth := s.rotateSecret(first)
		s.catchUp()
		s.expectCode("a token of the new secret", s.token(fourth), "")
		s.expectCode("a token of the secret before", ofThird.Access, "R1")
		if i, err := s.refresh(t.Context(), fourth, ofThird.Refresh); err != nil || i.Body != oldRefreshToken {
			t.Errorf("a refresh token of the third secret: %d %s, %v", i.Status, i.Body, err)
		}
	})
}

// TestI2_ClientsAreListedChangedAndDeleted: only scopes and addresses change, and a
// deletion ends every token.
func TestI2_ClientsAreListedChangedAndDeleted(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newStack(t, envoy)
		c := s.client("--scope", "contacts:read,contacts:write", "--alias", "office", "--token-ttl", "30m", "--ip", "127.0.0.0/8")
		opaque := s.client("--scope", "contacts:read", "--format", "opaque")
		bearer, opaqueBearer := s.token(c), s.token(opaque)
		list := s.tollgate("client", "list", "--output", "json")
		for _, member := range []string{`"client_id": "` + c.ID + `"`, `"alias": "office"`, `"token_ttl": 1800`, `"127.0.0.0/8"`, `"status": "active"`, `"format": "opaque"`} {
			if !strings.Contains(list, member) {
				t.Errorf("client list lacks %s:\n%s", member, list)
			}
		}
		if strings.Contains(list, c.Secret) || strings.Contains(list, "client_secret") {
			t.Error("client list shows secrets")
		}
		for _, fixed := range []string{"--name", "--token-ttl", "--plan", "--format", "--account", "--environment", "--alias"} {
			if _, says, status := s.tryTollgate("client", "update", c.ID, fixed, "1h"); status != 2 || !strings.Contains(says, fixed) {
				t.Errorf("client update %s: status %d, %q; want 2 and its name", fixed, status, says)
			}
		}
		if help := s.tollgate("client", "update", "--help"); !strings.Contains(help, "fixed when a client is made") {
			t.Errorf("client update --help says\n%s", help)
		}
		scoped := func() string {
			return s.get("/v1/contacts/7", bearer).header.Get("x-tollgate-code")
		}
		if got := scoped(); got != "" {
			t.Errorf("before: %s", got)
		}
		s.tollgate("client", "update", c.ID, "--scope", "contacts:write")
		s.endsWithin(follows, "narrowed scopes", "R6", scoped)
		s.tollgate("client", "update", c.ID, "--scope", "contacts:write,contacts:read,contacts:admin", "--ip", "203.0.113.0/24")
		s.endsWithin(follows, "other addresses", "R4", s.coded(bearer))
		s.tollgate("client", "update", c.ID, "--anywhere")
		s.endsWithin(follows, "any address", "", s.coded(bearer))
		if got := scoped(); got != "" {
			t.Errorf("a scope that came back: %s", got)
		}
		s.upstream.last()
		for id, token := range map[string]string{c.ID: bearer, opaque.ID: opaqueBearer} {
			s.expectCode("before the deletion", token, "")
			s.tollgate("client", "delete", id)
			s.endsWithin(follows, "client delete", "R1", s.coded(token))
		}
		s.answered(401)(s.grant(t.Context(), c))
		if _, says, status := s.tryTollgate("client", "delete", c.ID); status != 1 || !strings.Contains(says, "not found") {
			t.Errorf("deleted again: status %d, %q", status, says)
		}
	})
}

// TestSuspendAndResume: tokens and secrets rest, and come back.
func TestSuspendAndResume(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newStack(t, envoy)
		c := s.client("--scope", "contacts:read", "--refresh")
		pair := s.answered(200)(s.grant(t.Context(), c))
		revoked := s.answered(200)(s.grant(t.Context(), c))
		s.answered(200)(s.revoke(t.Context(), c, revoked.Access))
		if out := s.tollgate("client", "suspend", c.ID); !strings.Contains(out, "suspended") {
			t.Errorf("client suspend says %q", out)
		}
		s.endsWithin(follows, "client suspend", "R1", s.coded(pair.Access))
		s.expectAnswer("its secret", s.authToken(c.ID, c.Secret, ""), 401, map[string]any{"code": "R1", "message": "Invalid key or secret"})
		s.answered(401)(s.refresh(t.Context(), c, pair.Refresh))
		s.tollgate("client", "resume", c.ID)
		s.endsWithin(follows, "client resume", "", s.coded(pair.Access))
		s.expectCode("revoked before", revoked.Access, "R1")
		s.answered(200)(s.refresh(t.Context(), c, pair.Refresh))
	})
}

// TestV5_Revoke: by the endpoint for the next request, by the command line soon after.
func TestV5_Revoke(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		for _, format := range []string{"jwt", "opaque"} {
			t.Run(format, func(t *testing.T) {
				t.Parallel()
				s := newTollgate(t, strings.Replace(commonConfig, "tokens: {", "tokens: {format: "+format+", ", 1))
				s.startEnvoy(envoy)
				c, other := s.client("--scope", "contacts:read", "--refresh"), s.client("--scope", "contacts:read")
				pair := func() issued { t.Helper(); return s.answered(200)(s.grant(t.Context(), c)) }
				one, two, three, four := pair(), pair(), pair(), pair()
				if isJWT := strings.Count(one.Access, ".") == 2; isJWT != (format == "jwt") || !isJWT && !strings.HasPrefix(one.Access, "tga_") {
					t.Fatalf("the access token is %s", one.Access)
				}
				for _, p := range []issued{one, two, three, four} {
					s.expectCode("before", p.Access, "")
				}
				if i := s.answered(200)(s.revoke(t.Context(), other, one.Access)); i.Body != "" {
					t.Errorf("revoke answers %q, want nothing", i.Body)
				}
				s.expectCode("another client cannot revoke it", one.Access, "")
				if i, err := s.form(t.Context(), "/oauth2/introspect", c, "token", one.Access); err != nil || !i.Active {
					t.Errorf("introspection before: %s, %v", i.Body, err)
				}

				s.answered(200)(s.revoke(t.Context(), c, one.Access))
				a := s.get("/v1/free", one.Access)
				checkRefusal(t, refusal{"revoked", 401, "R1", "Invalid Token", `Bearer realm="tollgate", error="invalid_token"`, nil}, a)
				if i, err := s.form(t.Context(), "/oauth2/introspect", c, "token", one.Access); err != nil || i.Body != `{"active":false}` {
					t.Errorf("introspection after: %s, %v", i.Body, err)
				}
				s.answered(200)(s.revoke(t.Context(), c, one.Access)) // again
				s.expectCode("another token of the client", two.Access, "")

				s.answered(200)(s.revoke(t.Context(), c, two.Refresh))
				s.expectCode("beside a revoked refresh token", two.Access, "R1")
				if i, err := s.refresh(t.Context(), c, two.Refresh); err != nil || i.Body != oldRefreshToken {
					t.Errorf("a revoked refresh token: %d %s, %v", i.Status, i.Body, err)
				}

				s.tollgate("token", "revoke", three.Access)
				s.endsWithin(follows, "token revoke", "R1", s.coded(three.Access))
				if _, says, status := s.pipe(four.Refresh+"\n", "token", "revoke", "-"); status != 0 {
					t.Errorf("token revoke -: status %d, %s", status, says)
				}
				s.endsWithin(follows, "token revoke of a refresh token", "R1", s.coded(four.Access))
				if _, says, status := s.tryTollgate("token", "revoke", "junk"); status != 1 || !strings.Contains(says, "invalid") {
					t.Errorf("token revoke junk: status %d, %q", status, says)
				}
				five := pair()
				s.expectCode("a new token", five.Access, "")
				s.stopServe(syscall.SIGKILL) // the command line alone
				s.tollgate("token", "revoke", five.Access)
				s.startServe()
				for what, token := range map[string]string{"the endpoint": one.Access, "its refresh token": two.Access, "token revoke": three.Access, "token revoke without serve": five.Access} {
					s.until("Envoy is connected again", func() bool { return s.coded(token)() != "R0" })
					s.expectCode("after a restart, revoked by "+what, token, "R1")
				}
			})
		}
	})
}
