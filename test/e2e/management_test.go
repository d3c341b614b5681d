package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// portal is somebody with a bearer token at the management API.
type portal struct {
	*stack
	bearer string
}

// said is an answer of the management API.
type said struct {
	answer
	t    *testing.T
	body map[string]any
}

func (p portal) ask(method, path string, body any, header ...string) said {
	p.t.Helper()
	var sent strings.Builder
	if body != nil {
		if err := json.NewEncoder(&sent).Encode(body); err != nil {
			p.t.Fatal(err)
		}
	}
	req, err := http.NewRequest(method, "http://"+p.http+path, strings.NewReader(sent.String()))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.bearer)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	a := said{answer: p.do(req), t: p.t}
	if a.answer.body != "" {
		if err := json.Unmarshal([]byte(a.answer.body), &a.body); err != nil {
			p.t.Errorf("%s %s: %d %s", method, path, a.status, a.answer.body)
		}
	}
	return a
}

func (a said) want(status int) said {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.answer.body)
	}
	return a
}

func (a said) text(name string) string {
	text, _ := a.body[name].(string)
	return text
}

// list is the data of a page, or of a member that is one.
func (a said) list(member string) (list []map[string]any) {
	a.t.Helper()
	page := a.body
	if member != "" {
		page, _ = a.body[member].(map[string]any)
	}
	data, ok := page["data"].([]any)
	if !ok {
		a.t.Fatalf("no page: %s", a.answer.body)
	}
	for _, one := range data {
		list = append(list, one.(map[string]any))
	}
	return list
}

type object = map[string]any

// newPortal starts a stack, and an administrator of the account acme.
func newPortal(t *testing.T, envoy string) portal {
	s := newTollgate(t, atNoon(limitsConfig))
	s.startEnvoy(envoy)
	boss := s.client("--scope", "tollgate:admin,contacts:read,contacts:write", "--account", "acme")
	return portal{s, s.token(boss)}
}

// code is what Envoy answers with: the R-code of a refusal, "" for a request that passed.
func (s *stack) code(path, bearer string, header ...string) string {
	s.t.Helper()
	a := s.patiently(func() answer { return s.get(path, bearer, header...) })
	if (a.status == http.StatusOK) != (a.header.Get("x-tollgate-code") == "") {
		s.t.Errorf("%s: %d with the code %q", path, a.status, a.header.Get("x-tollgate-code"))
	}
	return a.header.Get("x-tollgate-code")
}

func (s *stack) wantCode(what, want, path, bearer string) {
	s.t.Helper()
	if got := s.code(path, bearer); got != want {
		s.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// TestO1_O2_TokensOverHTTP: made, used up, changed, rotated and ended; each change holds
// for the next request through Envoy.
func TestO1_O2_TokensOverHTTP(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		p := newPortal(t, envoy)
		made := p.ask("POST", "/tokens", object{"name": "night job", "scopes": []string{"contacts:read"}, "limits": object{"total_requests": 6}}).want(201)
		path, bearer := "/tokens/"+made.text("id"), made.text("token")
		p.wantCode("a new token", "", "/v1/free", bearer)
		p.wantCode("without the scope", "R6", "/v1/scoped", bearer)
		changed := p.ask("PATCH", path, object{"scopes": []string{"contacts:write"}}, "If-Match", made.header.Get("ETag")).want(200)
		p.wantCode("with the scope", "", "/v1/scoped", bearer)
		p.ask("PATCH", path, object{"ttl": 60}, "If-Match", made.header.Get("ETag")).want(412)
		p.ask("PATCH", path, object{"ip_allow": []string{"203.0.113.7"}}, "If-Match", changed.header.Get("ETag")).want(200)
		p.wantCode("from elsewhere", "R4", "/v1/free", bearer)
		p.ask("PATCH", path, object{"ip_allow": []string{}}).want(200)
		p.wantCode("from anywhere", "", "/v1/free", bearer)

		// Rotated: what was used counts on.
		second := p.ask("PATCH", path, object{"refresh_token": made.text("refresh_token")}).want(200)
		p.wantCode("the token before", "R1", "/v1/free", bearer)
		p.wantCode("the rotated token", "", "/v1/free", second.text("token"))
		if got := p.ask("PATCH", path, object{"refresh_token": made.text("refresh_token")}).want(400); got.text("error") != "invalid_grant" {
			t.Errorf("an old refresh token: %s", got.answer.body)
		}
		third := p.ask("PATCH", path, object{"rotate": true, "overlap": 60}).want(200)
		p.wantCode("the token before, in the overlap", "", "/v1/free", second.text("token"))
		p.wantCode("the third token", "", "/v1/free", third.text("token"))
		p.wantCode("the seventh of six requests", "R3", "/v1/free", third.text("token"))
		shown := p.ask("GET", path, nil).want(200)
		if used := shown.body["used"].(object); used["total_requests"] != 6.0 || shown.text("status") != "active" {
			t.Errorf("it is shown as %s", shown.answer.body)
		}
		p.ask("PATCH", path, object{"limits": object{"total_requests": 7}}).want(200)
		p.wantCode("one request more", "", "/v1/free", third.text("token"))
		p.ask("PATCH", path, object{"limits": object{"total_requests": nil}}).want(200)
		p.wantCode("without a limit", "", "/v1/free", third.text("token"))

		// The command line knows the same token, and the token endpoint its refresh token.
		if r := p.recordedTokens()[made.text("id")]; r.Name != "night job" || r.Status != "active" {
			t.Errorf("token list shows %+v", r)
		}
		p.ask("DELETE", path, nil).want(204)
		p.wantCode("a deleted token", "R1", "/v1/free", third.text("token"))
		p.ask("GET", path, nil).want(404)

		sandbox := p.ask("POST", "/tokens", object{"scopes": []string{"contacts:read"}, "environment": "sandbox"}).want(201).text("token")
		p.wantCode("a sandbox token in production", "R1", "/v1/free", sandbox)
		if a := p.request(http.MethodGet, "sandbox.example.com", "/v1/free", sandbox); a.status != http.StatusOK {
			t.Errorf("a sandbox token in the sandbox: %d %s", a.status, a.body)
		}
	})
}

