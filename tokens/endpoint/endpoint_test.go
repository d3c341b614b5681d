package endpoint

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollgate-authz/tollgate/tokens"
)

// TestI6_TokenByJSON gets tokens at /auth/token and verifies them as the gate does.
func TestI6_TokenByJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tt := range []struct {
		name  string
		q     request
		scope string
	}{
		{"scope left out", jsonRequest(w.client.ID, w.secret, nil), "contacts:read contacts:write"},
		{"scope empty", jsonRequest(w.client.ID, w.secret, ""), "contacts:read contacts:write"},
		{"one scope", jsonRequest(w.client.ID, w.secret, "contacts:write"), "contacts:write"},
		{"a scope twice", jsonRequest(w.client.ID, w.secret, "contacts:write contacts:write"), "contacts:write"},
		{"V1: the alias stands for the ID", jsonRequest("reports", w.secret, nil), "contacts:read contacts:write"},
		{"other members are ignored", jsonBody(`{"extra":{"a":[1]},"client_secret":"` + w.secret.Reveal() + `","client_id":"reports","resource":"x"}`), "contacts:read contacts:write"},
		{"an old token sent along", jsonRequest(w.client.ID, w.secret, nil).with("Authorization", "Bearer x"), "contacts:read contacts:write"},
	} {
		res := w.do(tt.q)
		token := w.verify(res)
		if res.fields.TokenType != "Bearer" || res.fields.ExpiresIn != 3600 || res.fields.Scope != tt.scope {
			t.Errorf("%s: got %v", tt.name, res)
		}
		if got := strings.Join(token.Scopes, " "); got != tt.scope {
			t.Errorf("%s: the token has the scopes %q, want %q", tt.name, got, tt.scope)
		}
		if token.ClientID != w.client.ID || token.Subject != w.client.ID || !token.Expires.Equal(epoch.Add(time.Hour)) {
			t.Errorf("%s: the token is of %s (%s) until %s", tt.name, token.ClientID, token.Subject, token.Expires)
		}
		if d := cmp.Diff([]string{audience}, token.Audience); d != "" {
			t.Errorf("%s: audience: %s", tt.name, d)
		}
	}
}

// TestD3_TokenByForm gets tokens at /oauth2/token in every accepted spelling.
func TestD3_TokenByForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	id, secret := w.client.ID, w.secret
	grant := []string{"grant_type", "client_credentials"}
	for _, tt := range []struct {
		name  string
		q     request
		scope string
	}{
		{"credentials in the body", formRequest(append(grant, "client_id", id, "client_secret", secret.Reveal())...), ""},
		{"Basic", formRequest(grant...).basic(id, secret), ""},
		{"Basic with the same client_id in the body", formRequest(append(grant, "client_id", id)...).basic(id, secret), ""},
		{"Basic, form-encoded by a thorough client", formRequest(grant...).basic(percentEncode(id), tokens.Secret(percentEncode(secret.Reveal()))), ""},
		{"Basic, scheme without case", formRequest(grant...).with("Authorization", strings.Replace(formRequest().basic(id, secret).header.Get("Authorization"), "Basic", "bASIC ", 1)), ""},
		{"V1: the alias", formRequest(grant...).basic("reports", secret), ""},
		{"one scope", formRequest(append(grant, "scope", "contacts:read")...).basic(id, secret), "contacts:read"},
		{"empty parameters are left out", formRequest(append(grant, "scope", "", "resource", "", "client_id", "", "client_secret", "")...).basic(id, secret), ""},
		{"other parameters are ignored", formRequest(append(grant, "audience", "x", "wurst", "ü")...).basic(id, secret), ""},
		{"charset", withType(formRequest(grant...).basic(id, secret), "application/x-www-form-urlencoded; charset=UTF-8"), ""},
		{"a query of somebody else", withTarget(formRequest(grant...).basic(id, secret), pathOAuth2Token+"?trace=1"), ""},
	} {
		if tt.scope == "" {
			tt.scope = "contacts:read contacts:write"
		}
		res := w.do(tt.q)
		if res.status != 200 || res.fields.TokenType != "bearer" || res.fields.ExpiresIn != 3600 || res.fields.Scope != tt.scope {
			t.Errorf("%s: got %v", tt.name, res)
			continue
		}
		if token := w.verify(res); token.ClientID != id {
			t.Errorf("%s: the token is of %s", tt.name, token.ClientID)
		}
	}
}

