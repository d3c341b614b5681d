package envoy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func TestPathsAndHosts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		target, host string
		keep         bool   // Front.KeepEscapedSlashes
		want         string // path that the check and the upstream see; empty: 400, without a check
		or           string // what they may see instead
		wantHost     string
	}{
		{target: "/a/b?x=1", want: "/a/b?x=1"},
		{target: "/a%2fb"},
		{target: "/a%2Fb"},
		{target: "/a%5cb"},
		{target: "/a%2fb", keep: true, want: "/a%2fb"},
		{target: "/a?x=%2f", want: "/a?x=%2f"},
		{target: `/a\b`, want: "/a/b"},
		{target: "//admin", want: "/admin"},
		{target: "/a//b///c", want: "/a/b/c"},
		{target: "/a/../admin", want: "/admin"},
		{target: "/a/%2e%2E/admin", want: "/admin"},
		{target: "/a/./b/.", want: "/a/b/"},
		{target: "/a/..;/admin", want: "/admin", or: "/a/..;/admin"}, // since some version after 1.36; before
		{target: "/a/%252e%252e/admin", want: "/a/%252e%252e/admin"},
		{target: "/../../etc", want: "/etc"},
		{target: "/a%00b"},
		{target: "/a#fragment"},
		{target: "*"},
		{target: "http://other.example/a", want: "/a", wantHost: "other.example"},
		{target: "/a", host: "api.example.com:8443", want: "/a"},
		{target: "/a", host: "api.example.com.", want: "/a"},
		{target: "/a", host: "api.example.com.:80", want: "/a"},
		{target: "/a", host: "API.example.com", want: "/a", wantHost: "API.example.com"},
	}
	forEachEnvoy(t, func(t *testing.T, binary string) {
		stages := map[bool]*stage{}
		for _, keep := range []bool{false, true} {
			stages[keep] = newStage(t, binary, Front{KeepEscapedSlashes: keep})
		}
		for _, test := range tests {
			s := stages[test.keep]
			host, wantHost := test.host, test.wantHost
			if host == "" {
				host = "api.example.com"
			}
			if wantHost == "" {
				wantHost = "api.example.com"
			}
			resp := s.send(t, test.target, "Host: "+host)
			check, arrived := s.lastCheck(t), s.lastRequest(t)
			what := fmt.Sprintf("%s at %s, keep %v", test.target, host, test.keep)
			if test.want == "" {
				if resp.StatusCode != 400 || check != nil || arrived != nil {
					t.Errorf("%s: got %s, check %v, upstream %v, want 400 without either", what, resp.Status, check, arrived)
				}
				continue
			}
			if check == nil || arrived == nil {
				t.Errorf("%s: got %s, check %v, upstream %v", what, resp.Status, check, arrived)
				continue
			}
			if test.or != "" && check.GetPath() == test.or {
				test.want = test.or
			}
			if check.GetPath() != test.want || arrived.RequestURI != test.want || check.GetHost() != wantHost || arrived.Host != wantHost {
				t.Errorf("%s: the check was about %s at %s, the upstream got %s at %s, want %s at %s",
					what, check.GetPath(), check.GetHost(), arrived.RequestURI, arrived.Host, test.want, wantHost)
			}
		}

		s := stages[false]
		resp := s.send(t, "/a", "x_tollgate_client: admin")
		if resp.StatusCode != 400 || s.lastCheck(t) != nil || s.lastRequest(t) != nil {
			t.Errorf("a header with underscores: got %s, want 400", resp.Status)
		}
		// A token of 8 KiB passes, and headers have an end.
		if resp := s.send(t, "/a", "Authorization: Bearer "+strings.Repeat("x", 8<<10)); resp.StatusCode != 200 {
			t.Errorf("a token of 8 KiB: got %s", resp.Status)
		}
		s.lastCheck(t)
		if resp := s.send(t, "/a", "X-Big: "+strings.Repeat("x", 40<<10)); resp.StatusCode != 431 || s.lastCheck(t) != nil {
			t.Errorf("a header of 40 KiB: got %s, want 431", resp.Status)
		}
	})
}

