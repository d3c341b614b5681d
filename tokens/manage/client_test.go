package manage

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollgate-authz/tollgate/tokens"
)

func TestI1_ClientIsMadeAndItsSecretShownOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	made := o.by("POST", "/clients", object{
		"name": "Night job", "scopes": []string{"b", "a", "b"}, "ip_allow": []string{"203.0.113.7", "2001:db8::/32"}, "token_ttl": 900, "plan": "gold",
		"environment": "sandbox", "alias": "night-job", "account": "eu/umbrella", "format": "opaque", "refresh": true,
	}).want(201)
	id, secret := made.text("id"), made.text("client_secret")
	want := object{
		"id": id, "client_id": id, "name": "Night job", "scopes": []any{"a", "b"}, "ip_allow": []any{"203.0.113.7/32", "2001:db8::/32"},
		"token_ttl": 900.0, "plan": "gold", "environment": "sandbox", "alias": "night-job", "account": "eu/umbrella", "format": "opaque",
		"refresh": true, "status": "active", "created_at": "2026-11-23T10:00:00Z",
	}
	for _, target := range []string{"/clients/" + id, "/clients/night-job"} {
		shown := o.by("GET", target, nil).want(200).hides(secret)
		if diff := cmp.Diff(want, shown.body); diff != "" {
			t.Errorf("%s (-want +got):\n%s", target, diff)
		}
		if shown.header.Get("ETag") != made.header.Get("ETag") {
			t.Error("the ETag is another one than when it was made")
		}
	}
	o.by("GET", "/clients", nil).want(200).says(id).hides(secret)
	o.by("PATCH", "/clients/"+id, object{"scopes": []string{"a"}}).want(200).hides(secret)
	if g := o.registry.Client(id).Secret(o.minter.Pepper, tokens.Secret(secret), o.now()); g != 1 {
		t.Errorf("the secret is of generation %d, want 1", g)
	}
	if o.registry.Account("eu/umbrella") == nil {
		t.Error("its account was not made")
	}
}

func TestI1_WhatIsLeftOutIsTheCommandLinesDefault(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	made := o.by("POST", "/clients", object{"name": "n", "scopes": []string{"a"}}).want(201)
	for name, want := range map[string]any{"plan": "default", "environment": "production", "account": "acme", "refresh": false, "token_ttl": nil, "format": nil, "alias": nil} {
		if got := made.body[name]; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	classic := o.by("POST", "/clients", object{"name": "n", "scopes": []string{"a"}, "format": "classic"}).want(201)
	if classic.body["refresh"] != true || len(classic.text("id")) != 24 || len(classic.text("client_secret")) != 10 {
		t.Errorf("no classic client: %s", classic.raw)
	}
}

func TestI1_AllThatIsWrongWithAClientIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.by("POST", "/clients", object{
		"name": "\u0007", "scopes": []any{"ok", "not ok"}, "ip_allow": []string{"10.0.0.1/8"}, "token_ttl": "1h", "alias": "X",
		"environment": "moon", "account": " ", "format": "xml", "refresh": "yes", "colour": "red",
	}).wantFaults("body.name", "body.scopes[1]", "body.ip_allow[0]", "body.token_ttl", "body.alias", "body.alias",
		"body.environment", "body.account", "body.format", "body.refresh", "body.colour")
	o.by("POST", "/clients", object{}).want(422).says("name").says("scopes")
	o.by("POST", "/clients", object{"name": "n", "scopes": []string{}}).wantFaults("body.scopes")
	o.by("POST", "/clients", object{"name": "n", "scopes": []string{"a"}, "plan": "platinum"}).wantFaults("body.plan").says("default, gold").hides("platinum")
	o.by("POST", "/clients", `{"name":"n","name":"m","scopes":["a"]}`).want(400)
	if got := o.ids(o.boss, "/clients", "id", 10); !slices.Equal(got, []string{"boss"}) {
		t.Errorf("clients were made: %q", got)
	}
}

