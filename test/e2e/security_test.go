package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestB24_ForgedHeaders: what a caller says of itself never counts.
func TestB24_ForgedHeaders(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newStack(t, envoy)
		bearer := s.token(s.client("--scope", "contacts:read"))
		forged := []string{}
		for _, name := range []string{"client", "account", "scopes", "token-id", "environment", "issuer", "subject", "anything"} {
			forged = append(forged, "x-tollgate-"+name, "forged", "X-Tollgate-"+strings.ToUpper(name), "forged")
		}
		for what, a := range map[string]answer{
			"an open API": s.request(http.MethodGet, "www.example.com", "/x", "", forged...),
			"with token":  s.get("/v1/free", bearer, forged...),
		} {
			if a.status != http.StatusOK {
				t.Errorf("%s: %d %s", what, a.status, a.body)
			}
		}
		s.upstream.mu.Lock()
		defer s.upstream.mu.Unlock()
		for _, r := range s.upstream.seen {
			for name, values := range r.Header {
				if strings.Contains(strings.Join(values, ","), "forged") {
					t.Errorf("the upstream sees %s: %v", name, values)
				}
			}
		}
		if len(s.upstream.seen) != 2 {
			t.Errorf("%d requests reached the upstream, want 2", len(s.upstream.seen))
		}
	})
}

// TestB24_ForgedSource: x-forwarded-for moves no one into a trusted range.
func TestB24_ForgedSource(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newStack(t, envoy)
		c := s.client("--scope", "contacts:read")
		bearer := s.token(c)
		s.tollgate("client", "update", c.ID, "--ip", "203.0.113.0/24")
		s.until("serve has heard of it", func() bool { return s.get("/v1/free", bearer).status == http.StatusForbidden })
		for _, header := range [][]string{
			{"X-Forwarded-For", "203.0.113.7"}, {"X-Forwarded-For", "203.0.113.7, 203.0.113.7"}, {"X-Forwarded-For", "203.0.113.7", "X-Forwarded-For", "203.0.113.8"},
			{"X-Envoy-External-Address", "203.0.113.7"}, {"X-Real-IP", "203.0.113.7"}, {"Forwarded", "for=203.0.113.7"},
		} {
			if a := s.get("/v1/free", bearer, header...); a.header.Get("x-tollgate-code") != "R4" {
				t.Errorf("%v: %d %q, want R4", header, a.status, a.header.Get("x-tollgate-code"))
			}
		}
		s.tollgate("client", "update", c.ID, "--ip", "127.0.0.0/8")
		s.until("serve has heard of it", func() bool { return s.get("/v1/free", bearer).status == http.StatusOK })
	})
}

