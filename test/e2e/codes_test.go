package e2e

import (
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	tollgatev1 "github.com/tollgate-authz/tollgate/proto/tollgate/v1"
	"github.com/tollgate-authz/tollgate/test/outside"
)

// refusal is one script: how to bring a refusal about, and what it must be.
type refusal struct {
	reason    string // variable of package deny
	status    int
	code      string
	message   string
	challenge string // www-authenticate
	provoke   func(s *stack) answer
}

// refusals has a script for every row of package deny but Internal, which needs
// a stack of its own.
var refusals = []refusal{
	{"BadRequest", 400, "R0", "Bad Request", "", func(s *stack) answer { return s.get("/v1/free;x", "") }},
	{"InvalidToken", 401, "R1", "Invalid Token", `Bearer realm="tollgate"`, func(s *stack) answer { return s.get("/v1/free", "") }},
	{"InvalidToken", 401, "R1", "Invalid Token", `Bearer realm="tollgate", error="invalid_token"`, func(s *stack) answer { return s.get("/v1/free", "a.b.c") }},
	{"Expired", 401, "R5", "Invalid Token", `Bearer realm="tollgate", error="invalid_token"`, func(s *stack) answer {
		bearer := s.token(s.client("--scope", "contacts:read", "--token-ttl", "1s"))
		s.until("the token has expired", func() bool { return s.get("/v1/free", bearer).header.Get("x-tollgate-code") == "R5" })
		return s.get("/v1/free", bearer)
	}},
	{"Restricted", 403, "R4", "IP Restricted", "", func(s *stack) answer {
		c := s.client("--scope", "contacts:read")
		bearer := s.token(c)
		s.tollgate("client", "update", c.ID, "--ip", "203.0.113.0/24")
		s.until("serve has heard of it", func() bool { return s.get("/v1/free", bearer).status == http.StatusForbidden })
		return s.get("/v1/free", bearer)
	}},
	{"Unauthorized", 401, "R6", "Unauthorized Request", `Bearer realm="tollgate", error="insufficient_scope", scope="contacts:read"`, func(s *stack) answer {
		return s.get("/v1/contacts/7", s.token(s.client("--scope", "contacts:write")))
	}},
	{"Unauthorized", 401, "R6", "Unauthorized Request", `Bearer realm="tollgate", error="insufficient_scope"`, func(s *stack) answer {
		return s.get("/v1/nothing", s.token(s.client("--scope", "contacts:write")))
	}},
	{"BurstLimited", 429, "R7", "Rate Limited", "", func(s *stack) answer {
		return s.fourth(s.token(s.client("--scope", "contacts:read", "--plan", "bursty")))
	}},
	{"RateLimited", 429, "R3", "Rate Limited", "", func(s *stack) answer {
		return s.fourth(s.token(s.client("--scope", "contacts:read", "--plan", "slow")))
	}},
	{"RateLimited", 429, "R3", "Rate Limited", "", func(s *stack) answer { // by the lockout
		bearer := s.token(s.client("--scope", "contacts:read", "--plan", "locking"))
		s.fourth(bearer)
		return s.get("/v1/contacts/7", bearer)
	}},
}

// codesConfig has what the scripts need beside the common configuration.
var codesConfig = strings.Replace(commonConfig, "plans:\n", "plans:\n  locking: {per_minute: 3, lockout: 5m}\n", 1)

// fourth asks four times, of which three are allowed.
func (s *stack) fourth(bearer string) answer {
	for range 3 {
		if a := s.get("/v1/free", bearer); a.status != http.StatusOK || a.header.Get("ratelimit") == "" || a.header.Get("ratelimit-policy") == "" {
			s.t.Errorf("one of the first three: %d, RateLimit %q", a.status, a.header.Get("ratelimit"))
		}
	}
	return s.get("/v1/free", bearer)
}

// checkRefusal holds an answer against contract section 3.
func checkRefusal(t *testing.T, r refusal, a answer) {
	t.Helper()
	checkWords(t, r, a)
	retry, err := strconv.Atoi(a.header.Get("retry-after"))
	if limited := r.status == http.StatusTooManyRequests; limited != (err == nil && retry >= 1) {
		t.Errorf("%s: retry-after is %q", r.reason, a.header.Get("retry-after"))
	} else if limited && (a.header.Get("ratelimit") == "" || a.header.Get("ratelimit-policy") == "") {
		t.Errorf("%s: RateLimit fields are missing", r.reason)
	}
}

