package config

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// What is not YAML ends the reading, so that each such fault needs a file.
func TestFaultsThatEndTheReading(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, want string }{
		{"", `tollgate.yaml:1:1: the file is empty; write "apis: []" if nothing is to be protected yet`},
		{"# enforce: true\n", `tollgate.yaml:1:1: the file is empty; write "apis: []" if nothing is to be protected yet`},
		{"listen:\n\tcheck: x\n", "tollgate.yaml:2:1: the file is not YAML here (found character '\\t' that cannot start any token); indent with spaces, not with tabs"},
		{"apis:\n  - hosts: [a\n    routes: []\n", `tollgate.yaml:3:5: the file is not YAML here (',' or ']' must be specified); see the indentation, the brackets and the quotes here and in the lines before`},
		{"keys: {pepper: ${PEPPER}}\n", `tollgate.yaml:1:17: the file is not YAML here (',' or '}' must be specified); inside {…} and […] write a text with braces in quotes, like "${NAME}" or "GET /v1/{id}"`},
		{"apis: [{hosts: [*, a.example.com]}]\n", `tollgate.yaml:1:18: the file is not YAML here (unexpected scalar value type); write a text that begins with one of * & ! % @ in quotes, like "*"`},
		{"apis:\n  - name: a: b\n", `tollgate.yaml:2:11: the file is not YAML here (mapping value is not allowed in this context); write a text that holds ": " in quotes`},
		{"store: sqlite::memory:\n", `tollgate.yaml:1:8: the file is not YAML here (mapping value is not allowed in this context); write a text that ends with a colon in quotes, like "sqlite::memory:"`},
		{"issuer: 'http://127.0.0.1\n", `tollgate.yaml:1:9: the file is not YAML here (could not find end character of single-quoted text); see the indentation, the brackets and the quotes here and in the lines before`},
		{"listen:\n    check: a:1\n  http: a:2\n", `tollgate.yaml:3:3: the file is not YAML here (value is not allowed in this context); see the indentation, the brackets and the quotes here and in the lines before`},
		{"issuer: @issuer\n", `tollgate.yaml:1:9: the file is not YAML here ('@' is a reserved character); write a text that begins with one of * & ! % @ in quotes, like "*"`},
		{"---\nenforce: true\n---\nenforce: false\n", "tollgate.yaml:3:1: a second document begins here; write one document in a file"},
		{"---\n---\nenforce: false\n", "tollgate.yaml:2:1: a second document begins here; write one document in a file"},
		{"enforce: true\n---\n", "tollgate.yaml:2:1: a second document begins here; write one document in a file"},
		{"enforce: true\n...\nenforce: false\n", `tollgate.yaml:3:1: the document has ended with "..."; leave out what follows, or the dots`},
		{"%YAML 1.2\n---\nenforce: true\n", "tollgate.yaml:1:1: directives (%) are not supported; leave the line out"},
		{"enforce: true\nissuer: h\xe9\n", "tollgate.yaml:2:10: the file is not UTF-8 from here on; save it as UTF-8"},
		{"apis: " + strings.Repeat("[", 60) + strings.Repeat("]", 60) + "\n", "tollgate.yaml:1:57: more than 50 blocks within each other; a configuration needs no more than ten"},
		{strings.Repeat("- ", 60), "tollgate.yaml:1:101: more than 50 blocks within each other; a configuration needs no more than ten"},
		{"- listen\n", "tollgate.yaml:1:1: a block of keys is needed, not a list"},
		{"listen\n", "tollgate.yaml:1:1: a block of keys is needed, not a text"},
		{"null\n", "tollgate.yaml:1:1: the value is missing; write one, or leave the key out"},
	} {
		if _, faults := parseText(t, tt.text); faults.Error() != tt.want {
			t.Errorf("%q\ngot  %s\nwant %s", tt.text, faults.Error(), tt.want)
		}
	}
}

func TestAPanicOfTheParserIsAFault(t *testing.T) {
	t.Parallel()
	if err := guard(func() error { panic("index out of range") }); err == nil {
		t.Error("got no error")
	}
}