// percentEncode escapes every character.
func percentEncode(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteString("%" + string("0123456789ABCDEF"[s[i]>>4]) + string("0123456789abcdef"[s[i]&15]))
	}
	return b.String()
}

func TestLifetimeAndAudience(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, secret := w.create("brief", func(c *tokens.Client) { c.TokenTTL = 90 * time.Second })
	res := w.do(formRequest("grant_type", "client_credentials", "resource", apiOne).basic("brief", secret))
	token := w.verify(res)
	if res.fields.ExpiresIn != 90 || !token.Expires.Equal(epoch.Add(90*time.Second)) {
		t.Errorf("expires_in %d, expires %s; want the client's 90 s", res.fields.ExpiresIn, token.Expires)
	}
	if d := cmp.Diff([]string{apiOne}, token.Audience); d != "" {
		t.Errorf("audience: %s", d)
	}
	token = w.verify(w.do(formRequest("grant_type", "client_credentials", "resource", audience).basic("brief", secret)))
	if d := cmp.Diff([]string{audience}, token.Audience); d != "" {
		t.Errorf("audience: %s", d)
	}
	for _, resource := range []string{"https://api.example/two", apiOne + "/", "HTTPS://api.example/one", "x"} {
		res := w.do(formRequest("grant_type", "client_credentials", "resource", resource).basic("brief", secret))
		if res.want(t, 400, "R0"); res.fields.Error != "invalid_target" {
			t.Errorf("resource %q: got %v, want invalid_target", resource, res)
		}
	}
	// Strangers do not learn which audiences there are.
	w.do(formRequest("grant_type", "client_credentials", "resource", "x").basic("brief", "wrong")).want(t, 401, "R1")
}

// TestI7_OrderOfRefusals gives requests two faults each; the first in the
// contract's order must answer.
func TestI7_OrderOfRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, elsewhere := w.create("elsewhere", trusted("203.0.113.0/24"))
	_, spent := w.create("spent", trusted("192.0.2.0/24"))
	for range 10 {
		w.do(jsonRequest("spent", spent, nil)).want(t, 200, "")
	}
	for _, tt := range []struct {
		name   string
		q      request
		status int
		code   string
	}{
		{"malformed before client", jsonBody(`{"client_id":"nobody","client_secret":1}`), 400, "R0"},
		{"client before source", jsonRequest("elsewhere", "wrong", nil), 401, "R1"},
		{"client before scope", jsonRequest("reports", "wrong", "nonsense"), 401, "R1"},
		{"source before scope", jsonRequest("elsewhere", elsewhere, "nonsense"), 403, "R4"},
		{"client before generations", jsonRequest("spent", "wrong", nil), 401, "R1"},
		{"source before generations", jsonRequest("spent", spent, nil).from("198.51.100.1"), 403, "R4"},
		{"generations before scope", jsonRequest("spent", spent, "nonsense"), 429, "R3"},
		{"scope", jsonRequest("reports", w.secret, "nonsense"), 401, "R2"},
		{"unknown grant type before client", formRequest("grant_type", "password").basic("nobody", "wrong"), 400, "R0"},
	} {
		if res := w.do(tt.q); !res.is(tt.status, tt.code) {
			t.Errorf("%s: got %v, want %d %s", tt.name, res, tt.status, tt.code)
		}
	}
}

