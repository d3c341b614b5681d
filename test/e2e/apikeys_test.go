package e2e

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// keysConfig has APIs for each way to take API keys.
const keysConfig = `
tokens: {generations_per_minute: 1000}
plans:
  default: {burst: {rate: 1000, size: 1000}, per_minute: 100000}
apis:
  - name: contacts
    hosts: [api.example.com]
    auth: any
    api_key: {header: x-api-key, query: api_key}
    routes: [{match: "GET /v1/free"}, {match: "GET /v1/contacts/{id}", scopes: [contacts:read]}]
  - name: billing
    hosts: [billing.example.com]
    auth: any
    api_key: {header: x-api-key}
    routes: [{match: "GET /v1/free"}]
  - name: legacy
    hosts: [legacy.example.com]
    auth: api_key
    api_key: {header: x-legacy-key, query: key}
    routes: [{match: "GET /v1/free"}]
  - name: modern
    hosts: [modern.example.com]
    routes: [{match: "GET /v1/free"}]
`

// apiKey is a key as api-key create prints it.
type apiKey struct {
	ID  string `json:"id"`
	Key string `json:"api_key"`
}

func (s *stack) apiKey(args ...string) apiKey {
	s.t.Helper()
	var k apiKey
	out := s.tollgate(append([]string{"api-key", "create", "--name", "test", "--output", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &k); err != nil || k.ID == "" || k.Key == "" {
		s.t.Fatalf("api-key create printed %q: %v", out, err)
	}
	return k
}

// codedAt is the R-code at a host of keysConfig; header as for request.
func (s *stack) codedAt(host, path, bearer string, header ...string) string {
	s.t.Helper()
	a := s.request(http.MethodGet, host, path, bearer, header...)
	if code := a.header.Get("x-tollgate-code"); code != "" || a.status == http.StatusOK {
		return code
	}
	return http.StatusText(a.status)
}

// TestI5_APIKeys: made by command, sent by header or query, seen by nobody behind us.
func TestI5_APIKeys(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newTollgate(t, keysConfig)
		s.startEnvoy(envoy)
		k := s.apiKey("--scope", "contacts:read", "--account", "acme")
		if !strings.HasPrefix(k.Key, "tgk_") || len(k.Key) != 50 {
			t.Errorf("the key is %q", k.Key)
		}
		if list := s.tollgate("api-key", "list", "--output", "json"); !strings.Contains(list, k.ID) || strings.Contains(list, k.Key) {
			t.Errorf("api-key list:\n%s", list)
		}
		s.catchUp()
		const host = "api.example.com"
		a := s.request(http.MethodGet, host, "/v1/contacts/7?b=2&a=1", "", "X-Api-Key", k.Key)
		seen := s.upstream.last()
		if a.status != http.StatusOK || seen == nil {
			t.Fatalf("by header: %d %s", a.status, a.body)
		}
		for name, want := range map[string]string{
			"x-api-key": "", "x-tollgate-client": k.ID, "x-tollgate-account": "acme", "x-tollgate-scopes": "contacts:read", "x-tollgate-environment": "production", "x-tollgate-token-id": k.ID,
		} {
			if got := strings.Join(seen.Header.Values(name), "|"); got != want {
				t.Errorf("the upstream sees %s %q, want %q", name, got, want)
			}
		}
		s.apiKeyQueries(k)
		s.apiKeyRefusals(k)
		limited := s.request(http.MethodGet, host, "/v1/free", "", "x-api-key", k.Key)
		if limited.header.Get("ratelimit") == "" {
			t.Error("no RateLimit for a key")
		}
		s.tollgate("api-key", "delete", k.ID)
		s.endsWithin(follows, "api-key delete", "R1", func() string { return s.codedAt(host, "/v1/free", "", "x-api-key", k.Key) })
		if _, says, status := s.tryTollgate("api-key", "delete", k.ID); status != 1 || !strings.Contains(says, "not found") {
			t.Errorf("deleted again: status %d, %q", status, says)
		}
	})
}

// apiKeyQueries sends a key as a parameter: it is taken out, the others keep what
// was written. It is Envoy that sorts them by name and adds the = of those without.
func (s *stack) apiKeyQueries(k apiKey) {
	for _, query := range []string{"api_key=KEY", "api_key=KEY&a=1", "a=1&api_key=KEY", "b=2&api_key=KEY&a=%20x+y&b=1&empty&=&c=%c3%a4&d=a=b", "a=KEYS&api_key=KEY&api_keys=1&xapi_key=2"} {
		path := "/v1/free?" + strings.ReplaceAll(query, "KEY", k.Key)
		if got := s.codedAt("api.example.com", path, ""); got != "" {
			s.t.Errorf("%s: %s", path, got)
			continue
		}
		seen := s.upstream.last()
		var want []string
		for pair := range strings.SplitSeq(strings.ReplaceAll(query, "KEY", k.Key), "&") {
			if !strings.Contains(pair, "=") {
				pair += "=" // Envoy adds it
			}
			if !strings.HasPrefix(pair, "api_key=") {
				want = append(want, pair)
			}
		}
		got := slices.DeleteFunc(strings.Split(seen.URL.RawQuery, "&"), func(pair string) bool { return pair == "" })
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) || seen.URL.Path != "/v1/free" {
			s.t.Errorf("%s: the upstream sees %q %q, want %q", query, seen.URL.Path, got, want)
		}
	}
}