// TestO3_O4_O5_PortalOverHTTP: what a developer's portal shows is what happened.
func TestO3_O4_O5_PortalOverHTTP(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		p := newPortal(t, envoy)
		names := map[string]bool{}
		for _, one := range p.ask("GET", "/scopes", nil).want(200).list("") {
			names[one["name"].(string)] = true
		}
		if !names["contacts:write"] || !names["GET:api.example.com/v1/priced"] || !names["GET:sandbox.example.com/v1/free"] {
			t.Errorf("scopes: %v", names)
		}
		made := p.ask("POST", "/tokens", object{"scopes": []string{"contacts:read", "GET:api.example.com/v1/priced"}}).want(201)
		bearer := made.text("token")
		p.wantCode("an empty wallet", "R3", "/v1/priced", bearer)
		credit := object{"amount": "0.05", "what": "a start"}
		first := p.ask("POST", "/wallet/credits", credit, "Idempotency-Key", "order-1").want(201)
		again := p.ask("POST", "/wallet/credits", credit, "Idempotency-Key", "order-1").want(201)
		if first.text("credits") != "0.05" || again.text("credits") != "0.05" {
			t.Errorf("a credit that was asked for twice: %s, then %s", first.answer.body, again.answer.body)
		}
		p.ask("POST", "/wallet/credits", object{"amount": "7.00"}, "Idempotency-Key", "order-1").want(409)
		for range 2 {
			p.wantCode("a paid request", "", "/v1/priced", bearer)
		}
		p.wantCode("more than the wallet has", "R3", "/v1/priced", bearer)
		p.wantCode("a free request", "", "/v1/free", bearer)
		p.wantCode("a scope that is missing", "R6", "/v1/scoped", bearer)

		p.until("the ledger has heard of it", func() bool { _, n := p.spentOf("acme"); return n >= 2 })
		wallet := p.ask("GET", "/wallet?limit=1", nil).want(200)
		var sum quota.Micros
		for page := wallet; ; {
			for _, one := range page.list("transactions") {
				var amount quota.Micros
				if err := amount.UnmarshalText([]byte(one["amount"].(string))); err != nil {
					t.Fatal(err)
				}
				sum += amount
			}
			cursor, _ := page.body["transactions"].(object)["next_cursor"].(string)
			if cursor == "" {
				break
			}
			page = p.ask("GET", "/wallet?limit=1&cursor="+cursor, nil).want(200)
		}
		if wallet.text("credit") != "0.01" || sum.String() != "0.01" {
			t.Errorf("the wallet has %s, its transactions add up to %s", wallet.text("credit"), sum)
		}

		var stats said
		p.until("what was counted is stored", func() bool {
			stats = p.ask("GET", "/stats?group_by=route,code&account=acme", nil).want(200)
			return stats.body["requests"].(float64)-stats.body["errors"].(float64) == 6 // errors are questions that the ledger did not answer in time
		})
		if stats.body["allowed"] != 3.0 || stats.body["paid_calls"] != 2.0 || stats.text("paid_amount") != "0.04" || stats.body["refused"].(object)["R3"] != 2.0 || stats.body["refused"].(object)["R6"] != 1.0 {
			t.Errorf("statistics: %s", stats.answer.body)
		}
		if addresses := stats.body["addresses"].([]any); len(addresses) != 1 || addresses[0].(object)["address"] != "127.0.0.1" {
			t.Errorf("addresses: %v", addresses)
		}
		decided := p.ask("GET", "/decisions?code=R6&token_id="+made.text("id"), nil).want(200).list("")
		if len(decided) != 1 || decided[0]["path"] != "/v1/scoped" || decided[0]["step"] != "scope" || strings.Contains(fmt.Sprint(decided), bearer) {
			t.Errorf("decisions: %v", decided)
		}
	})
}

