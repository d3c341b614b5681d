package envoy

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
)

func TestForgedHeadersReachNobody(t *testing.T) {
	t.Parallel()
	forEachEnvoy(t, func(t *testing.T, binary string) {
		tokens := newUpstream(t)
		s := newStage(t, binary, Front{TokenEndpoint: tokens.addr})
		forged := []string{
			"x-tollgate-client: admin", "X-TOLLGATE-Scopes: everything", "x-tollgate-anything: x",
			"X-Envoy-Auth-Failure-Mode-Allowed: true", "x-envoy-internal: true", "x-envoy-external-address: 192.0.2.99",
		}
		seen := func(where string, names http.Header) {
			for name, values := range names {
				name = strings.ToLower(name)
				if strings.HasPrefix(name, "x-tollgate-") || strings.HasPrefix(name, "x-envoy-") && slices.Contains(values, "true") || slices.Contains(values, "192.0.2.99") {
					t.Errorf("%s got %s: %q", where, name, values)
				}
			}
		}

		s.send(t, "/a", forged...)
		check := s.lastCheck(t)
		if check == nil {
			t.Fatal("there was no check")
		}
		checked := http.Header{}
		for _, h := range check.GetHeaderMap().GetHeaders() {
			checked.Add(h.GetKey(), string(h.GetRawValue()))
		}
		seen("the check", checked)
		seen("the upstream", s.lastRequest(t).Header)

		// Where there is no check nobody else would remove them.
		s.send(t, "/auth/token", forged...)
		seen("the token endpoint", tokens.lastRequest(t).Header)
	})
}

// What tollgate reads arrives as it was sent, and nothing else does: it may not
// take two credentials for one, and has no use for cookies.
func TestCheckSeesTheHeadersItReads(t *testing.T) {
	t.Parallel()
	forEachEnvoy(t, func(t *testing.T, binary string) {
		s := newStage(t, binary, Front{APIKeyHeaders: []string{"x-api-key"}})
		s.send(t, "/a?b=c", "Authorization: Bearer one", "Content-Type: application/grpc+proto", "X-Api-Key: k\xff1", "Cookie: session=1", "User-Agent: test")
		check := s.lastCheck(t)
		for name, want := range map[string][]string{
			"authorization": {"Bearer one"}, "content-type": {"application/grpc+proto"}, "x-api-key": {"k\xff1"},
			"cookie": nil, "user-agent": nil, ":path": nil,
		} {
			if diff := cmp.Diff(want, sent(check, name)); diff != "" {
				t.Errorf("%s: -want +got:\n%s", name, diff)
			}
		}
		if len(sent(check, "x-request-id")) != 1 || check.GetPath() != "/a?b=c" || check.GetMethod() != "GET" || check.GetHost() != "api.example.com" {
			t.Errorf("got %v", check)
		}
		if check.GetBody() != "" || len(check.GetRawBody()) > 0 {
			t.Error("the body was sent too")
		}

		s.send(t, "/a", "Authorization: Bearer one", "Authorization: Bearer two", "X-Api-Key: k1", "X-Api-Key: k2")
		check = s.lastCheck(t)
		// Envoy joins the one and not the other; no credential has a comma.
		if diff := cmp.Diff([]string{"Bearer one,Bearer two"}, sent(check, "authorization")); diff != "" {
			t.Errorf("two authorization headers: -want +got:\n%s", diff)
		}
		if diff := cmp.Diff([]string{"k1", "k2"}, sent(check, "x-api-key")); diff != "" {
			t.Errorf("two keys: -want +got:\n%s", diff)
		}
	})
}

