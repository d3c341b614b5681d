package manage

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollgate-authz/tollgate/tokens"
)

// move marks an API as moved to OAuth 2.0 for an account.
func (o *office) move(account, api string) {
	o.t.Helper()
	if err := o.store.AddMove(o.t.Context(), &tokens.Move{Account: account, API: api, Client: "boss", At: o.now()}); err != nil {
		o.t.Fatal(err)
	}
	o.follow()
}

func TestI5_AnAPIKeyIsMadeAndShownOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	made := o.by("POST", "/api-keys", object{
		"name": "Old thing", "scopes": []string{"b", "a"}, "ip_allow": []string{"203.0.113.0/24"}, "apis": []string{"legacy"}, "plan": "gold",
		"environment": "sandbox", "account": "umbrella", "ttl": 3600,
	}).want(201)
	id, key := made.text("id"), made.text("api_key")
	want := object{
		"id": id, "name": "Old thing", "scopes": []any{"a", "b"}, "ip_allow": []any{"203.0.113.0/24"}, "apis": []any{"legacy"}, "plan": "gold",
		"environment": "sandbox", "account": "umbrella", "refused_at": []any{}, "status": "active",
		"created_at": "2026-11-23T10:00:00Z", "expires_at": "2026-11-23T11:00:00Z",
	}
	shown := o.by("GET", "/api-keys/"+id, nil).want(200).hides(key)
	if diff := cmp.Diff(want, shown.body); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if shown.header.Get("ETag") != made.header.Get("ETag") {
		t.Error("the ETag is another one than when it was made")
	}
	o.by("GET", "/api-keys", nil).want(200).says(id).hides(key)
	changed := o.by("PATCH", "/api-keys/"+id, object{"scopes": []string{}, "ip_allow": []string{"::1"}}, "If-Match", shown.header.Get("ETag")).want(200).hides(key)
	changed.says(`"scopes":[]`).says("::1/128")
	o.by("PATCH", "/api-keys/"+id, object{"scopes": []string{"a"}}, "If-Match", shown.header.Get("ETag")).want(412)
	o.by("DELETE", "/api-keys/"+id, nil, "If-Match", shown.header.Get("ETag")).want(412)
	o.advance(time.Hour)
	o.by("GET", "/api-keys/"+id, nil).want(200).says(`"status":"expired"`)
	if o.registry.APIKey(id) == nil {
		t.Fatal("the registry does not know the key")
	}
	o.by("DELETE", "/api-keys/"+id, nil, "If-Match", changed.header.Get("ETag")).want(204)
	if o.registry.APIKey(id) != nil {
		t.Error("the registry knows the key after its end")
	}
	o.by("GET", "/api-keys/"+id, nil).want(404).says("API key")
	o.by("DELETE", "/api-keys/"+id, nil).want(404)
}

func TestI5_WhatIsWrongWithAnAPIKey(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.by("POST", "/api-keys", object{"name": " ", "scopes": []string{"a b"}, "ip_allow": []any{"here", 7}, "ttl": 0, "colour": 1}).
		wantFaults("body.name", "body.scopes[0]", "body.ip_allow[1]", "body.ip_allow[0]", "body.ip_allow[1]", "body.ttl", "body.colour")
	o.by("POST", "/api-keys", object{"name": "n", "ttl": 60, "expires_at": "2027-01-01T00:00:00Z"}).wantFaults("body.expires_at")
	o.by("POST", "/api-keys", object{"name": "n", "apis": []string{"legacy", "gold"}, "plan": "legacy", "expires_at": "2026-11-23T10:00:00Z"}).
		wantFaults("body.apis[1]", "body.plan", "body.expires_at").says("contacts, legacy").says("default, gold")
	o.by("POST", "/api-keys", object{"name": "n", "expires_at": "9999-01-01T00:00:00Z"}).wantFaults("body.expires_at")
	o.by("POST", "/api-keys", object{"name": "n", "expires_at": "2027-01-01T01:00:00+01:00"}).want(201).says(`"expires_at":"2027-01-01T00:00:00Z"`)
	id := o.by("POST", "/api-keys", object{"name": "n"}).want(201).hides("expires_at").text("id")
	all, locations := object{}, []string{}
	for _, name := range []string{"name", "apis", "plan", "environment", "account", "ttl", "expires_at"} {
		o.by("PATCH", "/api-keys/"+id, object{name: nil}).wantFaults("body." + name).says("fixed")
		all[name], locations = "x", append(locations, "body."+name)
	}
	o.by("PATCH", "/api-keys/"+id, all).wantFaults(locations...)
	o.settings.KeyAPIs = nil
	o.by("POST", "/api-keys", object{"name": "n"}).want(409).says("no API of the configuration takes API keys")
}

func TestI5_NoKeysAreMadeWhereOAuthHasTakenOver(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	older := o.by("POST", "/api-keys", object{"name": "older"}).want(201).says(`"refused_at":[]`)
	o.move("acme", "contacts")
	both := o.by("POST", "/api-keys", object{"name": "both"}).want(201).says(`"refused_at":["contacts"]`)
	o.by("GET", "/api-keys/"+both.text("id"), nil).want(200).says(`"refused_at":["contacts"]`)
	o.by("GET", "/api-keys/"+older.text("id"), nil, "If-Match", older.header.Get("ETag")).want(200).says(`"refused_at":["contacts"]`)
	o.by("POST", "/api-keys", object{"name": "n", "apis": []string{"contacts"}}).want(409).says("OAuth 2.0 has taken over").says("contacts")
	o.by("POST", "/api-keys", object{"name": "n", "apis": []string{"legacy", "contacts"}}).want(409)
	o.by("POST", "/api-keys", object{"name": "n", "apis": []string{"legacy"}}).want(201).says(`"refused_at":[]`)
	o.by("POST", "/api-keys", object{"name": "n", "account": "other", "apis": []string{"contacts"}}).want(201)

	// A move that this process has seen and not stored yet.
	o.registry.MoveNow(&tokens.Move{Account: "acme", API: "legacy"})
	o.by("POST", "/api-keys", object{"name": "n"}).want(409)
	if got := o.ids(o.boss, "/api-keys", "name", 2); !slices.Contains(got, "older") || len(got) != 4 {
		t.Errorf("keys: %q", got)
	}
}

// An account has moved, and the registry has not heard of it yet.
func TestI5_TheStoreHasTheLastWord(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	if err := o.store.AddMove(t.Context(), &tokens.Move{Account: "acme", API: "contacts", Client: "boss", At: o.now()}); err != nil {
		t.Fatal(err)
	}
	o.by("POST", "/api-keys", object{"name": "n", "apis": []string{"contacts"}}).want(409).says("OAuth 2.0 has taken over")
}