// Only the endpoints for strangers are open to strangers: tollgate's management
// API and console are on the same listener.
func TestTokenEndpointIsNotChecked(t *testing.T) {
	t.Parallel()
	forEachEnvoy(t, func(t *testing.T, binary string) {
		tokens := newUpstream(t)
		for _, keep := range []bool{false, true} {
			s := newStage(t, binary, Front{TokenEndpoint: tokens.addr, KeepEscapedSlashes: keep})
			s.answer(deny(401))
			for _, target := range []string{"/auth/token", "/oauth2/token?x=1", "/oauth2/introspect", "/oauth2/revoke", "/.well-known/jwks.json", "/.well-known/oauth-authorization-server", "/x/../auth/token"} {
				resp, checked, got := s.send(t, target), s.lastCheck(t), tokens.lastRequest(t)
				if resp.StatusCode != 200 || checked != nil || got == nil {
					t.Errorf("%s: got %s, check %v, token endpoint %v", target, resp.Status, checked, got)
				}
			}
			for _, target := range []string{"/clients", "/tokens", "/console/", "/auth/token/", "/auth/tokens", "/AUTH/token", "/oauth2", "/oauth2/", "/oauth2/../clients",
				"/oauth2/..%2fclients", "/oauth2/%2e%2e%2fclients", "/oauth2/x/y", "/.well-known/jwksxjson", "/openapi.json", "/?/auth/token", "/auth/token;x"} {
				resp, got := s.send(t, target), tokens.lastRequest(t)
				if resp.StatusCode < 400 || got != nil {
					t.Errorf("%s, keep %v: got %s, token endpoint %v, want a refusal", target, keep, resp.Status, got)
				}
			}
		}
		// Without a token endpoint they are paths like others.
		s := newStage(t, binary, Front{})
		if s.send(t, "/auth/token"); s.lastCheck(t) == nil {
			t.Error("/auth/token passed unchecked to the upstream")
		}
	})
}

func TestCORS(t *testing.T) {
	t.Parallel()
	forEachEnvoy(t, func(t *testing.T, binary string) {
		s := newStage(t, binary, Front{APIKeyHeaders: []string{"x-api-key"}, CORS: []CORS{
			{Hosts: []string{"api.example.com", "*.example.com"}, AllowOrigins: []string{"https://app.example.com"}, AllowHeaders: []string{"idempotency-key"}},
			{Hosts: []string{"internal.example.com"}},
			{Hosts: []string{"open.example"}, AllowOrigins: []string{"*"}},
		}})
		s.answer(deny(429, "retry-after: 3"))
		const app = "https://app.example.com"
		preflight := func(host, origin string) answer {
			t.Helper()
			return exchange(t, s.addr, "OPTIONS /a HTTP/1.1\r\nHost: "+host+"\r\nOrigin: "+origin+"\r\nAccess-Control-Request-Method: POST\r\nConnection: close\r\n\r\n")
		}
		for _, test := range []struct {
			host, origin string
			allowed      bool
		}{
			{"api.example.com", app, true},
			{"API.example.com:8080", app, true},
			{"x.example.com", app, true},
			{"open.example", "https://anybody.example", true},
			{"api.example.com", "https://evil.example", false},
			{"api.example.com", "https://app.example.com.evil.example", false},
			{"api.example.com", "http://app.example.com", false},
			{"internal.example.com", app, false},
			{"other.example", app, false},
		} {
			what := test.origin + " to " + test.host
			resp := preflight(test.host, test.origin)
			if checked := s.lastCheck(t) != nil; checked == test.allowed {
				t.Errorf("preflight of %s: checked %v, want %v", what, checked, !test.allowed)
			}
			if got := resp.Header.Get("access-control-allow-origin"); (got == test.origin) != test.allowed || !test.allowed && got != "" {
				t.Errorf("preflight of %s: allows %q", what, got)
			}
			if !test.allowed {
				continue
			}
			allowed := resp.Header.Get("access-control-allow-headers")
			for _, name := range []string{"authorization", "content-type", "x-api-key"} {
				if !strings.Contains(allowed, name) {
					t.Errorf("preflight of %s: %s is not among %q", what, name, allowed)
				}
			}
			if got := resp.Header.Get("access-control-allow-credentials"); got == "true" {
				t.Errorf("preflight of %s: allows cookies", what)
			}

			// A refusal can be read by the page, with what it says.
			resp = s.send(t, "/a", "Host: "+test.host, "Origin: "+test.origin)
			s.lastCheck(t)
			if got := resp.Header.Get("access-control-allow-origin"); resp.StatusCode != 429 || got != test.origin {
				t.Errorf("refusal of %s: got %s, readable by %q", what, resp.Status, got)
			}
			exposed := strings.Split(resp.Header.Get("access-control-expose-headers"), ", ")
			for _, name := range []string{"RateLimit", "RateLimit-Policy", "Retry-After", "x-tollgate-code", "x-tollgate-decision", "x-tollgate-warning"} {
				if !slices.Contains(exposed, name) {
					t.Errorf("refusal of %s: %s is not among the exposed %q", what, name, exposed)
				}
			}
		}
		if got := preflight("api.example.com", app).Header.Get("access-control-allow-headers"); !strings.Contains(got, "idempotency-key") {
			t.Errorf("idempotency-key is not among %q", got)
		}
	})
}