// TestUnknownClientLooksLikeWrongSecret: callers must not learn which clients exist.
func TestUnknownClientLooksLikeWrongSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, ask := range []func(id string) request{
		func(id string) request { return jsonRequest(id, "wrong", nil) },
		func(id string) request { return formRequest("grant_type", "client_credentials").basic(id, "wrong") },
	} {
		want := w.do(ask("reports"))
		want.want(t, 401, "R1")
		for _, id := range []string{"nobody", strings.Repeat("a", 5000), "a/b", "ü", "%", "' OR 1=1 --"} {
			got := w.do(ask(id))
			if got.body != want.body || !cmp.Equal(got.header, want.header) {
				t.Errorf("%.20q: got %v %v, want %v %v", id, got, got.header, want, want.header)
			}
		}
	}
}

// TestStoreSeesNoStrangeNames: what cannot be a client is not looked for.
func TestStoreSeesNoStrangeNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.records.fail("Client")
	for id, status := range map[string]int{"reports": 503, "a.b_c-D1": 503, "a/b": 401, "a b": 401, "a\x00": 401, "ä": 401, strings.Repeat("a", 128): 503, strings.Repeat("a", 129): 401} {
		if res := w.do(jsonRequest(id, "x", nil)); res.status != status {
			t.Errorf("%.20q: got %v, want %d", id, res, status)
		}
	}
}

// TestI10_TrustedIPs restricts a client to a network, seen directly and through
// proxies.
func TestI10_TrustedIPs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, v4 := w.create("four", trusted("203.0.113.0/24"))
	_, v6 := w.create("six", trusted("2001:db8:1::/48"))
	for _, tt := range []struct {
		name, alias string
		secret      tokens.Secret
		source      string
		hops        int
		forwarded   []string
		ok          bool
	}{
		{"inside", "four", v4, "203.0.113.9", 0, nil, true},
		{"IPv4-mapped", "four", v4, "::ffff:203.0.113.9", 0, nil, true},
		{"outside", "four", v4, "203.0.114.9", 0, nil, false},
		{"IPv6 inside", "six", v6, "2001:db8:1::9", 0, nil, true},
		{"IPv6 outside", "six", v6, "2001:db8:2::9", 0, nil, false},
		{"a forged header", "four", v4, "10.0.0.1", 0, []string{"203.0.113.9"}, false},
		{"behind one proxy", "four", v4, "10.0.0.1", 1, []string{"203.0.113.9"}, true},
		{"behind one proxy, outside", "four", v4, "10.0.0.1", 1, []string{"203.0.113.9, 198.51.100.1"}, false},
		{"behind a proxy that appends itself", "four", v4, "10.0.0.1", 1, []string{"203.0.113.9, 10.0.0.1"}, true},
		{"behind two proxies, in two lines", "four", v4, "10.0.0.1", 2, []string{"198.51.100.1, 203.0.113.9", "10.0.0.2"}, true},
		{"too few entries", "four", v4, "10.0.0.1", 2, []string{"203.0.113.9"}, false},
		{"no address", "four", v4, "10.0.0.1", 1, []string{"unknown"}, false},
	} {
		w.settings.TrustedHops = tt.hops
		for _, q := range []request{jsonRequest(tt.alias, tt.secret, nil), formRequest("grant_type", "client_credentials").basic(tt.alias, tt.secret)} {
			q = q.from(tt.source)
			q.header["X-Forwarded-For"] = tt.forwarded
			res := w.do(q)
			w.advance(time.Minute)
			if tt.ok && !res.is(200, "") || !tt.ok && !res.is(403, "R4") {
				t.Errorf("%s: got %v", tt.name, res)
			}
		}
	}
	w.settings.TrustedHops = 0
	q := jsonRequest("four", v4, nil)
	q.source = "@" // a Unix socket
	w.do(q).want(t, 403, "R4")
}