// Each of these texts is wrong in one way.
func TestFaultsOfSingleValues(t *testing.T) {
	t.Parallel()
	const (
		wantAddress = "; an address is needed, like 127.0.0.1:8180 or [::1]:8180, with a port up to 65535"
		wantSocket  = "; an address is needed, like 127.0.0.1:9191 with a port up to 65535, or unix:/run/tollgate.sock"
		wantURL     = "; a URL is needed, like https://idp.example.com, without query, fragment, user and final slash"
		wantStore   = `; sqlite:FILE or "sqlite::memory:" (with quotes) is needed`
		wantSize    = "; a size such as 256MiB is needed, in KiB, MiB or GiB, 16MiB or more"
	)
	for _, tt := range []struct{ text, want string }{
		{"listen: {check: \"unix:\"}", `1:17: listen.check: the path is missing after "unix:"; write one like unix:/run/tollgate.sock`},
		{"listen: {check: unix:/" + strings.Repeat("a", 107) + "}", "1:17: listen.check: the socket's whole path has 108 bytes; the system takes 107 at most, choose a shorter one"},
		{"listen: {check: 127.0.0.1:grpc}", `1:17: listen.check: "127.0.0.1:grpc" does not fit` + wantSocket},
		{"listen: {http: unix:a.sock}", "1:16: listen.http: only listen.check can be a socket" + wantAddress},
		{"listen: {http: 8180}", "1:16: listen.http: 8180 is not a text" + wantAddress},
		{"listen: {http: 127.0.0.1}", `1:16: listen.http: "127.0.0.1" does not fit` + wantAddress},
		{"listen: {http: 127.0.0.1:65536}", `1:16: listen.http: "127.0.0.1:65536" does not fit` + wantAddress},
		{"listen: {http: 127.0.0.1:080}", `1:16: listen.http: "127.0.0.1:080" does not fit` + wantAddress},
		{"keys: {pepper: 123456789012345678}", "1:16: keys.pepper: a number is not a text; write it with quotes"},
		{"keys: {pepper: [12345678901234567890123456789012]}", "1:16: keys.pepper: at least 32 characters are needed, such as what `openssl rand -base64 32` prints, not a list (a text with brackets or colons needs quotes)"},
		{"listen: {ops: 127.0.0.0.1:80}", `1:15: listen.ops: "127.0.0.0.1:80" does not fit` + wantAddress},
		{"listen: {ops: \"[::1:80\"}", `1:15: listen.ops: "[::1:80" does not fit` + wantAddress},
		{"listen: {ops: http://127.0.0.1:80}", `1:15: listen.ops: "http://127.0.0.1:80" does not fit` + wantAddress},
		{"listen: {check: \":9192\"}", "1:17: listen.check: listen.ops takes this address as well; give each its own port"},
		{"listen: {http: 0.0.0.0:8180}", "1:16: listen.http: plain HTTP on an address that others can reach: secrets and tokens would cross the network in the clear; listen on 127.0.0.1, name a certificate in http_tls, or write insecure: true if something in front of it speaks TLS"},
		{"listen: {http: tollgate.example.com:8180}", "1:16: listen.http: plain HTTP on an address that others can reach: secrets and tokens would cross the network in the clear; listen on 127.0.0.1, name a certificate in http_tls, or write insecure: true if something in front of it speaks TLS"},
		{"issuer: https://idp.example.com/a?b=c", `1:9: issuer: "https://idp.example.com/a?b=c" has a query or a fragment; write "https://idp.example.com/a"`},
		{"issuer: https://idp.example.com/", `1:9: issuer: "https://idp.example.com/" ends with a slash; write "https://idp.example.com"`},
		{"issuer: idp.example.com", `1:9: issuer: "idp.example.com" does not fit` + wantURL},
		{"issuer: https://idp.example.com:99999", `1:9: issuer: "https://idp.example.com:99999" does not fit` + wantURL},
		{"issuer: https://:443", `1:9: issuer: "https://:443" does not fit` + wantURL},
		{"issuer: \"https://idp.example.com:\"", `1:9: issuer: "https://idp.example.com:" does not fit` + wantURL},
		{"apis: [{name: a, sandbox_hosts: a.example.com}]", "1:33: apis[0].sandbox_hosts: a list is needed, not a text; write [one, another], or a line with - for each"},
		{"apis: [{name: a, sandbox_hosts: [5]}]", `1:34: apis[0].sandbox_hosts[0]: 5 is not a text; write "5" with quotes`},
		{"enforce: false\r\nissuer: idp.example.com\r\n", `2:9: issuer: "idp.example.com" does not fit` + wantURL},
		{"store: mysql://127.0.0.1", "1:8: store: not usable" + wantStore},
		{"store: sqlite://data/tollgate.db", "1:8: store: the file's name follows the colon; write one like sqlite:data/tollgate.db or sqlite:/var/lib/tollgate/tollgate.db"},
		{"store: postgres://user:hunter2@db/tollgate", "1:8: store: PostgreSQL is not supported yet" + wantStore},
		{"tokens: {access_ttl: 8785h}", "1:22: tokens.access_ttl: 8785h is too large; a duration such as 30s, 15m or 720h is needed, 1s to 8784h"},
		{"tokens: {access_ttl: 0.5}", "1:22: tokens.access_ttl: 0.5 has no unit; write 0.5s for seconds, or another duration such as 15m or 720h"},
		{"tokens: {audience: \"${BINARY}\"}", "1:20: tokens.audience: with ${BINARY} filled in the value does not fit; a text is needed"},
		{"tokens: {audience: \"a\\u0007\"}", "1:20: tokens.audience: a line break or another control character stands in it; a text is needed"},
		{"client_ip: {trusted_hops: '007'}", "1:27: client_ip.trusted_hops: 007 is octal to some readers and decimal to others; write the number without the leading zero"},
		{"accounts: {default_zone: Local}", `1:26: accounts.default_zone: "Local" differs from machine to machine; a time zone is needed, like UTC or Europe/Berlin`},
		{"limits: {max_memory: 1MiB}", "1:22: limits.max_memory: 1MiB is too small" + wantSize},
		{"limits: {max_memory: 1024}", "1:22: limits.max_memory: 1024 is too small" + wantSize},
		{"limits: {max_memory: 99999999999GiB}", `1:22: limits.max_memory: "99999999999GiB" is too large` + wantSize},
		{"limits: {max_memory: 12parsecs}", `1:22: limits.max_memory: "12parsecs": the units are KiB, MiB and GiB` + wantSize},
		{"limits: {max_memory: 2G}", `1:22: limits.max_memory: "2G": the units are KiB, MiB and GiB; write 2GiB`},
		{"limits: {max_memory: lots}", `1:22: limits.max_memory: "lots" is not a size` + wantSize},
		{"plans: {a: {burst: {rate:50, size: 5}}}", "1:21: plans.a.burst.\"rate:50\": the key is unknown; write a space after the colon of rate"},
	} {
		if _, faults := parseText(t, tt.text); faults.Error() != "tollgate.yaml:"+tt.want {
			t.Errorf("%s\ngot  %s\nwant tollgate.yaml:%s", tt.text, faults.Error(), tt.want)
		}
	}
}