func (s *stack) apiKeyRefusals(k apiKey) {
	const basic, sent, keyOnly = `Bearer realm="tollgate"`, `Bearer realm="tollgate", error="invalid_token"`, `ApiKey realm="tollgate"`
	wrong := k.Key[:len(k.Key)-1] + "?"
	bearer := s.token(s.client("--scope", "contacts:read", "--account", "bearers"))
	before := s.upstream.count()
	for _, tt := range []struct {
		what, host, path, bearer, challenge string
		header                              []string
	}{
		{"none", "api.example.com", "/v1/free", "", basic, nil},
		{"a wrong key", "api.example.com", "/v1/free", "", sent, []string{"x-api-key", wrong}},
		{"an empty key", "api.example.com", "/v1/free", "", basic, []string{"x-api-key", ""}},
		{"a Bearer and a key in the query, its name escaped", "api.example.com", "/v1/free?api%5Fkey=" + k.Key, bearer, sent, nil},
		{"another API's header", "api.example.com", "/v1/free", "", basic, []string{"x-legacy-key", k.Key}},
		{"a Bearer and a key", "api.example.com", "/v1/free", bearer, sent, []string{"x-api-key", k.Key}},
		{"a Bearer and a key in the query", "api.example.com", "/v1/free?api_key=" + k.Key, bearer, sent, nil},
		{"a Bearer and a wrong key", "api.example.com", "/v1/free", bearer, sent, []string{"x-api-key", wrong}},
		{"the key as a Bearer", "api.example.com", "/v1/free", k.Key, sent, nil},
		{"two keys", "api.example.com", "/v1/free", "", sent, []string{"x-api-key", k.Key, "x-api-key", k.Key}},
		{"header and query", "api.example.com", "/v1/free?api_key=" + k.Key, "", sent, []string{"x-api-key", k.Key}},
		{"two in the query", "api.example.com", "/v1/free?api_key=" + k.Key + "&api_key=" + k.Key, "", sent, nil},
		{"a name in other letters", "api.example.com", "/v1/free?API_KEY=" + k.Key, "", basic, nil},
		{"keys only: none", "legacy.example.com", "/v1/free", "", keyOnly, nil},
		{"keys only: a Bearer", "legacy.example.com", "/v1/free", bearer, keyOnly, nil},
		{"keys only: a wrong key", "legacy.example.com", "/v1/free?key=" + wrong, "", keyOnly, nil},
		{"tokens only", "modern.example.com", "/v1/free", "", basic, []string{"x-api-key", k.Key}},
	} {
		a := s.request(http.MethodGet, tt.host, tt.path, tt.bearer, tt.header...)
		if a.header.Get("www-authenticate") != tt.challenge {
			s.t.Errorf("%s: challenge %q, want %q", tt.what, a.header.Get("www-authenticate"), tt.challenge)
		}
		checkRefusal(s.t, refusal{tt.what, 401, "R1", "Invalid Token", tt.challenge, nil}, a)
	}
	if got := s.codedAt("legacy.example.com", "/v1/free", "", "x-legacy-key", k.Key); got != "" {
		s.t.Errorf("keys only: %s", got)
	}
	if seen := s.upstream.last(); s.upstream.count() != 0 && seen == nil || seen.Header.Get("x-legacy-key") != "" || before != 0 {
		s.t.Errorf("the upstream sees %v", seen.Header)
	}
	narrow := s.apiKey("--api", "billing")
	s.catchUp()
	if got := s.codedAt("billing.example.com", "/v1/free", "", "x-api-key", narrow.Key); got != "" {
		s.t.Errorf("at the API it is for: %s", got)
	}
	if got := s.codedAt("api.example.com", "/v1/free", "", "x-api-key", narrow.Key); got != "R1" {
		s.t.Errorf("at another API: %q, want R1", got)
	}
	if got := s.codedAt("api.example.com", "/v1/contacts/7", "", "x-api-key", s.scopeless().Key); got != "R6" {
		s.t.Errorf("without the scope: %q, want R6", got)
	}
}

func (s *stack) scopeless() apiKey {
	k := s.apiKey()
	s.catchUp()
	return k
}