// TestDecisionsOverHTTP: a stream tells what is decided, to an account its own only, goes
// on where it was cut, and ends with the process.
func TestDecisionsOverHTTP(t *testing.T) {
	oneEnvoy(t, func(t *testing.T, envoy string) {
		p := newPortal(t, envoy)
		mine := p.client("--scope", "tollgate:decisions:read,contacts:read", "--account", "globex")
		theirs := p.ask("POST", "/tokens", object{"scopes": []string{"contacts:read"}}).want(201).text("token")
		narrow := portal{p.stack, p.token(mine)}
		stream := narrow.follow("")
		p.wantCode("another's request", "", "/v1/free", theirs)
		p.wantCode("a request", "", "/v1/free", narrow.bearer)
		p.wantCode("a refused request", "R6", "/v1/scoped", narrow.bearer)
		first := stream.next()
		if first.Data["account"] != "globex" || first.Data["path"] != "/v1/free" || first.Data["code"] != "allow" {
			t.Errorf("the first event: %+v", first)
		}
		if second := stream.next(); second.Data["code"] != "R6" || second.Data["cause"] == "" {
			t.Errorf("the second event: %+v", second)
		}
		if again := narrow.follow(first.ID).next(); again.Data["code"] != "R6" {
			t.Errorf("after %s comes %+v", first.ID, again)
		}
		narrow.ask("GET", "/decisions?account=acme", nil).want(404)
	})
}

type event struct {
	ID   string
	Data map[string]any
}

// eventStream is a stream of server-sent events.
type eventStream struct {
	t     *testing.T
	lines *bufio.Scanner
}

func (p portal) follow(after string) *eventStream {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.http+"/decisions?follow=1", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.bearer)
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	client := http.Client{Timeout: 30 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		p.t.Fatalf("%d %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	return &eventStream{p.t, bufio.NewScanner(resp.Body)}
}

// next is the next decision.
func (s *eventStream) next() (e event) {
	s.t.Helper()
	for s.lines.Scan() {
		switch name, value, _ := strings.Cut(s.lines.Text(), ": "); name {
		case "id":
			e.ID = value
		case "data":
			if err := json.Unmarshal([]byte(value), &e.Data); err != nil {
				s.t.Fatal(err)
			}
			return e
		}
	}
	s.t.Fatalf("the stream has ended: %v", s.lines.Err())
	return e
}

// TestI2_I3_CredentialsOverHTTP: an administrator makes a client and ends it; a developer
// is told clearly that he cannot.
func TestI2_I3_CredentialsOverHTTP(t *testing.T) {
	oneEnvoy(t, func(t *testing.T, envoy string) {
		p := newPortal(t, envoy)
		made := p.ask("POST", "/clients", object{"name": "partner", "scopes": []string{"contacts:read", "tollgate:developer"}, "account": "globex"}).want(201)
		c := credential{made.text("client_id"), made.text("client_secret")}
		bearer := p.token(c)
		p.wantCode("a token of a client that was made over HTTP", "", "/v1/free", bearer)
		developer := portal{p.stack, bearer}
		refused := developer.ask("POST", "/clients", object{"name": "x", "scopes": []string{"contacts:read"}}).want(403)
		if !strings.Contains(refused.text("detail"), "administrator") || refused.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("a developer is told %s", refused.answer.body)
		}
		fixed := p.ask("PATCH", "/clients/"+c.ID, object{"name": "other", "token_ttl": 60}).want(422)
		if !strings.Contains(fixed.answer.body, "body.name") || !strings.Contains(fixed.answer.body, "body.token_ttl") {
			t.Errorf("a change of what is fixed: %s", fixed.answer.body)
		}
		p.ask("PATCH", "/clients/"+c.ID, object{"ip_allow": []string{"203.0.113.7"}}).want(200)
		p.wantCode("from elsewhere", "R4", "/v1/free", bearer)
		developer.ask("GET", "/tokens", nil).want(403)
		p.ask("PATCH", "/clients/"+c.ID, object{"ip_allow": []string{}}).want(200)
		next := p.ask("POST", "/clients/"+c.ID+"/secret", object{"overlap": 60}).want(201)
		if another := p.token(credential{c.ID, next.text("client_secret")}); p.code("/v1/free", another) != "" || p.token(c) == "" {
			t.Error("a secret and the one before it do not both work in the overlap")
		}
		p.ask("DELETE", "/clients/"+c.ID+"/secret", nil).want(204)
		p.wantCode("after the secret was ended", "R1", "/v1/free", bearer)
		p.ask("DELETE", "/clients/"+c.ID, nil).want(204)
		p.ask("GET", "/clients/"+c.ID, nil).want(404)
	})
}
