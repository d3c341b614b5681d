package endpoint

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tollgate-authz/tollgate/tokens"
)

// TestOwnFaults are 503 with R0 and Retry-After, tell the caller nothing and the
// observer everything.
func TestOwnFaults(t *testing.T) {
	t.Parallel()
	noKeys := func(c *Config) { c.Keys = tokens.NewKeyRing(issuerURL, nil, c.Now) }
	all := []string{pathAuthToken, pathOAuth2Token, pathRevoke, pathIntrospect}
	for _, tt := range []struct {
		name    string
		change  func(*Config)
		meddle  func(string) error
		targets []string
		tells   string
	}{
		{"store", nil, func(string) error { return errStore }, all, errStore.Error()},
		{"panic", nil, func(string) error { panic("oh no") }, all, "panic: oh no"},
		{"no key", noKeys, nil, []string{pathAuthToken, pathOAuth2Token}, "signing key"},
		{"no key set", noKeys, nil, []string{pathKeySet}, "key set"},
	} {
		w := newWorld(t, func(c *Config) {
			if tt.change != nil {
				tt.change(c)
			}
		})
		w.records.set(tt.meddle)
		for _, target := range tt.targets {
			q := withTarget(formRequest("grant_type", "client_credentials", "token", "x").basic("reports", w.secret), target)
			switch target {
			case pathAuthToken:
				q = jsonRequest("reports", w.secret, nil)
			case pathKeySet:
				q = request{method: "GET", target: target}
			}
			res := w.do(q)
			res.want(t, 503, "R0")
			if res.fields.Message != "Service Unavailable" || res.header.Get("Retry-After") != "5" || res.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s, %s: got %v %v", tt.name, target, res, res.header)
			}
			want := "temporarily_unavailable"
			if target == pathAuthToken || target == pathKeySet {
				want = ""
			}
			if res.fields.Error != want {
				t.Errorf("%s, %s: error %q, want %q", tt.name, target, res.fields.Error, want)
			}
			ev := w.lastEvent()
			if ev.Endpoint != target || ev.Status != 503 || ev.Code != "R0" || ev.Err == nil || !strings.Contains(ev.Err.Error(), tt.tells) {
				t.Errorf("%s, %s: event %+v, want an error with %q", tt.name, target, ev, tt.tells)
			}
		}
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, elsewhere := w.create("elsewhere", trusted("203.0.113.0/24"))
	for _, tt := range []struct {
		q    request
		want Event
	}{
		{jsonRequest("reports", w.secret, nil), Event{Endpoint: pathAuthToken, Status: 200, Code: "ok", Client: w.client.ID, Source: "192.0.2.1"}},
		{jsonRequest("reports", "x", nil), Event{Endpoint: pathAuthToken, Status: 401, Code: "R1", Cause: "wrong secret", Client: w.client.ID, Source: "192.0.2.1"}},
		{jsonRequest("nobody", "x", nil), Event{Endpoint: pathAuthToken, Status: 401, Code: "R1", Cause: "unknown client", Source: "192.0.2.1"}},
		{formRequest("grant_type", "client_credentials", "scope", "x").basic("reports", w.secret),
			Event{Endpoint: pathOAuth2Token, Status: 400, Code: "R2", Cause: "a scope that is not there to be given", Client: w.client.ID, Source: "192.0.2.1"}},
		{jsonRequest("nobody", "x", nil).from("fe80::1%free text"), Event{Endpoint: pathAuthToken, Status: 401, Code: "R1", Cause: "unknown client", Source: "fe80::1"}},
		{formBody(""), Event{Endpoint: pathOAuth2Token, Status: 400, Code: "R0", Cause: "malformed", Source: "192.0.2.1"}},
		{request{method: "GET", target: pathKeySet}, Event{Endpoint: pathKeySet, Status: 200, Code: "ok"}},
		{request{method: "GET", target: "/etc/passwd"}, Event{Endpoint: "other", Status: 404, Code: "R0", Cause: "no such path"}},
		{request{method: "BREW", target: pathKeySet}, Event{Endpoint: pathKeySet, Status: 405, Code: "R0", Cause: "method not allowed"}},
		{jsonRequest("elsewhere", elsewhere, nil).from("2001:db8::1"), Event{Endpoint: pathAuthToken, Status: 403, Code: "R4", Cause: "source outside the trusted addresses", Source: "2001:db8::1"}},
	} {
		w.events = nil
		w.do(tt.q)
		if len(w.events) != 1 {
			t.Fatalf("%d events, want 1", len(w.events))
		}
		got := w.events[0]
		if tt.want.Code == "R4" {
			got.Client = ""
		}
		if got != tt.want {
			t.Errorf("got %+v, want %+v", got, tt.want)
		}
	}
}