func TestV1_AnAliasIsOneClients(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	first := o.by("POST", "/clients", object{"name": "n", "scopes": []string{"a"}, "alias": "reports"}).want(201)
	o.by("POST", "/clients", object{"name": "n", "scopes": []string{"a"}, "alias": "reports"}).want(409).says("alias").hides("reports")
	o.by("POST", "/clients", object{"name": "n", "scopes": []string{"a"}, "alias": "boss"}).want(409).hides("boss")
	o.by("DELETE", "/clients/reports", nil).want(204)
	again := o.by("POST", "/clients", object{"name": "n", "scopes": []string{"a"}, "alias": "reports"}).want(201)
	if o.by("GET", "/clients/reports", nil).want(200).text("id") != again.text("id") {
		t.Error("the alias does not stand for its new client")
	}
	o.by("GET", "/clients/"+first.text("id"), nil).want(404)
}

func TestI2_OnlyScopesAddressesAndStatusOfAClientChange(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	c := o.client("worker", "acme", "tollgate:scopes:read", "b")
	before := o.by("GET", "/clients/worker", nil).want(200)
	all := object{"scopes": []string{"z"}}
	var locations []string
	for _, name := range []string{"name", "token_ttl", "plan", "environment", "alias", "account", "format", "refresh"} {
		for _, value := range []any{"x", 7, nil, true, object{"a": 1}, before.body[name]} {
			o.by("PATCH", "/clients/worker", object{name: value}).wantFaults("body." + name).says("fixed when the client is made")
		}
		all[name], locations = "x", append(locations, "body."+name)
	}
	o.by("PATCH", "/clients/worker", all).wantFaults(locations...)
	o.by("PATCH", "/clients/worker", object{"id": "x", "client_secret": "y"}).wantFaults("body.id", "body.client_secret")
	if after := o.by("GET", "/clients/worker", nil).want(200); after.raw != before.raw {
		t.Errorf("it changed: %s, was %s", after.raw, before.raw)
	}

	bearer := o.bearer(c)
	o.do(bearer, "GET", "/scopes", nil).want(200)
	o.by("PATCH", "/clients/worker", object{"ip_allow": []string{"198.51.100.0/24"}}).want(200).says("198.51.100.0/24")
	o.do(bearer, "GET", "/scopes", nil).want(403) // at once
	o.by("PATCH", "/clients/worker", object{"ip_allow": []string{}}).want(200)
	o.do(bearer, "GET", "/scopes", nil).want(200)
	o.by("PATCH", "/clients/worker", object{"status": "suspended"}).want(200).says(`"status":"suspended"`)
	o.do(bearer, "GET", "/scopes", nil).want(401)
	o.by("PATCH", "/clients/worker", object{"status": "active"}).want(200).says(`"status":"active"`)
	o.do(bearer, "GET", "/scopes", nil).want(200)
	o.by("PATCH", "/clients/worker", object{"scopes": []string{"b"}}).want(200).hides("tollgate:")
	o.do(bearer, "GET", "/scopes", nil).want(403)
	o.by("PATCH", "/clients/worker", object{"status": "without_secret"}).wantFaults("body.status")
	o.by("PATCH", "/clients/worker", object{"scopes": []string{}}).wantFaults("body.scopes")
	o.by("PATCH", "/clients/nobody", object{"scopes": []string{"a"}}).want(404).says("client")
}

func TestI2_DeletingAClientEndsItsTokensAtOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	bearer := o.bearer(o.client("worker", "acme", "tollgate:scopes:read"))
	o.do(bearer, "GET", "/scopes", nil).want(200)
	etag := o.by("GET", "/clients/worker", nil).header.Get("ETag")
	o.by("PATCH", "/clients/worker", object{"status": "suspended"}).want(200)
	o.by("PATCH", "/clients/worker", object{"status": "active"}, "If-Match", etag).want(412)
	o.by("DELETE", "/clients/worker", nil, "If-Match", etag).want(412)
	o.by("PATCH", "/clients/worker", object{"status": "active"}, "If-Match", "*").want(200)
	o.by("DELETE", "/clients/worker", nil, "If-Match", etag).want(204)
	o.do(bearer, "GET", "/scopes", nil).want(401)
	o.by("DELETE", "/clients/worker", nil).want(404).says("client")
}