// What is accepted, and the form in which it is kept.
func TestValues(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		got  func(*Config) any
		want any
	}{
		{"listen: {check: unix:run/tollgate.sock}", func(c *Config) any { return c.Listen.Check }, "unix:/etc/tollgate/run/tollgate.sock"},
		{"listen: {check: unix:/run/tollgate.sock}", func(c *Config) any { return c.Listen.Check }, "unix:/run/tollgate.sock"},
		{"listen: {http: \"[::1]:0\", ops: \"[::1]:0\"}", func(c *Config) any { return c.Issuer }, "http://[::1]:0"},
		{"listen: {http: 0.0.0.0:8080, insecure: true}", func(c *Config) any { return c.Issuer }, "http://127.0.0.1:8080"},
		{"listen: {http: localhost:80}", func(c *Config) any { return c.Issuer }, "http://localhost:80"},
		{"listen: {check: 0.0.0.0:1, ops: \":2\"}", func(c *Config) any { return c.Listen.Check + " " + c.Listen.Ops }, "0.0.0.0:1 :2"},
		{"issuer: https://idp.example.com/tenant", func(c *Config) any { return c.Issuer + " " + c.Tokens.Audience }, "https://idp.example.com/tenant https://idp.example.com/tenant"},
		{"store: sqlite:/var/lib/../tollgate.db", func(c *Config) any { return c.Store }, Store{SQLite: "/var/tollgate.db"}},
		{"store: 'sqlite::memory:'", func(c *Config) any { return c.Store }, Store{Memory: true}},
		{"tokens: {access_ttl: 1h30m}", func(c *Config) any { return c.Tokens.AccessTTL }, 90 * time.Minute},
		{"limits: {max_memory: 33554432}", func(c *Config) any { return c.Limits.MaxMemory }, int64(32 << 20)},
		{"limits: {max_memory: 1GiB}", func(c *Config) any { return c.Limits.MaxMemory }, int64(1 << 30)},
		{"limits: {max_memory: 65536KiB}", func(c *Config) any { return c.Limits.MaxMemory }, int64(64 << 20)},
		{"plans: {a: {burst: {rate: 1.5e3, size: 1}}}", func(c *Config) any { return c.Plans["a"].Burst.Rate }, 1500.0},
		{"plans: {a: {burst: {rate: 5, size: 1}, warn_at: 1}}", func(c *Config) any { return c.Plans["a"].WarnAt }, 1.0},
		{"apis: [{name: a, hosts: [API.Example.com., \"*.Example.com\"]}]", func(c *Config) any { return c.APIs[0].Hosts }, []string{"api.example.com", "*.example.com"}},
		{"apis: [{name: a, hosts: [a], allow_in_path: [\"%2F\", ;], routes: [{match: \"GET /a;b%2fc\"}]}]", func(c *Config) any { return c.APIs[0].AllowInPath }, []string{"%2f", ";"}},
		{"apis: [{name: a, hosts: [a], routes: [{match: GET /, scopes: [contacts:read, urn:x:y]}]}]", func(c *Config) any { return c.APIs[0].Routes[0].Scopes }, []string{"contacts:read", "urn:x:y"}},
		{"apis: [{name: a, hosts: [a], cors: {allow_origins: [HTTPS://App.example.com:8443, http://localhost:3000, \"*\"]}}]", func(c *Config) any { return c.APIs[0].CORS.AllowOrigins }, []string{"https://app.example.com:8443", "http://localhost:3000", "*"}},
		{"plans: {a: {per_day: 1000000000000, auth_per_day: 1, total_requests: 1000000000000, paid_requests: 1000000000000}}", func(c *Config) any { return *c.Plans["a"] },
			Plan{PerDay: 1e12, AuthPerDay: 1, TotalRequests: 1e12, PaidRequests: 1e12, OnUnavailable: "deny"}},
		{"plans: {a: {per_minute: 5, lockout: 1h30m1s, per_day: 5, on_unavailable: allow, shadow: true}}", func(c *Config) any { return *c.Plans["a"] },
			Plan{PerMinute: 5, Lockout: 90*time.Minute + time.Second, PerDay: 5, OnUnavailable: "allow", Shadow: true}},
		{"plans: {a: {lockout: 0s, on_unavailable: deny}}", func(c *Config) any { return *c.Plans["a"] }, Plan{OnUnavailable: "deny"}},
		{"plans: {a: {per_minute: 5, lockout: 8784h}}", func(c *Config) any { return c.Plans["a"].Lockout }, 8784 * time.Hour},
		{"trust: [{issuer: accounts.example.com, jwks_file: keys/jwks.json, audiences: [a], typ: [Application/AT+JWT, \"\"]}]", func(c *Config) any { return []string{c.Trust[0].JWKSFile, c.Trust[0].Typ[0], c.Trust[0].Typ[1]} }, []string{"/etc/tollgate/keys/jwks.json", "at+jwt", ""}},
		{"trust: [{issuer: http://localhost:9000, audiences: [a], leeway: 0s}]", func(c *Config) any { return c.Trust[0].Leeway }, time.Duration(0)},
		{"\ufeff---\nenforce: false\n...\n", func(c *Config) any { return c.Enforce }, false},
	} {
		if diff := cmp.Diff(tt.want, tt.got(requireConfig(t, tt.text))); diff != "" {
			t.Errorf("%s\n-want +got:\n%s", tt.text, diff)
		}
	}
}

