package tokens

import (
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"
)

// mintWorld is a ring that signs, and a verifier that trusts it and has client1.
func mintWorld(t *testing.T) (*KeyRing, *Verifier, *feed) {
	t.Helper()
	ring := testRing()
	if err := ring.Set([]*SigningKey{newTestSigningKey(t, "ES256", start)}); err != nil {
		t.Fatal(err)
	}
	f := newFeed(&Client{ID: "client1", Scopes: []string{"a:read", "b:write"}, Generation: 3, Account: "acme"})
	v := newTestVerifier(t, ring.Trust())
	v.registry = newTestRegistry(t, f)
	return ring, v, f
}

var minted = Claims{Client: "client1", Audience: "https://api.example", Scopes: []string{"a:read"}, Generation: 2, IssuedAt: start, TTL: time.Minute}

// TestO1_TokenWithTermsNeedsItsRecord: a process that has not heard of the terms yet
// must not take the token for one without any.
func TestO1_TokenWithTermsNeedsItsRecord(t *testing.T) {
	t.Parallel()
	ring, v, f := mintWorld(t)
	access, g, err := ring.Mint(JWT, minted, &Terms{Limits: TokenLimits{PerDay: 5}, LimitsRev: 1}, rand.Reader)
	if err != nil || g == nil || g.ID != access.ID || g.IsOpaque() || g.Generation != 2 || !g.ExpiresAt.Equal(start.Add(time.Minute)) {
		t.Fatalf("record %+v, %v", g, err)
	}
	token, err := v.Verify(t.Context(), access.Bearer.Reveal(), start)
	if err != nil || !token.Recorded {
		t.Fatalf("%+v, %v", token, err)
	}
	recorded, revoked := *g, *g
	revoked.RevokedAt = start
	for i, step := range []struct {
		grant *Grant
		want  error
		limit int64
	}{{nil, errTokenGone, 0}, {&recorded, nil, 5}, {&revoked, errTokenRevoked, 5}, {&recorded, nil, 5}, {nil, errTokenGone, 0}} {
		f.tell(t, v.registry, Changes{Grants: map[string]*Grant{g.ID: step.grant}})
		id := token.Identity()
		if limits, _ := id.Limits(); id.Ended != step.want || limits.PerDay != step.limit {
			t.Errorf("step %d: %v with the limits %+v, want %v and %d a day", i, id.Ended, limits, step.want, step.limit)
		}
	}
}

// TestMint: which tokens need a record.
func TestMint(t *testing.T) {
	t.Parallel()
	ring, v, f := mintWorld(t)
	for _, tt := range []struct {
		format   Format
		terms    *Terms
		recorded bool
	}{{JWT, nil, false}, {JWT, &Terms{}, true}, {Opaque, nil, true}, {Opaque, &Terms{Name: "x"}, true}, {Classic, nil, true}} {
		access, g, err := ring.Mint(tt.format, minted, tt.terms, rand.Reader)
		if err != nil || (g != nil) != tt.recorded || access.ExpiresIn != time.Minute {
			t.Fatalf("%s: record %+v, %v", tt.format, g, err)
		}
		if g != nil {
			if g.Terms != tt.terms || g.ID != access.ID || g.Client != "client1" || g.Audience != minted.Audience || g.IsOpaque() != (tt.format != JWT) {
				t.Errorf("%s: record %+v", tt.format, g)
			}
			f.tell(t, v.registry, Changes{Grants: map[string]*Grant{g.ID: g}})
		}
		token, err := v.Verify(t.Context(), access.Bearer.Reveal(), start)
		if err != nil || token.Identity().Ended != nil || token.ID != access.ID {
			t.Errorf("%s: %+v, %v", tt.format, token, err)
		}
	}
	if _, _, err := testRing().Mint(JWT, minted, nil, rand.Reader); !errors.Is(err, errNoSigningKey) {
		t.Errorf("without a key: %v", err)
	}
	if _, _, err := ring.Mint(Opaque, minted, nil, &dry{8}); err == nil {
		t.Error("a token was drawn from a source that ran dry")
	}
}

