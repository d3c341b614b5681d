package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// post sends a body to the token endpoint through Envoy.
func (s *stack) post(path, contentType, body string, header ...string) answer {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+s.front+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return s.do(req)
}

func (s *stack) authToken(id, secret, scope string) answer {
	s.t.Helper()
	body, err := json.Marshal(map[string]string{"client_id": id, "client_secret": secret, "scope": scope, "extra": "ignored"})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.post("/auth/token", "application/json", string(body))
}

func (s *stack) oauthToken(id, secret, scope string) answer {
	s.t.Helper()
	return s.post("/oauth2/token", "application/x-www-form-urlencoded", "grant_type=client_credentials&client_id="+id+"&client_secret="+secret+"&scope="+scope)
}

// expectAnswer compares status and some members of a JSON answer.
func (s *stack) expectAnswer(what string, a answer, status int, members map[string]any) {
	s.t.Helper()
	var got map[string]any
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.status != status {
		s.t.Errorf("%s: %d %s, want %d", what, a.status, a.body, status)
		return
	}
	for name, want := range members {
		if fmt.Sprint(got[name]) != fmt.Sprint(want) {
			s.t.Errorf("%s: %s is %v, want %v (%s)", what, name, got[name], want, a.body)
		}
	}
	if a.header.Get("cache-control") != "no-store" {
		s.t.Errorf("%s: cache-control %q, want no-store", what, a.header.Get("cache-control"))
	}
}

// TestC6_I6_I7_D3_TokenEndpoints: both endpoints, through Envoy, right and wrong.
func TestC6_I6_I7_D3_TokenEndpoints(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newTollgate(t, strings.Replace(commonConfig, "generations_per_minute: 1000", "generations_per_minute: 10", 1))
		s.startEnvoy(envoy)
		c := s.client("--scope", "contacts:read,contacts:write", "--alias", "my-app")
		s.expectAnswer("auth", s.authToken(c.ID, c.Secret, "contacts:read"), 200, map[string]any{"token_type": "Bearer", "expires_in": 3600, "scope": "contacts:read"})
		s.expectAnswer("oauth2", s.oauthToken(c.ID, c.Secret, ""), 200, map[string]any{"token_type": "bearer", "expires_in": 3600, "scope": "contacts:read contacts:write"})
		s.expectAnswer("alias", s.oauthToken("my-app", c.Secret, ""), 200, map[string]any{"token_type": "bearer"})
		s.expectAnswer("wrong secret", s.authToken(c.ID, c.Secret+"x", ""), 401, map[string]any{"code": "R1", "message": "Invalid key or secret"})
		s.expectAnswer("unknown client", s.authToken("nobody", c.Secret, ""), 401, map[string]any{"code": "R1", "message": "Invalid key or secret"})
		s.expectAnswer("scope", s.authToken(c.ID, c.Secret, "contacts:admin"), 401, map[string]any{"code": "R2", "message": "Invalid key or secret"})
		s.expectAnswer("oauth2 wrong secret", s.oauthToken(c.ID, "x", ""), 401, map[string]any{"error": "invalid_client", "code": "R1"})
		s.expectAnswer("oauth2 scope", s.oauthToken(c.ID, c.Secret, "x"), 400, map[string]any{"error": "invalid_scope", "code": "R2"})
		s.expectAnswer("wrong type", s.post("/auth/token", "application/json", `{"client_id":7}`), 400, map[string]any{"code": "R0"})
		for range 7 { // three are spent, refused ones spend nothing
			s.expectAnswer("within ten", s.oauthToken(c.ID, c.Secret, ""), 200, nil)
		}
		limited := s.oauthToken(c.ID, c.Secret, "")
		s.expectAnswer("I4: the eleventh", limited, 429, map[string]any{"error": "temporarily_unavailable", "code": "R3", "message": "Rate Limited"})
		if limited.header.Get("retry-after") == "" {
			t.Error("R3 without Retry-After")
		}
		s.expectAnswer("I4: at the other endpoint too", s.authToken(c.ID, c.Secret, ""), 429, map[string]any{"code": "R3"})

		office := s.client("--scope", "contacts:read", "--ip", "203.0.113.0/24")
		s.expectAnswer("I10: R4", s.authToken(office.ID, office.Secret, ""), 403, map[string]any{"code": "R4", "message": "IP Restricted"})
		s.expectAnswer("I10: R4", s.oauthToken(office.ID, office.Secret, ""), 403, map[string]any{"error": "access_denied", "code": "R4"})
		forged := s.post("/auth/token", "application/json", fmt.Sprintf(`{"client_id":%q,"client_secret":%q}`, office.ID, office.Secret), "X-Forwarded-For", "203.0.113.7")
		s.expectAnswer("I10: a forged x-forwarded-for", forged, 403, map[string]any{"code": "R4"})
	})
}