// checkWords is checkRefusal for an answer that may lack the fields about limits.
func checkWords(t *testing.T, r refusal, a answer) {
	t.Helper()
	body := fmt.Sprintf(`{"code":%q,"message":%q}`, r.code, r.message)
	for what, pair := range map[string][2]string{
		"status": {strconv.Itoa(a.status), strconv.Itoa(r.status)}, "body": {a.body, body},
		"content-type": {a.header.Get("content-type"), "application/json"}, "cache-control": {a.header.Get("cache-control"), "no-store"},
		"x-tollgate-code": {a.header.Get("x-tollgate-code"), r.code}, "www-authenticate": {a.header.Get("www-authenticate"), r.challenge},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s %s: %s is %q, want %q", r.reason, r.code, what, pair[0], pair[1])
		}
	}
	if id := a.header.Get("x-tollgate-decision"); len(id) != 20 {
		t.Errorf("%s: x-tollgate-decision is %q", r.reason, id)
	}
}

// TestC5_I8_EveryRefusal: status, R-code, body and headers of each, through Envoy.
func TestC5_I8_EveryRefusal(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newTollgate(t, codesConfig)
		s.startEnvoy(envoy)
		for _, r := range refusals {
			before := s.upstream.count()
			a := r.provoke(s)
			checkRefusal(t, r, a)
			if r.status < 429 && r.code != "R5" && r.code != "R4" && s.upstream.count() != before {
				t.Errorf("%s: a refused request reached the upstream", r.reason)
			}
			s.checkMetadata(a.header.Get("x-tollgate-decision"), r.code)
		}
	})
}

// checkMetadata finds the decision in Envoy's access log, with its code.
func (s *stack) checkMetadata(id, code string) {
	s.t.Helper()
	s.until("the access log tells of decision "+id, func() bool { return strings.Contains(s.envoyLog.String(), id) })
	for line := range strings.SplitSeq(s.envoyLog.String(), "\n") {
		if strings.Contains(line, id) && !strings.Contains(line, `"`+code+`"`) {
			s.t.Errorf("the access log's line has no code %s: %s", code, line)
		}
	}
}

// TestC1_OverTCPAndUnixSocket: allowed with the identity, on both transports.
func TestC1_OverTCPAndUnixSocket(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		for _, transport := range []string{"tcp", "unix"} {
			s := &stack{t: t, dir: t.TempDir(), upstream: newUpstream(t), check: outside.FreeAddress(t), http: outside.FreeAddress(t), ops: outside.FreeAddress(t)}
			if transport == "unix" {
				s.check = "unix:" + s.dir + "/check.sock"
			}
			s.writeConfig(commonConfig)
			s.startServe()
			s.startEnvoy(envoy)
			c := s.client("--scope", "contacts:read", "--account", "acme")
			a := s.get("/v1/contacts/7?q=1", s.token(c), "x-tollgate-client", "forged", "X-Tollgate-Subject", "forged", "x-tollgate-extra", "forged")
			seen := s.upstream.last()
			if a.status != http.StatusOK || seen == nil {
				t.Fatalf("%s: %d %s", transport, a.status, a.body)
			}
			for name, want := range map[string]string{
				"x-tollgate-client": c.ID, "x-tollgate-account": "acme", "x-tollgate-scopes": "contacts:read", "x-tollgate-environment": "production",
				"x-tollgate-issuer": "http://" + s.http, "x-tollgate-subject": c.ID, "x-tollgate-extra": "",
			} {
				if got := strings.Join(seen.Header.Values(name), "|"); got != want {
					t.Errorf("%s: the upstream sees %s %q, want %q", transport, name, got, want)
				}
			}
			if len(seen.Header.Get("x-tollgate-token-id")) < 16 || seen.Header.Get("authorization") == "" || seen.URL.RawQuery != "q=1" {
				t.Errorf("%s: the upstream sees %v %v", transport, seen.Header, seen.URL)
			}
		}
	})
}

// TestMetadataIsWhatTheProtoSays reads the dynamic metadata out of the access
// log, whole, as proto/tollgate/v1 describes it.
func TestMetadataIsWhatTheProtoSays(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newTollgate(t, commonConfig)
		s.startEnvoy(envoy, func(front string) string {
			return strings.Replace(front, "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:code)%", "%DYNAMIC_METADATA(envoy.filters.http.ext_authz)%", 1)
		})
		c := s.client("--scope", "contacts:read")
		s.get("/v1/contacts/7", s.token(c))
		s.until("the access log tells of it", func() bool { return strings.Contains(s.envoyLog.String(), c.ID) })
		for line := range strings.SplitSeq(s.envoyLog.String(), "\n") {
			start := strings.Index(line, `{"`)
			inner := strings.Index(line[max(start+1, 1):], "{")
			if !strings.Contains(line, c.ID) || start < 0 || inner < 0 {
				continue
			}
			object := line[start+1+inner:]
			object = object[:strings.Index(object, "}")+1]
			object = regexp.MustCompile(`"ext_authz_duration":\d+,?`).ReplaceAllString(object, "") // Envoy's own
			var m tollgatev1.Metadata
			if err := protojson.Unmarshal([]byte(object), &m); err != nil {
				t.Fatalf("%s: %v", object, err)
			}
			if m.Client != c.ID || m.Api != "contacts" || m.Route != "contacts.get" || m.Environment != "production" || m.Account != "default" || len(m.Scopes) != 1 || len(m.DecisionId) != 20 || m.Code != "" {
				t.Errorf("metadata %v", &m)
			}
			return
		}
		t.Errorf("no metadata object in\n%s", s.envoyLog)
	})
}

