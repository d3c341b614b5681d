package manage

import (
	"strings"
	"testing"

	"github.com/tollgate-authz/tollgate/tokens"
)

// TestO7_SandboxChangesNothingInProduction: not by an administrator's token of the sandbox
// either, of a client of the sandbox or of one of production.
func TestO7_SandboxChangesNothingInProduction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	boss := w.boss()
	toy := &tokens.Client{
		ID: "toy", Name: "toy", Account: "acme", Plan: "default", Environment: tokens.Sandbox, Scopes: []string{"contacts:read", "tollgate:admin"}, Generation: 1, CreatedAt: w.now(),
		Secrets: []tokens.ClientSecret{{Generation: 1, Hash: w.minter.Pepper.Hash("secret")}},
	}
	if err := w.store.CreateClient(t.Context(), toy); err != nil {
		t.Fatal(err)
	}
	w.follow()
	real := w.do(boss, "POST", "/tokens", object{"scopes": []string{"contacts:read"}}).want(201).text("id")
	minted := w.do(boss, "POST", "/tokens", object{"scopes": []string{"tollgate:admin", "contacts:read"}, "environment": "sandbox"}).want(201).text("token")
	for name, by := range map[string]string{"a client of the sandbox": w.bearer(toy), "a sandbox token of production's": minted} {
		w.do(by, "GET", "/tokens", nil).want(200)
		for _, tt := range []struct {
			method, path string
			body         object
		}{
			{"POST", "/clients", object{"name": "n", "scopes": []string{"a"}}}, {"DELETE", "/clients/boss", nil}, {"POST", "/wallet/credits", object{"amount": "1.00"}},
			{"PATCH", "/tokens/" + real, object{"ttl": 60}}, {"DELETE", "/tokens/" + real, nil},
			{"POST", "/tokens", object{"scopes": []string{"contacts:read"}, "client_id": "boss", "environment": "production"}},
		} {
			var body any
			if tt.body != nil {
				body = tt.body
			}
			if got := w.do(by, tt.method, tt.path, body); got.status != 403 || !strings.Contains(got.raw, "sandbox") {
				t.Errorf("%s: %s %s: %d %s", name, tt.method, tt.path, got.status, got.raw)
			}
		}
		made := w.do(by, "POST", "/tokens", object{"scopes": []string{"contacts:read"}, "client_id": "boss"}).want(201)
		if made.text("environment") != "sandbox" {
			t.Errorf("%s makes a token of %s", name, made.text("environment"))
		}
		w.do(by, "PATCH", "/tokens/"+made.text("id"), object{"rotate": true}).want(200)
		w.do(by, "DELETE", "/tokens/"+made.text("id"), nil).want(204)
	}
}

// TestO1_TokensThatAreTooLong: of a JWT that no gate would read nothing is stored.
func TestO1_TokensThatAreTooLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var scopes []string
	for i := range 60 {
		scopes = append(scopes, strings.Repeat(string(rune('a'+i%26)), 150+i))
	}
	by := w.bearer(w.client("boss", "acme", append(scopes, "tollgate:admin")...), "tollgate:admin")
	if got := w.do(by, "POST", "/tokens", object{"scopes": scopes}).want(422); !strings.Contains(got.raw, "body.scopes") {
		t.Errorf("too long: %s", got.raw)
	}
	if got := w.do(by, "GET", "/tokens", nil); len(got.body["data"].([]any)) != 0 {
		t.Errorf("something was stored: %s", got.raw)
	}
	made := w.do(by, "POST", "/tokens", object{"scopes": scopes[:5]}).want(201)
	w.do(by, "PATCH", "/tokens/"+made.text("id"), object{"scopes": scopes, "rotate": true}).want(422)
	if w.identity(made.text("token")) == nil {
		t.Error("a rotation that was refused ended the token")
	}
}