// TestI5_OAuthTakesOver: the first request with a token that is allowed ends an
// account's API keys at that API.
func TestI5_OAuthTakesOver(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newTollgate(t, keysConfig)
		s.startEnvoy(envoy)
		acme, globex := s.apiKey("--scope", "contacts:read", "--account", "acme"), s.apiKey("--scope", "contacts:read", "--account", "globex")
		bearer := s.token(s.client("--scope", "other:scope", "--account", "acme"))
		s.catchUp()
		const api, billing = "api.example.com", "billing.example.com"
		byKey := func(host string, k apiKey) string {
			t.Helper()
			header := map[string]string{api: "x-api-key", billing: "x-api-key", "legacy.example.com": "x-legacy-key"}[host]
			return s.codedAt(host, "/v1/free", "", header, k.Key)
		}
		expect := func(when string, want map[string]string) {
			t.Helper()
			for what, got := range map[string]string{
				"acme at contacts": byKey(api, acme), "acme at billing": byKey(billing, acme), "acme at legacy": byKey("legacy.example.com", acme),
				"globex at contacts": byKey(api, globex), "globex at billing": byKey(billing, globex),
			} {
				if got != want[what] {
					t.Errorf("%s, %s: %q, want %q", when, what, got, want[what])
				}
			}
		}
		moves := func() (list []moveView) {
			t.Helper()
			if err := json.Unmarshal([]byte(s.tollgate("api-key", "moves", "list", "--output", "json")), &list); err != nil {
				t.Fatal(err)
			}
			return list
		}
		expect("before", nil)
		if got := s.codedAt(api, "/v1/contacts/7", bearer); got != "R6" {
			t.Errorf("a token without the scope: %q, want R6", got)
		}
		s.tollgate("explain", "--url", "http://api.example.com/v1/free", "--header", "Authorization: Bearer "+bearer)
		if got := s.codedAt("modern.example.com", "/v1/free", bearer); got != "" {
			t.Errorf("an API without keys: %q", got)
		}
		expect("after a refused request, an explanation and one at an API without keys", nil)
		if list := moves(); len(list) != 0 {
			t.Errorf("marks: %v", list)
		}

		if got := s.codedAt(api, "/v1/free", bearer); got != "" {
			t.Fatalf("the first request with a token: %s", got)
		}
		marked := map[string]string{"acme at contacts": "R1"}
		expect("after the first request with a token", marked)
		s.until("the mark is stored", func() bool { return len(moves()) == 1 })
		if list := moves(); list[0].Account != "acme" || list[0].API != "contacts" || list[0].Client == "" {
			t.Errorf("api-key moves list: %v", list)
		}
		s.until("the log tells of it", func() bool { return strings.Contains(s.log.String(), `uses OAuth 2.0 at an API from now on`) })
		if _, says, status := s.tryTollgate("api-key", "create", "--name", "x", "--account", "acme", "--api", "contacts"); status != 1 || !strings.Contains(says, "OAuth 2.0") || !strings.Contains(says, "contacts") {
			t.Errorf("a new key for it: status %d, %q", status, says)
		}
		s.apiKey("--account", "acme", "--api", "billing")
		acme2 := s.apiKey("--account", "acme", "--scope", "contacts:read") // for what is left
		s.catchUp()
		if got := byKey(api, acme2); got != "R1" {
			t.Errorf("a new key for every API, at the marked one: %q, want R1", got)
		}

		s.stopServe(syscall.SIGKILL)
		s.startServe()
		s.until("Envoy is connected again", func() bool { return byKey(billing, acme) != "R0" })
		expect("after a kill", marked)

		s.tollgate("api-key", "moves", "undo", "--account", "acme", "--api", "contacts")
		s.endsWithin(follows, "api-key moves undo", "", func() string { return byKey(api, acme) })
		expect("taken back", nil)
		s.until("the log tells of it", func() bool { return strings.Contains(s.log.String(), `accepted at an API again`) })
		if _, says, status := s.tryTollgate("api-key", "moves", "undo", "--account", "acme", "--api", "contacts"); status != 1 || !strings.Contains(says, "not found") {
			t.Errorf("taken back again: status %d, %q", status, says)
		}
		if got := s.codedAt(api, "/v1/free", bearer); got != "" {
			t.Errorf("the next request with a token: %q", got)
		}
		expect("after the next request with a token", marked)
	})
}

// moveView is a mark as api-key moves list prints it.
type moveView struct {
	Account, API string
	Client       string `json:"client_id"`
	At           time.Time
}

// TestQueryIsLeftAlone: requests that bring no key in their query keep it as it was
// written, at an API that would take one there.
func TestQueryIsLeftAlone(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newTollgate(t, keysConfig)
		s.startEnvoy(envoy)
		bearer := s.token(s.client("--scope", "contacts:read"))
		const query = "b=2&a=%20x+y&b=1&empty&&=&c=%c3%a4"
		if got := s.codedAt("api.example.com", "/v1/free?"+query, bearer); got != "" {
			t.Fatalf("refused: %s", got)
		}
		if seen := s.upstream.last(); seen.URL.RawQuery != query {
			t.Errorf("the upstream sees %q, want %q", seen.URL.RawQuery, query)
		}
	})
}