// TestB24_AmbiguousPaths sends raw request lines: each is refused by Envoy or by
// tollgate, or reaches the upstream in the one spelling that was decided on.
func TestB24_AmbiguousPaths(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newStack(t, envoy)
		bearer := s.token(s.client("--scope", "contacts:read")) // may GET /v1/contacts/{id} and /v1/free, not /v1/secret
		for _, target := range []string{
			"/v1/free/../secret", "/v1/free/%2e%2e/secret", "/v1/free/.%2e/secret", "/v1//secret", "//v1/secret", "/v1/contacts/7%2f..%2fsecret",
			"/v1/contacts/..;/secret", "/v1/contacts/7;x", "/v1/contacts/7%3bx", `/v1\secret`, "/v1/contacts/%5c..%5csecret", "/v1/contacts/%252e%252e", "/v1/contacts/%00", "/v1/contacts/%zz",
			"/v1/contacts/%c0%af", "/./v1/secret", "/v1/secret#x", "/v1/contacts/7#/../secret", "http://api.example.com/v1/secret", "/V1/FREE", "/v1/free/", "/v1/contacts/", "*",
		} {
			status, seen := s.raw("GET "+target+" HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer "+bearer+"\r\nConnection: close\r\n\r\n"), s.upstream.last()
			if seen != nil && seen.URL.Path != "/v1/free" && !strings.HasPrefix(seen.RequestURI, "/v1/contacts/") {
				t.Errorf("%s reached the upstream as %s", target, seen.RequestURI)
			}
			if seen != nil && strings.ContainsAny(seen.RequestURI, `;\`) || seen != nil && strings.Contains(seen.RequestURI, "..") {
				t.Errorf("%s reached the upstream as %s", target, seen.RequestURI)
			}
			if seen == nil && status < 400 {
				t.Errorf("%s: %d", target, status)
			}
		}
		for name, header := range map[string]string{
			"two tokens": "Authorization: Bearer " + bearer + "\r\nAuthorization: Bearer " + bearer, "underscore": "x_tollgate_client: x\r\nAuthorization: Bearer " + bearer,
			"joined": "Authorization: Bearer " + bearer + ", Bearer " + bearer, "basic": "Authorization: Basic eDp5", "two schemes": "Authorization: Basic x, Bearer " + bearer,
		} {
			if status := s.raw("GET /v1/free HTTP/1.1\r\nHost: api.example.com\r\n" + header + "\r\nConnection: close\r\n\r\n"); status != 401 && status != 400 {
				t.Errorf("%s: %d, want 401 or 400", name, status)
			}
		}
		for _, host := range []string{"api.example.com:x", "x@api.example.com", "api.example.com,www.example.com", "www.example.com@api.example.com", "api.example.com%00", "*"} {
			if status := s.raw("GET /v1/secret HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: Bearer " + bearer + "\r\nConnection: close\r\n\r\n"); status < 400 {
				t.Errorf("host %q: %d", host, status)
			}
		}
	})
}

// raw writes bytes to Envoy and returns the status of the answer; 400 when it
// hangs up.
func (s *stack) raw(request string) int {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.front)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, request); err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return http.StatusBadRequest
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// TestForwardToken: an upstream that must not see the credential does not.
func TestForwardToken(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newStack(t, envoy)
		bearer := s.token(s.client("--scope", "contacts:read"))
		for host, want := range map[string]bool{"api.example.com": true, "hidden.example.com": false} {
			if a := s.request(http.MethodGet, host, "/v1/free", bearer); a.status != http.StatusOK {
				t.Fatalf("%s: %d %s", host, a.status, a.body)
			}
			if got := s.upstream.last().Header.Get("authorization") != ""; got != want {
				t.Errorf("%s: the upstream sees the token: %v, want %v", host, got, want)
			}
		}
	})
}

// TestB25_Canaries brings secrets in by every door at debug level, and looks for
// them in everything that is written.
func TestB25_Canaries(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		canary := func(n int) string { return fmt.Sprintf("CANARY%02dxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", n) }
		s := newTollgate(t, commonConfig+fmt.Sprintf("keys: {encryption_key: %q, pepper: %q}\n", canary(1), canary(2)), "--log-level", "debug")
		s.startEnvoy(envoy)
		c := s.client("--scope", "contacts:read")
		bearer := s.token(c)
		secrets := []string{canary(1), canary(2), c.Secret, strings.Split(bearer, ".")[2], strings.Split(bearer, ".")[1]}
		use := func(n int) string { secrets = append(secrets, canary(n)); return canary(n) }
		s.get("/v1/free", bearer)
		s.get("/v1/free?token="+use(3), bearer)
		s.get("/v1/nothing?token="+use(4), use(5))
		s.get("/v1/free", use(6)+"."+use(7)+"."+use(8))
		s.get("/v1/free", strings.Split(bearer, ".")[0]+"."+use(9)+"."+use(10))
		s.get("/v1/free", "", "Authorization", "Basic "+use(11))
		s.get("/v1/free", "", "Cookie", "session="+use(12), "x-api-key", use(13))
		s.authToken(c.ID, use(14), "")
		s.authToken(use(15), use(16), use(17))
		s.oauthToken(c.ID, use(18), "")
		s.post("/auth/token", "application/json", `{"client_secret":"`+use(19)+`","client_id":7}`)
		s.post("/oauth2/token?client_secret="+use(20), "application/x-www-form-urlencoded", "grant_type="+use(21)+"&client_secret="+use(22)+"&client_secret=x")
		s.post("/oauth2/token", "application/x-www-form-urlencoded", "grant_type=client_credentials", "Authorization", "Basic "+use(23))
		_, complaint, _ := s.tryTollgate("explain", "--url", "http://api.example.com/v1/free", "--header", "Authorization: Bearer "+use(24))
		explained, _, _ := s.tryTollgate("explain", "--url", "http://api.example.com/v1/free", "--header", "Authorization: Bearer "+bearer, "--output", "json")
		metrics := s.fetch("http://" + s.ops + "/metrics")
		s.until("the last request is in the log", func() bool { return strings.Count(s.log.String(), "token request refused") >= 6 })
		for name, text := range map[string]string{"the log": s.log.String(), "Envoy's log": s.envoyLog.String(), "/metrics": metrics, "explain": explained + complaint, "client list": s.tollgate("client", "list", "--output", "json")} {
			for _, secret := range secrets {
				if i := strings.Index(text, secret); i >= 0 && !(name == "Envoy's log" && strings.Contains(text, "token="+secret)) {
					t.Errorf("%s shows %s: …%s", name, secret, text[max(0, i-120):min(len(text), i+40)])
				}
			}
		}
		files, err := filepath.Glob(filepath.Join(s.dir, "data", "*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("files beside the store: %v, %v", files, err)
		}
		for _, path := range files {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s: mode %v, %v; others must not read it", path, info.Mode(), err)
			}
			content, _ := os.ReadFile(path)
			for _, secret := range secrets {
				if strings.Contains(string(content), secret) {
					t.Errorf("%s holds %s", path, secret)
				}
			}
		}
	})
}

func (s *stack) fetch(url string) string {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.do(req).body
}
