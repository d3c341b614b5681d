package tokens

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// TestStanding goes through every reason for which a credential has ended. Each row
// has the causes of those after it as well, so that the first in the list is told.
func TestStanding(t *testing.T) {
	t.Parallel()
	good := func() (*Client, *Token) {
		return &Client{ID: "client1", Scopes: []string{"a:read"}, Generation: 3, Ended: 1}, &Token{Trust: &Trust{Own: true}, ID: "token1", ClientID: "client1", Origin: &Origin{Generation: 2, Family: "family1"}}
	}
	records := func() Changes {
		return Changes{Grants: map[string]*Grant{"other": {ID: "other", Client: "client1", RevokedAt: start}}, Families: map[string]*Family{"other": {ID: "other"}}}
	}
	revoked := map[string]*Grant{"token1": {ID: "token1", Client: "client1", RevokedAt: start}}
	ended := map[string]*Family{"family1": {ID: "family1", TokensUntil: start}}
	for _, tt := range []struct {
		name  string
		spoil func(c *Client, token *Token, all *Changes)
		want  error
	}{
		{"as it was issued", func(*Client, *Token, *Changes) {}, nil},
		{"recorded, not revoked", func(_ *Client, _ *Token, all *Changes) {
			all.Grants["token1"] = &Grant{ID: "token1", Client: "client1"}
		}, nil},
		{"opaque and recorded", func(_ *Client, token *Token, all *Changes) {
			token.opaque, all.Grants["token1"] = true, &Grant{ID: "token1", Client: "client1", Hash: [32]byte{1}}
		}, nil},
		{"without a family", func(_ *Client, token *Token, all *Changes) { token.Family = "" }, nil},
		{"of the newest secret", func(c *Client, token *Token, _ *Changes) { token.Generation = 3 }, nil},
		{"of a secret to come", func(c *Client, token *Token, _ *Changes) { token.Generation = 9 }, nil}, // another process made it a moment ago
		{"of the first secret, none ended", func(c *Client, token *Token, _ *Changes) { token.Generation, c.Ended = 1, 0 }, nil},

		{"the client deleted", func(c *Client, token *Token, all *Changes) {
			c.ID = "another"
			c.Suspended, c.Ended, all.Grants, all.Families = true, 2, revoked, ended
		}, errClientDeleted},
		{"the client suspended", func(c *Client, token *Token, all *Changes) {
			c.Suspended, c.Ended, all.Grants, all.Families = true, 2, revoked, ended
		}, errClientSuspended},
		{"its secret revoked", func(c *Client, token *Token, all *Changes) { c.Ended, all.Grants, all.Families = 2, revoked, ended }, errSecretRevoked},
		{"a later secret revoked", func(c *Client, token *Token, all *Changes) { c.Ended = 3 }, errSecretRevoked},
		{"no generation at all", func(c *Client, token *Token, all *Changes) { c.Ended, token.Generation = 0, 0 }, errSecretRevoked},
		{"its family ended", func(c *Client, token *Token, all *Changes) { all.Grants, all.Families = revoked, ended }, errFamilyEnded},
		{"opaque, and its record gone", func(c *Client, token *Token, all *Changes) { token.opaque = true }, errTokenGone},
		{"revoked", func(c *Client, token *Token, all *Changes) { all.Grants = revoked }, errTokenRevoked},
		{"opaque and revoked", func(c *Client, token *Token, all *Changes) { token.opaque, all.Grants = true, revoked }, errTokenRevoked},
	} {
		client, token := good()
		all := records()
		tt.spoil(client, token, &all)
		f := newFeed(client)
		f.snapshot.Grants, f.snapshot.Families = all.Grants, all.Families
		r := newTestRegistry(t, f)
		token.registry, token.client = r, r.registration("client1")
		if got := token.Identity().Ended; got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		// A foreign token of the same names is nobody's here.
		foreign := &Token{Trust: &Trust{}, ID: token.ID, ClientID: token.ClientID, client: token.client, Origin: &Origin{Family: token.Family, registry: r}}
		if id := foreign.Identity(); id.Ended != nil || id.Client != nil {
			t.Errorf("%s: a foreign token of the same names: %v, client %v", tt.name, id.Ended, id.Client)
		}
	}
}