// TestPricesAreExact: a number without quotes is taken as it is written, digit by digit.
func TestPricesAreExact(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		written string
		want    quota.Micros
	}{
		{"0.02", 20_000}, {"1", 1_000_000}, {"0.000001", 1}, {"0.10", 100_000}, {"12.300000", 12_300_000},
		{"999999999.999999", 999_999_999_999_999}, {"900000000.000001", 900_000_000_000_001}, {"0.1", 100_000}, {"4.35", 4_350_000},
	} {
		for _, price := range []string{tt.written, `"` + tt.written + `"`, "'" + tt.written + "'", `"${NONE:-` + tt.written + `}"`} {
			c := requireConfig(t, "apis: [{name: a, hosts: [a], routes: [{match: GET /, price: "+price+"}, {match: POST /}]}]\n")
			if got := c.APIs[0].Routes[0].Price; got != tt.want {
				t.Errorf("%s: got %d, want %d", price, got, tt.want)
			}
			if got := c.APIs[0].Routes[1].Price; got != 0 {
				t.Errorf("no price: got %d", got)
			}
		}
	}
}

func TestVariables(t *testing.T) {
	t.Parallel()
	dir, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ written, want string }{
		{"${HOST}", "api.example.com"},
		{"https://${HOST}/${LIMIT}", "https://api.example.com/100"},
		{"${NONE:-other}", "other"},
		{"${EMPTY:-other}", "other"},
		{"a${EMPTY}b", "ab"},
		{"${HOST:-other}", "api.example.com"},
		{"${NONE:-}x", "x"},
		{"${NONE:-a:-b}", "a:-b"},
		{"${NESTED}", "${HOST}"},
		{"${NONE:-$HOST}", "$HOST"},
		{"$${HOST}", "${HOST}"},
		{"$$${HOST}", "$${HOST}"},
		{"$HOST $5 {HOST}", "$HOST $5 {HOST}"},
		{"${file:secrets/kek}", "0123456789abcdef0123456789abcdef-kek"},
		{"${file:" + dir + "/secrets/kek}!", "0123456789abcdef0123456789abcdef-kek!"},
	} {
		for _, quote := range []string{`"`, "'", ""} {
			c, faults := Parse("tollgate.yaml", []byte("tokens:\n  audience: "+quote+tt.written+quote+"\n"), dir, environment)
			if len(faults) > 0 {
				t.Errorf("%s: %v", tt.written, faults)
				continue
			}
			if c.Tokens.Audience != tt.want {
				t.Errorf("%s: got %q, want %q", tt.written, c.Tokens.Audience, tt.want)
			}
		}
	}
}

