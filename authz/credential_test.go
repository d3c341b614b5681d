package authz

import (
	"crypto/rand"
	"net/netip"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// withKeys has an API that takes API keys and tokens, and one that takes keys only.
func withKeys(c *PolicyConfig) {
	c.APIs = append(c.APIs, &API{
		Name: "mixed", Hosts: []string{"mixed.example.com"}, SandboxHosts: []string{"mixed-sandbox.example.com"}, ForwardToken: true,
		Keys:   KeySource{Header: "x-api-key", Query: "api_key"},
		Routes: []*Route{{Name: "mixed.get", Pattern: "GET /v1/{id}", Scopes: []string{"contacts:read"}, Source: "t.yaml:9:1"}},
	}, &API{
		Name: "keys", Hosts: []string{"keys.example.com"}, KeysOnly: true, ForwardToken: true, Keys: KeySource{Header: "x-other-key"},
		Routes: []*Route{{Pattern: "GET /v1/{id}", Source: "t.yaml:10:1"}},
	})
}

// apiKey makes an API key known to the gate.
func (w *world) apiKey(t testing.TB, change ...func(*tokens.APIKey)) (string, *tokens.APIKey) {
	t.Helper()
	key, hash, id, err := tokens.NewAPIKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k := &tokens.APIKey{
		ID: id, Hash: hash, Name: "k", Account: "acme", Plan: "default", Environment: tokens.Production, Scopes: []string{"contacts:read"}, CreatedAt: w.now,
	}
	for _, f := range change {
		f(k)
	}
	w.change(t, tokens.Changes{APIKeys: map[string]*tokens.APIKey{id: k}})
	return key.Reveal(), k
}

// at is a request at a host, with an API key in a header when there is one.
func at(host, path, header, key string) Request {
	r := Request{Method: "GET", Host: host, Path: path, Peer: netip.MustParseAddr("192.0.2.10")}
	if key != "" {
		r.APIKeys = []Header{{header, key}}
	}
	return r
}

func (r Request) with(bearer string) Request {
	r.Authorization, r.Authorizations = "Bearer "+bearer, 1
	return r
}

func wantCode(t *testing.T, what string, d Decision, code string) {
	t.Helper()
	got := ""
	if reason := d.Refusal(); reason != nil {
		got = reason.Code
	}
	if got != code {
		t.Errorf("%s: got %q (%v), want %q", what, got, d.Cause, code)
	}
}

func TestI5_APIKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withKeys)
	key, k := w.apiKey(t)
	bearer := w.token(t, "contacts:read")
	twice := at("mixed.example.com", "/v1/7", "x-api-key", key)
	twice.APIKeys = append(twice.APIKeys, twice.APIKeys[0])
	narrow, _ := w.apiKey(t, func(k *tokens.APIKey) { k.Scopes = nil })
	elsewhere, _ := w.apiKey(t, func(k *tokens.APIKey) { k.TrustedIPs = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")} })
	sandbox, _ := w.apiKey(t, func(k *tokens.APIKey) { k.Environment = tokens.Sandbox })
	other, _ := w.apiKey(t, func(k *tokens.APIKey) { k.APIs = []string{"keys"} })
	brief, _ := w.apiKey(t, func(k *tokens.APIKey) { k.ExpiresAt = w.now.Add(time.Hour) })
	over, _ := w.apiKey(t, func(k *tokens.APIKey) { k.ExpiresAt = w.now.Add(-time.Second) })
	for what, tt := range map[string]struct {
		req  Request
		code string
	}{
		"by header":                             {at("mixed.example.com", "/v1/7", "x-api-key", key), ""},
		"by query":                              {at("mixed.example.com", "/v1/7?a=1&api_key="+key+"&b=2", "", ""), ""},
		"by header at the API of keys":          {at("keys.example.com", "/v1/7", "x-other-key", key), ""},
		"another API's header":                  {at("keys.example.com", "/v1/7", "x-api-key", key), "R1"},
		"query where only the header is":        {at("keys.example.com", "/v1/7?api_key="+key, "", ""), "R1"},
		"where only tokens are accepted":        {at("api.example.com", "/v1/free", "x-api-key", key), "R1"},
		"header twice":                          {twice, "R1"},
		"header and query":                      {at("mixed.example.com", "/v1/7?api_key="+key, "x-api-key", key), "R1"},
		"query twice":                           {at("mixed.example.com", "/v1/7?api_key="+key+"&api_key="+key, "", ""), "R1"},
		"key and token together":                {at("mixed.example.com", "/v1/7", "x-api-key", key).with(bearer), "R1"},
		"key and token at the API of keys":      {at("keys.example.com", "/v1/7", "x-other-key", key).with(bearer), "R1"},
		"token where only keys are":             {at("keys.example.com", "/v1/7", "", "").with(bearer), "R1"},
		"nothing":                               {at("mixed.example.com", "/v1/7", "", ""), "R1"},
		"key, its parameter escaped":            {at("mixed.example.com", "/v1/7?api%5Fkey="+key, "", ""), "R1"},
		"token and key, its parameter escaped":  {at("mixed.example.com", "/v1/7?%61pi_key="+key, "", "").with(bearer), "R1"},
		"key, and an empty parameter":           {at("mixed.example.com", "/v1/7?api_key=", "x-api-key", key), ""},
		"empty header":                          {Request{Method: "GET", Host: "mixed.example.com", Path: "/v1/7", APIKeys: []Header{{"x-api-key", ""}}}, "R1"},
		"junk":                                  {at("mixed.example.com", "/v1/7", "x-api-key", key[:len(key)-1]+"!"), "R1"},
		"unknown":                               {at("mixed.example.com", "/v1/7", "x-api-key", strange(t)), "R1"},
		"without the scope":                     {at("mixed.example.com", "/v1/7", "x-api-key", narrow), "R6"},
		"from elsewhere":                        {at("mixed.example.com", "/v1/7", "x-api-key", elsewhere), "R4"},
		"a sandbox key at production":           {at("mixed.example.com", "/v1/7", "x-api-key", sandbox), "R1"},
		"a sandbox key at the sandbox":          {at("mixed-sandbox.example.com", "/v1/7", "x-api-key", sandbox), ""},
		"a key for another API":                 {at("mixed.example.com", "/v1/7", "x-api-key", other), "R1"},
		"a key for this API":                    {at("keys.example.com", "/v1/7", "x-other-key", other), ""},
		"not yet expired":                       {at("mixed.example.com", "/v1/7", "x-api-key", brief), ""},
		"expired":                               {at("mixed.example.com", "/v1/7", "x-api-key", over), "R5"},
		"no such route":                         {at("mixed.example.com", "/v2/7", "x-api-key", key), "R6"},
		"no such route, with nothing":           {at("mixed.example.com", "/v2/7", "", ""), "R1"},
		"a path that could be read in two ways": {at("mixed.example.com", "/v1/../7", "x-api-key", key), "R0"},
	} {
		d := w.gate.Check(t.Context(), tt.req)
		wantCode(t, what, d, tt.code)
		if tt.code == "" && (d.Identity.Account() != "acme" || d.Identity.Issuer() != "" || d.Identity.Subject() != "" || d.Identity.ClientID() != d.Identity.TokenID()) {
			t.Errorf("%s: identity %+v", what, d.Identity)
		}
	}
	d := w.gate.Check(t.Context(), at("mixed.example.com", "/v1/7", "x-api-key", key))
	if len(d.HideKeys) != 1 || d.HideKeys[0] != (KeySource{"x-api-key", "api_key"}) || d.KeysOnly {
		t.Errorf("the upstream would see the key: %+v", d.HideKeys)
	}
	if d := w.gate.Check(t.Context(), at("keys.example.com", "/v1/7", "", "")); !d.KeysOnly || d.TokenSent {
		t.Errorf("the challenge would be for a token: %+v", d)
	}
	w.change(t, tokens.Changes{APIKeys: map[string]*tokens.APIKey{k.ID: nil}})
	wantCode(t, "deleted", w.gate.Check(t.Context(), at("mixed.example.com", "/v1/7", "x-api-key", key)), "R1")
}

// strange is a well-formed key that nobody knows.
func strange(t *testing.T) string {
	t.Helper()
	key, _, _, err := tokens.NewAPIKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key.Reveal()
}

// TestI5_OAuthEndsAPIKeys: from the first allowed request with a token on, for that
// account and that API alone.
func TestI5_OAuthEndsAPIKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withKeys)
	key, _ := w.apiKey(t)
	others, _ := w.apiKey(t, func(k *tokens.APIKey) { k.Account = "other" })
	byKey := func(what, host, header, key, code string) {
		t.Helper()
		wantCode(t, what, w.gate.Check(t.Context(), at(host, "/v1/7", header, key)), code)
	}
	byToken := func(what, path, bearer, code string) {
		t.Helper()
		wantCode(t, what, w.gate.Check(t.Context(), at("mixed.example.com", path, "", "").with(bearer)), code)
	}
	bearer := w.token(t, "contacts:read")
	trial := *w.client
	trial.Environment = tokens.Sandbox
	w.publish(t, &trial)
	wantCode(t, "in the sandbox", w.gate.Check(t.Context(), at("mixed-sandbox.example.com", "/v1/7", "", "").with(bearer)), "")
	w.publish(t, w.client)
	byToken("a refused request", "/v1/7", w.token(t), "R6")
	byToken("no such route", "/v2/7", bearer, "R6")
	wantCode(t, "at another API", w.gate.Check(t.Context(), get("/v1/free", bearer)), "")
	_, _ = w.gate.Explain(t.Context(), at("mixed.example.com", "/v1/7", "", "").with(bearer))
	byKey("before", "mixed.example.com", "x-api-key", key, "")
	if len(w.moves) != 0 {
		t.Fatalf("moved too early: %v", w.moves)
	}
	byToken("the first", "/v1/7", bearer, "")
	byKey("after", "mixed.example.com", "x-api-key", key, "R1")
	byKey("another account", "mixed.example.com", "x-api-key", others, "")
	byKey("another API", "keys.example.com", "x-other-key", key, "")
	byToken("the second", "/v1/7", bearer, "")
	want := tokens.Move{Account: "acme", API: "mixed", Client: "client1", At: w.now}
	if len(w.moves) != 1 || w.moves[0] != want {
		t.Errorf("told of %v, want once %v", w.moves, want)
	}
	id := tokens.MoveID{Account: "acme", API: "mixed"}
	w.change(t, tokens.Changes{Moves: map[tokens.MoveID]*tokens.Move{id: nil}})
	byKey("undone", "mixed.example.com", "x-api-key", key, "")
	w.change(t, tokens.Changes{Moves: map[tokens.MoveID]*tokens.Move{id: &want}})
	byKey("stored", "mixed.example.com", "x-api-key", key, "R1")
}