// TestStandingFollowsChanges ends one token that somebody holds, in every way, and in
// the ways that can be undone brings it back.
func TestStandingFollowsChanges(t *testing.T) {
	t.Parallel()
	client := func(change func(*Client)) Changes {
		c := &Client{ID: "client1", Scopes: []string{"a:read"}, Generation: 1}
		change(c)
		return Changes{Clients: map[string]*Client{"client1": c}}
	}
	f := newFeed(&Client{ID: "client1", Scopes: []string{"a:read"}, Generation: 1})
	r := newTestRegistry(t, f)
	token := &Token{Trust: &Trust{Own: true}, ID: "token1", client: r.registration("client1"), Origin: &Origin{Generation: 1, Family: "family1", registry: r}}
	grant := func(g *Grant) Changes { return Changes{Grants: map[string]*Grant{"token1": g}} }
	for i, step := range []struct {
		change Changes
		want   error
	}{
		{Changes{}, nil},
		{client(func(c *Client) { c.Suspended = true }), errClientSuspended},
		{client(func(c *Client) {}), nil},
		{client(func(c *Client) { c.Generation, c.Ended = 2, 1 }), errSecretRevoked},
		{client(func(c *Client) {}), nil},
		{grant(&Grant{ID: "token1", Client: "client1", RevokedAt: start}), errTokenRevoked},
		{grant(nil), nil},
		{Changes{Families: map[string]*Family{"family1": {ID: "family1"}}}, errFamilyEnded},
		{Changes{Families: map[string]*Family{"family1": nil}}, nil},
		{Changes{Clients: map[string]*Client{"client1": nil}}, errClientDeleted},
		{client(func(c *Client) {}), errClientDeleted}, // another client of that ID is another client
	} {
		f.tell(t, r, step.change)
		if got := token.Identity().Ended; got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
}

// TestI8_ExpiredTokenIsR5: whether a token has expired is known whatever else ended it,
// so that the gate can say that first.
func TestI8_ExpiredTokenIsR5(t *testing.T) {
	t.Parallel()
	f := newFeed(&Client{ID: "client1", Suspended: true})
	r := newTestRegistry(t, f)
	for _, tt := range []struct {
		expires, at time.Time
		want        bool
	}{
		{start, start.Add(-1), false}, {start, start, true}, {start, start.Add(time.Hour), true}, // RFC 7519: "on or after"
		{time.Time{}, start, false},
	} {
		token := &Token{Trust: &Trust{Own: true}, ID: "token1", Expires: tt.expires, client: r.registration("client1"), Origin: &Origin{registry: r}}
		if got := token.Identity().Expired(tt.at); got != tt.want || token.Identity().Ended == nil {
			t.Errorf("expires %s: expired at %s: %t, want %t; ended: %v", tt.expires, tt.at, got, tt.want, token.Identity().Ended)
		}
	}
}

func TestI2_EffectiveScopes(t *testing.T) {
	t.Parallel()
	f := newFeed(&Client{ID: "client1", Scopes: []string{"a", "b", "c"}, Generation: 1})
	r := newTestRegistry(t, f)
	token := &Token{Trust: &Trust{Own: true}, ID: "token1", Scopes: []string{"c", "a"}, client: r.registration("client1"), Origin: &Origin{Generation: 1, registry: r}}
	for _, step := range []struct {
		client []string
		want   string
	}{
		{[]string{"a", "b", "c"}, "c a"},
		{[]string{"a", "b", "c", "d"}, "c a"}, // widening a client widens no token
		{[]string{"a", "b"}, "a"},
		{[]string{"b"}, ""},
		{nil, ""},
		{[]string{"a", "b", "c"}, "c a"},
	} {
		f.tell(t, r, Changes{Clients: map[string]*Client{"client1": {ID: "client1", Scopes: step.client, Generation: 1}}})
		id := token.Identity()
		if id.ScopeList != step.want || id.Ended != nil {
			t.Errorf("client %q: effective %q, %v; want %q", step.client, id.ScopeList, id.Ended, step.want)
		}
		if want := step.want == "c a"; id.HasAll([]string{"a", "c"}) != want || !id.HasAll(nil) || !id.HasAny(nil) || id.HasAny([]string{"a", "c"}) != (step.want != "") {
			t.Errorf("client %q: HasAll or HasAny is wrong", step.client)
		}
	}
	if len(token.Scopes) != 2 || token.Scopes[0] != "c" {
		t.Errorf("the token itself was changed: %q", token.Scopes)
	}
}

// TestIdentityIsKept: it is made anew only after something changed that could end or
// narrow a credential.
func TestIdentityIsKept(t *testing.T) {
	f := newFeed(&Client{ID: "client1", Scopes: []string{"a"}, Generation: 1})
	r := newTestRegistry(t, f)
	token := &Token{Trust: &Trust{Own: true}, ID: "token1", Scopes: []string{"a", "b"}, client: r.registration("client1"), Origin: &Origin{Generation: 1, registry: r}}
	id := token.Identity()
	if n := testing.AllocsPerRun(1000, func() {
		if token.Identity() != id {
			t.Fatal("it was made anew")
		}
	}); n != 0 {
		t.Errorf("%v allocations each time, want none", n)
	}
	for name, c := range map[string]Changes{
		"nothing": {}, "a signing key": {SigningKeys: true},
		"a new token": {Grants: map[string]*Grant{"new": {ID: "new", Client: "client1", Hash: [32]byte{1}, ExpiresAt: start.Add(time.Hour)}}},
	} {
		f.tell(t, r, c)
		if token.Identity() != id {
			t.Errorf("%s: it was made anew", name)
		}
	}
	for name, c := range map[string]Changes{
		"a client": {Clients: map[string]*Client{"other": {ID: "other"}}}, "a revoked token": {Grants: map[string]*Grant{"x": {ID: "x", RevokedAt: start}}},
		"a token that is gone": {Grants: map[string]*Grant{"new": nil}}, "a family": {Families: map[string]*Family{"x": {}}},
		"an API key": {APIKeys: map[string]*APIKey{"k": {ID: "k"}}}, "a move": {Moves: map[MoveID]*Move{{"a", "b"}: {}}},
		"an account, whose credit may be another": {Accounts: map[string]*Account{"acme": {Name: "acme"}}},
	} {
		before := token.Identity()
		f.tell(t, r, c)
		if token.Identity() == before {
			t.Errorf("%s: it was not made anew", name)
		}
	}
}

// TestV2_GenerationAndFamilyClaims: tokens from before there were generations are of
// the first; what is no generation refuses the token.
func TestV2_GenerationAndFamilyClaims(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	v := newTestVerifier(t, f.ownTrust(t), f.foreignTrust(t))
	for _, tt := range []struct {
		gen, fam   any // nil: none
		generation int64
		family     string
	}{
		{nil, nil, 1, ""}, {1, nil, 1, ""}, {7, "family1", 7, "family1"}, {int64(1<<53 - 1), "f", 1<<53 - 1, "f"},
	} {
		token, err := v.Verify(t.Context(), f.token(t, nil, map[string]any{"gen": tt.gen, "fam": tt.fam}), start)
		if err != nil || token.Generation != tt.generation || token.Family != tt.family {
			t.Errorf("gen %v, fam %v: %+v, %v", tt.gen, tt.fam, token, err)
		}
	}
	header := `{"alg":"ES256","kid":"k1","typ":"at+jwt"}`
	raw := func(extra string) string {
		return f.sign(t, header, fmt.Sprintf(`{"iss":%q,"sub":"client1","aud":"x","exp":%d,"iat":%d,"jti":"x","client_id":"client1"%s}`, ownURL, start.Unix()+60, start.Unix(), extra))
	}
	if _, err := v.Verify(t.Context(), raw(`,"gen":1,"fam":"x"`), start); err != nil {
		t.Fatalf("the model is refused: %v", err)
	}
	for _, bad := range []string{
		`"gen":0`, `"gen":-1`, `"gen":1.5`, `"gen":1.0`, `"gen":1e0`, `"gen":"1"`, `"gen":null`, `"gen":true`, `"gen":[1]`, `"gen":{}`, `"gen":9223372036854775808`,
		`"fam":1`, `"fam":""`, `"fam":null`, `"fam":false`, `"fam":["x"]`, `"fam":{}`, `"fam":"a\u0000b"`, `"gen":1,"gen":2`,
	} {
		if token, err := v.Verify(t.Context(), raw(","+bad), start); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: token %+v, %v; want %v", bad, token, err, ErrInvalid)
		}
	}
	// In a foreign token they are its issuer's own words, and mean nothing here.
	claims := map[string]any{"iss": "https://idp.example/", "gen": "seven", "fam": 7}
	if token, err := v.Verify(t.Context(), f.token(t, nil, claims), start); err != nil || token.Generation != 0 || token.Family != "" {
		t.Errorf("a foreign token: %+v, %v", token, err)
	}
	// What Issue writes is what Verify reads.
	ring := testRing()
	if err := ring.Set([]*SigningKey{newTestSigningKey(t, "ES256", start)}); err != nil {
		t.Fatal(err)
	}
	v.Trust([]*Trust{ring.Trust()})
	issued, err := ring.Issue(Claims{Client: "client1", Audience: "https://api.example", Scopes: []string{"a:read"}, Generation: 5, Family: "family9", IssuedAt: start, TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	token, err := v.Verify(t.Context(), issued.Bearer.Reveal(), start)
	if err != nil || token.Generation != 5 || token.Family != "family9" || token.ID != issued.ID || !token.Expires.Equal(start.Add(time.Minute)) || issued.ExpiresIn != time.Minute {
		t.Errorf("%+v, %v", token, err)
	}
	want := &Grant{ID: issued.ID, Client: "client1", Family: "family9", Generation: 5, Audience: "https://api.example"}
	got := token.Record()
	if got.ID != want.ID || got.Client != want.Client || got.Family != want.Family || got.Generation != want.Generation || got.Audience != want.Audience || got.IsOpaque() ||
		!got.CreatedAt.Equal(start) || !got.ExpiresAt.Equal(token.Expires) || !got.RevokedAt.IsZero() || len(got.Scopes) != 1 {
		t.Errorf("record %+v, want %+v", got, want)
	}
}