// What tollgate sets and removes takes effect, all of it: Envoy drops a change
// of a name that is not listed without a word.
func TestAnswersTakeEffect(t *testing.T) {
	t.Parallel()
	forEachEnvoy(t, func(t *testing.T, binary string) {
		s := newStage(t, binary, Front{APIKeyHeaders: []string{"X-API-Key", "apikey"}})
		credentials := []string{"Authorization: Bearer one", "x-api-key: k", "APIKey: k", "x-app: 1"}

		s.answer(allowWith(func(ok *authv3.OkHttpResponse) {
			for _, name := range identityHeaders {
				ok.Headers = append(ok.Headers, overwrite(name, "ours"))
			}
			ok.Headers = append(ok.Headers, overwrite("x-other", "ours"), overwrite("host", "evil.example"))
			ok.HeadersToRemove = []string{"authorization", "x-api-key", "apikey", "x-app"}
			ok.QueryParametersToRemove = []string{"api_key"}
			ok.ResponseHeadersToAdd = []*corev3.HeaderValueOption{overwrite("ratelimit", `"burst";r=1;t=1`)}
		}))
		resp := s.send(t, "/a?api_key=k&b=2", credentials...)
		got := s.lastRequest(t)
		for _, name := range identityHeaders {
			if diff := cmp.Diff([]string{"ours"}, got.Header.Values(name)); diff != "" {
				t.Errorf("%s: -want +got:\n%s", name, diff)
			}
		}
		for _, name := range []string{"authorization", "x-api-key", "apikey", "x-other"} {
			if v := got.Header.Values(name); len(v) > 0 {
				t.Errorf("the upstream got %s: %q", name, v)
			}
		}
		if got.Host != "api.example.com" || got.Header.Get("x-app") != "1" || got.RequestURI != "/a?b=2" {
			t.Errorf("got host %q, x-app %q, target %q", got.Host, got.Header.Get("x-app"), got.RequestURI)
		}
		if resp.StatusCode != 200 || resp.Header.Get("ratelimit") == "" {
			t.Errorf("got %s and %v", resp.Status, resp.Header)
		}
		tellsNothing := func(resp answer) {
			t.Helper()
			for _, name := range []string{"server", "x-envoy-upstream-service-time"} {
				if v := resp.Header.Get(name); v != "" {
					t.Errorf("a caller learns %s: %q", name, v)
				}
			}
		}
		tellsNothing(resp)

		s.answer(allowWith(func(ok *authv3.OkHttpResponse) { ok.HeadersToRemove = identityHeaders }))
		s.send(t, "/a", credentials...)
		if got := s.lastRequest(t); got.Header.Get("authorization") != "Bearer one" {
			t.Errorf("got %v, want the token too", got.Header)
		}

		s.answer(deny(401, "www-authenticate: Bearer", "x-tollgate-code: R1"))
		resp = s.send(t, "/a")
		if resp.StatusCode != 401 || resp.body != "refused" || resp.Header.Get("x-tollgate-code") != "R1" || resp.Header.Get("www-authenticate") != "Bearer" {
			t.Errorf("got %s, %v, %q", resp.Status, resp.Header, resp.body)
		}
		tellsNothing(resp)
		if s.lastRequest(t) != nil {
			t.Error("a refused request reached the upstream")
		}
	})
}

// Callers cannot choose the address they are taken for: their entries in
// x-forwarded-for come before the one that Envoy adds.
func TestForwardedFor(t *testing.T) {
	t.Parallel()
	const forged = "203.0.113.1, 203.0.113.2"
	forEachEnvoy(t, func(t *testing.T, binary string) {
		for _, test := range []struct {
			hops uint32
			want func(peer string) string // x-envoy-external-address
		}{
			{0, func(peer string) string { return peer }},
			{1, func(string) string { return "203.0.113.2" }},
			{2, func(string) string { return "203.0.113.1" }},
		} {
			peer, other := "127.0.0.1", otherAddress()
			front := Front{TrustedHops: test.hops}
			if other != "" {
				front.Listen, peer = other+":0", other
			}
			s := newStage(t, binary, front)
			s.send(t, "/a", "X-Forwarded-For: 203.0.113.1", "X-Forwarded-For: 203.0.113.2")
			check, arrived := s.lastCheck(t), s.lastRequest(t)
			xff := arrived.Header.Get("x-forwarded-for")
			if diff := cmp.Diff([]string{xff}, sent(check, "x-forwarded-for")); diff != "" {
				t.Errorf("hops %d: the check and the upstream differ:\n%s", test.hops, diff)
			}
			entries := strings.Split(strings.ReplaceAll(xff, " ", ""), ",")
			if len(entries) != 3 || entries[0] != "203.0.113.1" || entries[1] != "203.0.113.2" {
				t.Errorf("hops %d: got %q, want %s and one more", test.hops, xff, forged)
			} else if added := entries[2]; other != "" && added != peer {
				t.Errorf("hops %d: Envoy added %q, want the peer %s", test.hops, added, peer)
			} else if _, err := netip.ParseAddr(added); err != nil {
				// For a peer on loopback Envoy adds an address of its own.
				t.Errorf("hops %d: Envoy added %q, want an address", test.hops, added)
			}
			if got, want := arrived.Header.Get("x-envoy-external-address"), test.want(peer); got != want {
				t.Errorf("hops %d: got external address %q, want %q", test.hops, got, want)
			}
		}
	})
}

// otherAddress is an address of this machine beside loopback, if it has one.
func otherAddress() string {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && ip.IP.IsGlobalUnicast() {
			return ip.IP.String()
		}
	}
	return ""
}
