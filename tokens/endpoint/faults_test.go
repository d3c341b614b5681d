package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tollgate-authz/tollgate/tokens"
)

// fakeClients fails, or panics, where it is told to.
type fakeClients struct {
	Clients
	err    error
	panics any
}

var errStore = errors.New("the disk is on fire")

func (f *fakeClients) Client(ctx context.Context, idOrAlias string) (*tokens.Client, error) {
	if f.panics != nil {
		panic(f.panics)
	}
	if f.err != nil {
		return nil, f.err
	}
	return f.Clients.Client(ctx, idOrAlias)
}

// TestOwnFaults are 503 with R0 and Retry-After, tell the caller nothing and the
// observer everything.
func TestOwnFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		change  func(*Config)
		targets []string
		tells   string
	}{
		{"store", func(c *Config) { c.Clients = &fakeClients{err: errStore} }, []string{pathAuthToken, pathOAuth2Token}, errStore.Error()},
		{"panic", func(c *Config) { c.Clients = &fakeClients{panics: "oh no"} }, []string{pathAuthToken, pathOAuth2Token}, "panic: oh no"},
		{"no key", func(c *Config) { c.Issuer = func() *tokens.Issuer { return nil } }, []string{pathAuthToken, pathOAuth2Token, pathMetadata}, "signing key"},
		{"no key set", func(c *Config) { c.KeySet = func() []byte { return nil } }, []string{pathKeySet}, "key set"},
	} {
		w := newWorld(t, tt.change)
		for _, target := range tt.targets {
			q := jsonRequest("reports", w.secret, nil)
			switch target {
			case pathOAuth2Token:
				q = formRequest("grant_type", "client_credentials").basic("reports", w.secret)
			case pathKeySet, pathMetadata:
				q = request{method: "GET", target: target}
			}
			res := w.do(q)
			res.want(t, 503, "R0")
			if res.fields.Message != "Service Unavailable" || res.header.Get("Retry-After") != "5" || res.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s, %s: got %v %v", tt.name, target, res, res.header)
			}
			if want := map[string]string{pathOAuth2Token: "temporarily_unavailable"}[target]; res.fields.Error != want {
				t.Errorf("%s, %s: error %q, want %q", tt.name, target, res.fields.Error, want)
			}
			ev := w.events[len(w.events)-1]
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
			Event{Endpoint: pathOAuth2Token, Status: 400, Code: "R2", Cause: "a scope that the client does not have", Client: w.client.ID, Source: "192.0.2.1"}},
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
	clients := &fakeClients{}
	w := newWorld(t, func(c *Config) { clients.Clients = c.Clients; c.Clients = clients })
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
	for _, fault := range []fakeClients{{}, {err: errStore}, {panics: "oh no"}} {
		clients.err, clients.panics = fault.err, fault.panics
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
	clients.err, clients.panics = nil, nil
	w.events = nil
	token := w.do(jsonRequest("reports", w.secret, nil)).fields.AccessToken
	if token == "" || strings.Contains(events(), token) || strings.Contains(events(), secret) {
		t.Errorf("token %q; events %s", token, events())
	}
}