// TestMetadataAndKeys: RFC 8414 and the key set, through Envoy.
func TestMetadataAndKeys(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newStack(t, envoy)
		var meta map[string]any
		a := s.request(http.MethodGet, "api.example.com", "/.well-known/oauth-authorization-server", "")
		if err := json.Unmarshal([]byte(a.body), &meta); err != nil || meta["issuer"] != "http://"+s.http || meta["token_endpoint"] != "http://"+s.http+"/oauth2/token" {
			t.Errorf("metadata: %d %s %v", a.status, a.body, err)
		}
		keys := s.request(http.MethodGet, "api.example.com", "/.well-known/jwks.json", "")
		if !strings.Contains(keys.body, `"kid"`) || strings.Contains(keys.body, `"d"`) || !strings.Contains(keys.header.Get("cache-control"), "max-age") {
			t.Errorf("keys: %d %s %v", keys.status, keys.body, keys.header)
		}
	})
}

// TestC2_V7_ForeignIssuer: tokens of another issuer, found by discovery.
func TestC2_V7_ForeignIssuer(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		f := foreignIssuer(t)
		f.serve(t)
		s := newTollgate(t, commonConfig+fmt.Sprintf("trust: [{issuer: %q, audiences: [https://api.example], algorithms: [ES256], client_claim: client_id, account: partners, plan: slow}]\n", f.url))
		s.startEnvoy(envoy)
		s.until("the keys are loaded", func() bool { return s.opsStatus("/readyz") == http.StatusOK })
		bearer := f.token(t, "https://api.example", "contacts:read")
		for range 3 {
			if a := s.get("/v1/contacts/7", bearer); a.status != http.StatusOK {
				t.Fatalf("a foreign token: %d %s\n%s", a.status, a.body, s.log)
			}
		}
		seen := s.upstream.last()
		if seen.Header.Get("x-tollgate-client") != "partner-app" || seen.Header.Get("x-tollgate-account") != "partners" || seen.Header.Get("x-tollgate-issuer") != f.url {
			t.Errorf("the upstream sees %v", seen.Header)
		}
		if a := s.get("/v1/contacts/7", bearer); a.header.Get("x-tollgate-code") != "R3" {
			t.Errorf("its plan: %d %s, want R3", a.status, a.body)
		}
		if a := s.get("/v1/contacts/7", f.token(t, "https://other.example", "contacts:read")); a.header.Get("x-tollgate-code") != "R1" {
			t.Errorf("another audience: %d %s, want R1", a.status, a.body)
		}
	})
}

// TestO7_SandboxThroughEnvoy: the two environments, on their hosts.
func TestO7_SandboxThroughEnvoy(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newStack(t, envoy)
		production, sandbox := s.token(s.client("--scope", "contacts:read")), s.token(s.client("--scope", "contacts:read", "--environment", "sandbox"))
		for _, tt := range []struct {
			host, bearer, code string
		}{
			{"api.example.com", production, ""}, {"sandbox.example.com", sandbox, ""},
			{"sandbox.example.com", production, "R1"}, {"api.example.com", sandbox, "R1"},
			{"SANDBOX.example.com:8443", sandbox, ""}, {"api.example.com.", production, ""},
		} {
			if a := s.request(http.MethodGet, tt.host, "/v1/free", tt.bearer); a.header.Get("x-tollgate-code") != tt.code {
				t.Errorf("%s: %d %q, want %q", tt.host, a.status, a.header.Get("x-tollgate-code"), tt.code)
			}
		}
	})
}

// TestV6_BrowsersMayCall: a preflight is answered, and a refusal can be read.
func TestV6_BrowsersMayCall(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newTollgate(t, strings.Replace(commonConfig, "    sandbox_hosts:", "    cors: {allow_origins: [https://app.example.com]}\n    sandbox_hosts:", 1))
		s.startEnvoy(envoy)
		preflight := s.request(http.MethodOptions, "api.example.com", "/v1/contacts/7", "", "Origin", "https://app.example.com", "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization")
		if preflight.status != http.StatusOK || preflight.header.Get("access-control-allow-origin") != "https://app.example.com" {
			t.Errorf("preflight: %d %v", preflight.status, preflight.header)
		}
		refused := s.get("/v1/contacts/7", "", "Origin", "https://app.example.com")
		if refused.header.Get("access-control-allow-origin") != "https://app.example.com" || !strings.Contains(strings.ToLower(refused.header.Get("access-control-expose-headers")), "ratelimit") || refused.header.Get("x-tollgate-code") != "R1" {
			t.Errorf("a refusal: %d %v", refused.status, refused.header)
		}
		if a := s.get("/v1/contacts/7", "", "Origin", "https://evil.example"); a.header.Get("access-control-allow-origin") != "" {
			t.Errorf("another origin: %v", a.header)
		}
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
			if a := s.request(method, "api.example.com", "/v1/contacts/7", ""); a.header.Get("x-tollgate-code") != "R1" {
				t.Errorf("%s without a token: %d %v", method, a.status, a.header)
			}
		}
	})
}