// TestV2_WhatEndsAToken: each of them with R1, an expired token with R5 all the same.
func TestV2_WhatEndsAToken(t *testing.T) {
	t.Parallel()
	for what, end := range map[string]func(*testing.T, *world, *tokens.Token){
		"deleted":   func(t *testing.T, w *world, _ *tokens.Token) { w.publish(t, nil) },
		"suspended": func(t *testing.T, w *world, _ *tokens.Token) { c := *w.client; c.Suspended = true; w.publish(t, &c) },
		"secret":    func(t *testing.T, w *world, _ *tokens.Token) { c := *w.client; c.Ended = 1; w.publish(t, &c) },
		"token": func(t *testing.T, w *world, token *tokens.Token) {
			g := token.Record()
			g.RevokedAt = w.now
			w.change(t, tokens.Changes{Grants: map[string]*tokens.Grant{g.ID: g}})
		},
	} {
		w := newWorld(t)
		bearer := w.token(t, "contacts:read")
		wantCode(t, what+", before", w.gate.Check(t.Context(), get("/v1/free", bearer)), "")
		token, err := w.verifier.Verify(t.Context(), bearer, w.now)
		if err != nil {
			t.Fatal(err)
		}
		end(t, w, token)
		d := w.gate.Check(t.Context(), get("/v1/free", bearer))
		if wantCode(t, what, d, "R1"); d.Step != "revoked" {
			t.Errorf("%s: refused by %q", what, d.Step)
		}
		w.now = w.now.Add(2 * time.Hour)
		wantCode(t, what+" and expired", w.gate.Check(t.Context(), get("/v1/free", bearer)), "R5")
	}
}