func TestI2_OfTwoChangesAtOnceOneIsRefused(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.client("worker", "acme", "a")
	etag := o.by("GET", "/clients/worker", nil).header.Get("ETag")
	var wg sync.WaitGroup
	answers := make([]*answer, 2)
	for i, scope := range []string{"x", "y"} {
		wg.Go(func() {
			answers[i] = o.by("PATCH", "/clients/worker", object{"scopes": []string{scope}}, "If-Match", etag)
		})
	}
	wg.Wait()
	statuses := []int{answers[0].status, answers[1].status}
	slices.Sort(statuses)
	if !slices.Equal(statuses, []int{200, 412}) {
		t.Fatalf("statuses %v, want one 200 and one 412: %s %s", statuses, answers[0].raw, answers[1].raw)
	}
}

func TestI2_ClientsAreListedByPages(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	want := []string{"boss"}
	for _, id := range []string{"c1", "c2", "c3", "c4"} {
		o.advance(time.Second)
		o.client(id, map[bool]string{true: "acme", false: "other"}[id < "c3"], "a")
		want = append(want, id)
	}
	for _, limit := range []int{1, 2, 5, 50} {
		if got := o.ids(o.boss, "/clients", "id", limit); !slices.Equal(got, want) {
			t.Errorf("limit %d: %q, want %q", limit, got, want)
		}
	}
	o.by("GET", "/clients?account=other", nil).want(200).says("c3").says("c4").hides("c2")
	o.by("GET", "/clients?cursor=nonsense", nil).wantFaults("query.cursor")
	o.by("GET", "/clients?acount=other", nil).want(422)
}

func TestV2_SecretsRotateAndEndWithTheirTokens(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	bearer := o.bearer(o.client("worker", "acme", "tollgate:scopes:read"))
	works := func(secret string) bool {
		return o.registry.Client("worker").Secret(o.minter.Pepper, tokens.Secret(secret), o.now()) != 0
	}
	made := o.by("POST", "/clients/worker/secret", object{"overlap": 60}).want(201)
	second := made.text("client_secret")
	want := object{"client_id": "worker", "client_secret": second, "generation": 2.0, "old_secret_until": "2026-11-23T10:01:00Z"}
	if diff := cmp.Diff(want, made.body); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !works("secret") || !works(second) {
		t.Error("during the overlap both secrets work")
	}
	o.advance(time.Minute)
	if works("secret") || !works(second) {
		t.Error("after the overlap the new secret works alone")
	}
	o.do(bearer, "GET", "/scopes", nil).want(200) // rotation ends no token
	third := o.by("POST", "/clients/worker/secret", nil).want(201).text("client_secret")
	if works(second) || !works(third) {
		t.Error("without overlap the old secret ends at once")
	}
	o.by("GET", "/clients/worker", nil).want(200).hides(second).hides(third)

	etag := o.by("GET", "/clients/worker", nil).header.Get("ETag")
	o.by("DELETE", "/clients/worker/secret", nil).want(204)
	o.by("PATCH", "/clients/worker", object{}, "If-Match", etag).want(200) // nobody has edited it
	o.do(bearer, "GET", "/scopes", nil).want(401)
	if works(third) {
		t.Error("a revoked secret works")
	}
	o.by("GET", "/clients/worker", nil).want(200).says(`"status":"without_secret"`)
	o.by("DELETE", "/clients/worker/secret", nil).want(204)
	fourth := o.by("POST", "/clients/worker/secret", object{}).want(201).hides("old_secret_until")
	if !works(fourth.text("client_secret")) || fourth.body["generation"] != 4.0 {
		t.Errorf("the new secret does not work: %s", fourth.raw)
	}
	o.by("POST", "/clients/worker/secret", object{"overlap": -1, "secret": "mine"}).wantFaults("body.overlap", "body.secret")
	o.by("POST", "/clients/nobody/secret", nil).want(404)
	o.by("DELETE", "/clients/nobody/secret", nil).want(404)
}