// A variable is read as its key needs it.
func TestVariablesOfEveryType(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"NUMBER": "100", "RATE": "0.5", "TRUTH": "false", "TIME": "90s", "SIZE": "64MiB", "STORE": "sqlite::memory:", "WORD": "sandbox",
	}
	text := `
enforce: ${TRUTH}
store: ${STORE}
tokens: {access_ttl: "${TIME}", generations_per_minute: "${NUMBER}"}
client_ip: {trusted_hops: "1${NONE:-0}"}
plans: {default: {burst: {rate: "${RATE}", size: "${NUMBER}"}}}
trust: [{issuer: https://idp.example.com, audiences: ["${NUMBER}"], environment: "${WORD}"}]
limits: {max_memory: "${SIZE}"}
`
	c, faults := Parse("tollgate.yaml", []byte(text), ".", func(name string) (string, bool) {
		value, set := values[name]
		return value, set
	})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	got := []any{c.Enforce, c.Store.Memory, c.Tokens.AccessTTL, c.Tokens.GenerationsPerMinute, c.ClientIP.TrustedHops,
		c.Plans["default"].Burst.Rate, c.Plans["default"].Burst.Size, c.Trust[0].Audiences[0], c.Trust[0].Environment, c.Limits.MaxMemory}
	want := []any{false, true, 90 * time.Second, int64(100), 10, 0.5, int64(100), "100", "sandbox", int64(64 << 20)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestNewlineAtTheEndOfASecretFile(t *testing.T) {
	t.Parallel()
	for contents, want := range map[string]string{"a": "a", "a\n": "a", "a\r\n": "a", "a\n\n": "", "a\r": ""} {
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, "secret"), contents)
		c, faults := Parse("tollgate.yaml", []byte("tokens: {audience: \"${file:secret}\"}\n"), dir, environment)
		switch {
		case want == "" && len(faults) != 1:
			t.Errorf("%q: got %v, want a fault: a line break is left", contents, faults)
		case want != "" && (len(faults) > 0 || c.Tokens.Audience != want):
			t.Errorf("%q: got %v %v, want %q", contents, c, faults, want)
		}
	}
}

func TestSecretFilesAreBoundedAndRegular(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "large"), strings.Repeat("a", maxSecretFile+1))
	for path, want := range map[string]string{
		"large":     "has more than 65536 bytes",
		"/dev/zero": "is not a regular file",
		".":         "is a directory",
	} {
		_, faults := Parse("tollgate.yaml", []byte("tokens: {audience: \"${file:"+path+"}\"}\n"), dir, environment)
		if len(faults) != 1 || !strings.Contains(faults.Error(), want) {
			t.Errorf("%s: got %v, want a fault with %q", path, faults, want)
		}
	}
}