// TestC5_TollgateKilled: Envoy answers for it, in its words.
func TestC5_TollgateKilled(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newStack(t, envoy)
		bearer := s.token(s.client("--scope", "contacts:read"))
		if a := s.get("/v1/free", bearer); a.status != http.StatusOK {
			t.Fatalf("before: %d", a.status)
		}
		s.upstream.last()
		s.stopServe(syscall.SIGKILL)
		a := s.get("/v1/free", bearer)
		if a.status != 503 || a.body != `{"code":"R0","message":"Service Unavailable"}` || a.header.Get("x-tollgate-code") != "R0" || a.header.Get("content-type") != "application/json" {
			t.Errorf("with tollgate gone: %d %q %v", a.status, a.body, a.header)
		}
		if s.upstream.last() != nil {
			t.Error("the request reached the upstream")
		}
		s.startServe()
		s.until("it is back", func() bool { return s.get("/v1/free", bearer).status == http.StatusOK })
	})
}

// TestC5_Internal: an issuer whose keys were never loaded is our own fault.
func TestC5_Internal(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newTollgate(t, commonConfig+fmt.Sprintf("trust: [{issuer: \"http://%s\", audiences: [a]}]\n", outside.FreeAddress(t)))
		s.startEnvoy(envoy)
		if s.opsStatus("/readyz") != http.StatusServiceUnavailable || s.opsStatus("/healthz") != http.StatusOK {
			t.Error("readyz must say 503 while an issuer has no keys, healthz 200")
		}
		issuer := foreignIssuer(t)
		issuer.url = strings.TrimSuffix(strings.Split(s.readConfig(), "issuer: \"")[1], "\n")
		issuer.url = issuer.url[:strings.Index(issuer.url, `"`)]
		checkRefusal(t, refusal{reason: "Internal", status: 503, code: "R0", message: "Service Unavailable"}, s.get("/v1/free", issuer.token(t, "a", "contacts:read")))
	})
}

// TestHeadAndGRPCCallers: HEAD keeps the headers; gRPC callers get grpc-status.
func TestHeadAndGRPCCallers(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newStack(t, envoy)
		head := s.request(http.MethodHead, "api.example.com", "/v1/free", "")
		if head.status != 401 || head.body != "" || head.header.Get("x-tollgate-code") != "R1" {
			t.Errorf("HEAD: %d %q %v", head.status, head.body, head.header)
		}
		bearer := s.token(s.client("--scope", "contacts:read", "--plan", "slow"))
		call := func(bearer string) answer {
			return s.request(http.MethodPost, "api.example.com", "/grpc.Service/Method", bearer, "content-type", "application/grpc")
		}
		for _, tt := range []struct {
			what   string
			answer answer
			status string
		}{
			{"no token", call(""), "16"},
			{"scope missing", call(bearer), "7"},
			{"ambiguous path", s.request(http.MethodPost, "api.example.com", "/grpc.Service/Method;x", bearer, "content-type", "application/grpc+proto"), "3"},
		} {
			if tt.answer.status != http.StatusOK || tt.answer.header.Get("grpc-status") != tt.status || !strings.Contains(tt.answer.header.Get("grpc-message"), "code") {
				t.Errorf("%s: %d, grpc-status %q, want 200 and %s (%v)", tt.what, tt.answer.status, tt.answer.header.Get("grpc-status"), tt.status, tt.answer.header)
			}
		}
		s.fourth(bearer)
		if a := s.request(http.MethodGet, "api.example.com", "/v1/free", bearer, "content-type", "application/grpc"); a.header.Get("grpc-status") != "8" {
			t.Errorf("limited: grpc-status %q, want 8", a.header.Get("grpc-status"))
		}
	})
}

// TestC7_OneStaticBinary: no interpreter, no shared library.
func TestC7_OneStaticBinary(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "version", "-m", binary).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "CGO_ENABLED=0") {
		t.Fatalf("go version -m: %v\n%s", err, out)
	}
	if interpreter(t, binary) {
		t.Error("the binary wants a dynamic linker")
	}
}