// TestNoSecretLeaks puts secrets in all the right and wrong places and looks for
// them in the answers and events.
func TestNoSecretLeaks(t *testing.T) {
	t.Parallel()
	const canary = "CANARY-4f1d"
	w := newWorld(t)
	secret := string(w.secret)
	_, elsewhere := w.create("elsewhere", trusted("203.0.113.0/24"))
	grant := func(more ...string) request {
		return formRequest(append([]string{"grant_type", "client_credentials"}, more...)...)
	}
	requests := []request{
		jsonRequest("reports", canary, nil), jsonRequest(canary, "x", nil), jsonRequest("reports", w.secret, canary),
		jsonRequest("reports", w.secret, canary+"  "), jsonRequest("elsewhere", elsewhere, nil),
		jsonBody(canary), jsonBody(`{"` + canary + `":1,"` + canary + `":2}`), jsonBody(`{"client_id":{"` + canary + `":1}}`),
		jsonBody(`{"client_id":"` + canary + `","client_secret":["` + canary + `"]}`), jsonBody(`"` + canary + `\x"`),
		withTarget(jsonRequest("reports", w.secret, nil), pathAuthToken+"?client_secret="+canary),
		withTarget(jsonRequest("reports", w.secret, nil), pathAuthToken+"?"+canary+"=%zz"),
		withTarget(jsonRequest("reports", w.secret, nil), "/"+canary),
		withType(jsonRequest("reports", canary, nil), canary),
		grant("client_id", "reports", "client_secret", canary), grant().basic("reports", canary), grant().basic(canary, canary),
		grant("client_secret", canary).basic("reports", canary), grant("client_id", canary).basic("reports", canary),
		grant("resource", canary).basic("reports", w.secret), grant("scope", canary).basic("reports", w.secret),
		grant().with("Authorization", canary), grant().with("Authorization", "Bearer "+canary), grant().with("Authorization", "Basic "+canary),
		grant().with("Authorization", canary).with("Authorization", canary),
		formRequest("grant_type", canary), formBody(canary + "=1&" + canary + "=2"), formBody("client_secret=" + canary + "%"),
		{method: canary, target: pathOAuth2Token},
	}
	events := func() string {
		var b strings.Builder
		for _, ev := range w.events {
			j, err := json.Marshal(ev)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%+v %s\n", ev, j)
		}
		return b.String()
	}
	for _, meddle := range []func(string) error{nil, func(string) error { return errStore }, func(string) error { panic("oh no") }} {
		w.records.set(meddle)
		for i, q := range requests {
			w.events = nil
			res := w.do(q.from(fmt.Sprintf("203.0.114.%d", i)))
			if res.status == http.StatusOK {
				t.Errorf("request %d was granted: it is no test of refusals", i)
			}
			for place, text := range map[string]string{"body": res.body, "header": fmt.Sprint(res.header), "event": events()} {
				for _, leak := range []string{canary, secret, string(elsewhere)} {
					if strings.Contains(text, leak) {
						t.Errorf("request %d: %s shows %q: %s", i, place, leak, text)
					}
				}
			}
		}
	}
	w.records.set(nil)
	w.events = nil
	token := w.do(jsonRequest("reports", w.secret, nil)).fields.AccessToken
	if token == "" || strings.Contains(events(), token) || strings.Contains(events(), secret) {
		t.Errorf("token %q; events %s", token, events())
	}
}