func TestWebSocketIsCheckedAndPasses(t *testing.T) {
	t.Parallel()
	forEachEnvoy(t, func(t *testing.T, binary string) {
		s := newStage(t, binary, Front{})
		echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
			line, _ := rw.ReadString('\n')
			io.WriteString(conn, line)
		}))
		t.Cleanup(echo.Close)
		config, err := YAML(Front{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Upstream: echo.Listener.Addr().String(), Check: s.checkService.addr})
		if err != nil {
			t.Fatal(err)
		}
		_, addr := startEnvoy(t, binary, config, nil)
		const upgrade = "GET /ws HTTP/1.1\r\nHost: api.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"

		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		defer context.AfterFunc(t.Context(), func() { conn.Close() })()
		io.WriteString(conn, upgrade)
		r := bufio.NewReader(conn)
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != 101 {
			t.Fatalf("got %v, %v, want 101", resp, err)
		}
		io.WriteString(conn, "hello\n")
		if line, err := r.ReadString('\n'); line != "hello\n" {
			t.Errorf("got %q, %v, want what was sent", line, err)
		}
		if s.lastCheck(t) == nil {
			t.Error("there was no check")
		}
		s.answer(deny(401))
		if resp := exchange(t, addr, upgrade); resp.StatusCode != 401 {
			t.Errorf("got %s, want the refusal", resp.Status)
		}
	})
}

// gRPC upstreams speak HTTP/2 without TLS.
func TestUpstreamHTTP2(t *testing.T) {
	t.Parallel()
	forEachEnvoy(t, func(t *testing.T, binary string) {
		checks := newCheckService(t)
		protocols := &http.Protocols{}
		protocols.SetUnencryptedHTTP2(true)
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
		server.Config.Protocols = protocols
		server.Start()
		t.Cleanup(server.Close)
		config, err := YAML(Front{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Upstream: server.Listener.Addr().String(), UpstreamHTTP2: true, Check: checks.addr})
		if err != nil {
			t.Fatal(err)
		}
		_, addr := startEnvoy(t, binary, config, nil)
		if resp := exchange(t, addr, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); resp.body != "HTTP/2.0" {
			t.Errorf("got %s %q, want HTTP/2.0", resp.Status, resp.body)
		}
	})
}