// TestI2_EditsAndDeletionHoldAtOnce, which is: once the change was followed.
func TestI2_EditsAndDeletionHoldAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.edit(w.client.ID, onlyScopes("contacts:read"))
	w.do(jsonRequest("reports", w.secret, "contacts:write")).want(t, 401, "R2")
	if res := w.do(jsonRequest("reports", w.secret, nil)); res.fields.Scope != "contacts:read" {
		t.Errorf("got %v, want the scope that is left", res)
	}
	w.must(w.db.DeleteClient(t.Context(), w.client.ID, nil))
	w.follow()
	w.do(jsonRequest("reports", w.secret, nil)).want(t, 401, "R1")
}

func TestPathsAndMethods(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tt := range []struct {
		method, target string
		status         int
		allow          string
	}{
		{"GET", pathAuthToken, 405, "POST"},
		{"HEAD", pathAuthToken, 405, "POST"},
		{"PUT", pathOAuth2Token, 405, "POST"},
		{"OPTIONS", pathOAuth2Token, 405, "POST"},
		{"post", pathOAuth2Token, 405, "POST"},
		{"GET", pathOAuth2Token + "?grant_type=client_credentials", 405, "POST"},
		{"POST", pathKeySet, 405, "GET, HEAD"},
		{"DELETE", pathMetadata, 405, "GET, HEAD"},
		{"GET", pathKeySet, 200, ""},
		{"HEAD", pathKeySet, 200, ""},
		{"HEAD", pathMetadata, 200, ""},
		{"GET", "/", 404, ""},
		{"POST", "/auth/token/", 404, ""},
		{"POST", "//auth/token", 404, ""},
		{"POST", "/auth/../auth/token", 404, ""},
		{"POST", "/Auth/Token", 404, ""},
		{"POST", "/auth%2ftoken", 404, ""},
		{"POST", "/auth/%74oken", 404, ""},
		{"HEAD", "/nowhere", 404, ""},
	} {
		res := w.do(request{method: tt.method, target: tt.target})
		if res.status != tt.status || res.header.Get("Allow") != tt.allow {
			t.Errorf("%s %s: got %v with Allow %q, want %d with %q", tt.method, tt.target, res, res.header.Get("Allow"), tt.status, tt.allow)
		}
		if (tt.method == "HEAD") != (res.body == "") || res.header.Get("Content-Length") == "0" {
			t.Errorf("%s %s: body %q, Content-Length %s", tt.method, tt.target, res.body, res.header.Get("Content-Length"))
		}
		if tt.status != 200 && tt.method != "HEAD" && res.fields.Code != "R0" {
			t.Errorf("%s %s: got %v, want R0", tt.method, tt.target, res)
		}
		wantCache := "no-store"
		if tt.status == 200 {
			wantCache = "public, max-age=300"
		}
		if got := res.header.Get("Cache-Control"); got != wantCache {
			t.Errorf("%s %s: Cache-Control %q, want %q", tt.method, tt.target, got, wantCache)
		}
	}
}

// TestRealServer goes over a connection, where net/http adds its own opinions.
func TestRealServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	for _, tt := range []struct {
		name, contentType, body string
		status                  int
	}{
		{"too large", "application/json", strings.Repeat(" ", maxBody+1), 413},
		{"3 MB", "application/x-www-form-urlencoded", strings.Repeat("a", 3<<20), 413},
		{"as large as may be", "application/json", strings.Repeat(" ", maxBody), 400},
		{"100,000 parameters", "application/x-www-form-urlencoded", strings.Repeat("&", 60<<10), 400},
	} {
		path := pathAuthToken
		if tt.contentType != "application/json" {
			path = pathOAuth2Token
		}
		res, err := http.Post(server.URL+path, tt.contentType, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != tt.status || res.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: got %s, %s; want %d", tt.name, res.Status, res.Header.Get("Content-Type"), tt.status)
		}
		if err := res.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}