func TestO1_RecordedClaim(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	v := newTestVerifier(t, f.ownTrust(t), f.foreignTrust(t))
	raw := func(extra string) string {
		return f.sign(t, `{"alg":"ES256","kid":"k1","typ":"at+jwt"}`,
			fmt.Sprintf(`{"iss":%q,"sub":"client1","aud":"x","exp":%d,"iat":%d,"jti":"x","client_id":"client1"%s}`, ownURL, start.Unix()+60, start.Unix(), extra))
	}
	for text, want := range map[string]bool{``: false, `,"rec":false`: false, `,"rec":true`: true} {
		if token, err := v.Verify(t.Context(), raw(text), start); err != nil || token.Recorded != want {
			t.Errorf("%s: %+v, %v", text, token, err)
		}
	}
	for _, bad := range []string{`1`, `0`, `"true"`, `null`, `[true]`, `{}`, `true,"rec":true`} {
		if _, err := v.Verify(t.Context(), raw(`,"rec":`+bad), start); !errors.Is(err, ErrInvalid) {
			t.Errorf("rec %s: %v, want %v", bad, err, ErrInvalid)
		}
	}
	claims := map[string]any{"iss": "https://idp.example/", "rec": true} // its issuer's own word
	if token, err := v.Verify(t.Context(), f.token(t, nil, claims), start); err != nil || token.Recorded || token.Identity().Ended != nil {
		t.Errorf("a foreign token: %+v, %v", token, err)
	}
}

// TestO1_RecordedTokensAreFound by those who do not have them.
func TestO1_RecordedTokensAreFound(t *testing.T) {
	t.Parallel()
	ring, v, f := mintWorld(t)
	var ids []string
	for i, format := range []Format{JWT, Opaque, Classic} {
		c := minted
		c.IssuedAt, c.TTL = start.Add(-time.Duration(i)*time.Second), time.Hour-time.Duration(i)*10*time.Minute
		access, g, err := ring.Mint(format, c, &Terms{Name: "x", Limits: TokenLimits{PerDay: 5}, LimitsRev: 1}, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		f.tell(t, v.registry, Changes{Grants: map[string]*Grant{g.ID: g}})
		ids = append(ids, g.ID)
		found, verified := v.Recorded(g.ID), must(v.Verify(t.Context(), access.Bearer.Reveal(), start))
		id := found.Identity()
		if limits, rev := id.Limits(); id.Ended != nil || id.Issuer() != ownURL || id.Account() != "acme" || limits.PerDay != 5 || rev != 1 || found.Record().Hash != g.Hash || found.Generation != verified.Generation {
			t.Errorf("%s: token %+v, identity %+v", format, found, id)
		}
	}
	if v.Recorded("nobody") != nil || v.Recorded("") != nil {
		t.Error("a token that is not recorded was found")
	}
	for after, want := range map[time.Duration][]string{0: {ids[2], ids[1], ids[0]}, 39 * time.Minute: {ids[2], ids[1], ids[0]}, 45 * time.Minute: {ids[1], ids[0]}, time.Hour: nil} {
		var got []string
		for _, token := range v.AllRecorded(start.Add(after)) {
			got = append(got, token.ID)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("after %s: %q, want %q", after, got, want)
		}
	}
	v.Trust(nil)
	if v.Recorded(ids[0]) != nil || v.AllRecorded(start) != nil {
		t.Error("without our own issuer there are tokens")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestD3_TokenFormatAndLifetime(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		client Client
		usual  Format
		format Format
		ttl    time.Duration
	}{
		{Client{}, JWT, JWT, 2 * time.Hour}, {Client{}, Opaque, Opaque, 2 * time.Hour}, {Client{Format: JWT}, Opaque, JWT, 2 * time.Hour},
		{Client{Format: Classic}, JWT, Classic, ClassicTTL}, {Client{Format: Classic, TokenTTL: time.Minute}, JWT, Classic, time.Minute},
		{Client{TokenTTL: time.Minute}, JWT, JWT, time.Minute},
	} {
		if format, ttl := tt.client.TokenFormat(tt.usual), tt.client.TokenLifetime(tt.usual, 2*time.Hour); format != tt.format || ttl != tt.ttl {
			t.Errorf("%+v beside %s: %s for %s, want %s for %s", tt.client, tt.usual, format, ttl, tt.format, tt.ttl)
		}
	}
}
