package storetest

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

const issuer = "https://tollgate.example"

// follower is a registry that follows the store, and what goes by it.
type follower struct {
	*tokens.Registry
	keys     *tokens.KeyRing
	verifier *tokens.Verifier
}

func follow(t *testing.T, s *world) (f *follower, refresh func()) {
	t.Helper()
	f = &follower{keys: tokens.NewKeyRing(issuer, rand.Reader, func() time.Time { return s.now })}
	f.Registry = must[*tokens.Registry](t)(tokens.NewRegistry(t.Context(), s, f.keys, s.now))
	f.verifier = tokens.NewVerifier(f.Registry, nil)
	f.verifier.Trust([]*tokens.Trust{f.keys.Trust()})
	return f, func() {
		t.Helper()
		if err := f.Refresh(t.Context(), s.now); err != nil {
			t.Fatal(err)
		}
	}
}

// ended says why a token is refused; empty: it is accepted.
func (f *follower) ended(t *testing.T, s *world, bearer tokens.Secret) string {
	t.Helper()
	token, err := f.verifier.Verify(t.Context(), bearer.Reveal(), s.now)
	if err == nil {
		err = token.Identity().Ended
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// wantEnded wants a token to be refused, for a reason with that word; empty: accepted.
func (f *follower) wantEnded(t *testing.T, s *world, bearer tokens.Secret, word string) {
	t.Helper()
	if got := f.ended(t, s, bearer); (got == "") != (word == "") || !strings.Contains(got, word) {
		t.Errorf("the token is refused because %q, want %q", got, word)
	}
}

func registryFollows(t *testing.T, s *world) {
	create(t, s, NewClient("client1"))
	registry, refresh := follow(t, s)
	diff(t, registry.Client("alias-client1"), NewClient("client1"))
	create(t, s, NewClient("client2"))
	refresh()
	diff(t, registry.Client("client2"), NewClient("client2"))
	if err := s.DeleteClient(t.Context(), "client1", nil); err != nil {
		t.Fatal(err)
	}
	refresh()
	if c := registry.Client("client1"); c != nil {
		t.Errorf("the registry still has %v", c.ID)
	}
}

// jwt signs a token.
func (f *follower) jwt(t *testing.T, s *world, generation int64, family string) tokens.Secret {
	t.Helper()
	token := must[tokens.AccessToken](t)(f.keys.Issue(tokens.Claims{
		Client: "client1", Audience: issuer, Scopes: []string{"contacts:read"}, Generation: generation, Family: family, IssuedAt: s.now, TTL: time.Hour,
	}))
	return token.Bearer
}

func opaque(id, family string) (tokens.Secret, *tokens.Grant) {
	text := tokens.Secret("tga_" + id)
	g := NewGrant(id, "client1")
	g.Hash, g.Family = sha256.Sum256([]byte(text.Reveal())), family
	return text, g
}

func registryFollowsKinds(t *testing.T, s *world) {
	ensure(t, s, "ES256")
	create(t, s, NewClient("client1"))
	f, refresh := follow(t, s)
	of := func(_ any, err error) error { return err }
	step := func(errs ...error) { // one change of the store, followed
		t.Helper()
		do(t, errs...)
		refresh()
	}
	jwt, familyJWT := f.jwt(t, s, 1, ""), f.jwt(t, s, 1, "family1")
	first, g1 := opaque("first", "")
	second, g2 := opaque("second", "family1")
	f.wantEnded(t, s, jwt, "")
	f.wantEnded(t, s, first, "invalid") // not known yet
	step(s.AddTokens(t.Context(), NewFamily("family1", "client1"), g2), s.AddTokens(t.Context(), nil, g1))
	f.wantEnded(t, s, first, "")
	f.wantEnded(t, s, second, "")

	step(s.RevokeToken(t.Context(), g1))
	f.wantEnded(t, s, first, "revoked")
	f.wantEnded(t, s, second, "")
	step(s.EndFamily(t.Context(), "family1"))
	f.wantEnded(t, s, second, "family")
	f.wantEnded(t, s, familyJWT, "family")
	f.wantEnded(t, s, jwt, "")
	revoked := f.jwt(t, s, 1, "")
	token := must[*tokens.Token](t)(f.verifier.Verify(t.Context(), revoked.Reveal(), s.now))
	step(s.RevokeToken(t.Context(), token.Record()))
	f.wantEnded(t, s, revoked, "revoked")
	f.wantEnded(t, s, jwt, "")

	step(of(s.EditClient(t.Context(), "client1", suspension(true))))
	f.wantEnded(t, s, jwt, "suspended")
	step(of(s.EditClient(t.Context(), "client1", suspension(false))))
	f.wantEnded(t, s, jwt, "")
	step(of(s.AddSecret(t.Context(), "client1", hashOf("second"), time.Time{})))
	f.wantEnded(t, s, jwt, "")
	step(of(s.RevokeSecret(t.Context(), "client1", 1)))
	f.wantEnded(t, s, jwt, "secret")
	f.wantEnded(t, s, f.jwt(t, s, 2, ""), "")

	registryFollowsLimits(t, s, f, step)

	text, hash, _, err := tokens.NewAPIKey(rand.Reader)
	do(t, err)
	key := NewAPIKey("key1")
	key.Hash = hash
	step(s.CreateAPIKey(t.Context(), key, key.APIs))
	id := must[*tokens.Token](t)(f.verifier.VerifyAPIKey(text.Reveal())).Identity()
	diff(t, id.Key, key)
	if err := errors.Join(id.Ended, id.Admits("contacts")); err != nil {
		t.Error(err)
	}
	move := tokens.Move{Account: key.Account, API: "contacts", Client: "client1", At: s.now}
	step(s.AddMove(t.Context(), &move))
	if id.Admits("contacts") == nil || id.Admits("invoices") != nil || !f.Moved(key.Account, "contacts") {
		t.Error("the move of one API did not end the API key there, or did elsewhere")
	}
	step(s.DeleteMove(t.Context(), tokens.MoveID{Account: key.Account, API: "contacts"}))
	if err := id.Admits("contacts"); err != nil {
		t.Errorf("after the move was taken back: %v", err)
	}
	step(s.DeleteAPIKey(t.Context(), "key1", nil))
	if _, err := f.verifier.VerifyAPIKey(text.Reveal()); !errors.Is(err, tokens.ErrInvalid) {
		t.Errorf("a deleted API key: %v, want %v", err, tokens.ErrInvalid)
	}

	next := rotate(t, s, time.Minute, time.Hour)
	refresh()
	if !strings.Contains(string(f.keys.Document()), next.ID) {
		t.Error("the next signing key is not published")
	}
	step(s.DeleteClient(t.Context(), "client1", nil))
	f.wantEnded(t, s, jwt, "deleted")
}

// registryFollowsLimits: of a token that somebody holds, of its account, and what came
// of exceeding them.
func registryFollowsLimits(t *testing.T, s *world, f *follower, step func(...error)) {
	t.Helper()
	held := must[*tokens.Token](t)(f.verifier.Verify(t.Context(), f.jwt(t, s, 2, "").Reveal(), s.now))
	g := held.Record()
	g.Terms = NewTerms()
	wantLimits := func(want tokens.TokenLimits, rev int64) {
		t.Helper()
		if limits, r := held.Identity().Limits(); limits != want || r != rev {
			t.Errorf("limits %+v of revision %d, want %+v of %d", limits, r, want, rev)
		}
	}
	wantLimits(tokens.TokenLimits{}, 0)
	step(s.AddTokens(t.Context(), nil, g))
	wantLimits(NewTerms().Limits, 1)
	diff(t, held.Identity().TokenIPs(), NewTerms().TrustedIPs)
	_, err := editLimits(t, s, g.ID, limitedTo(tokens.TokenLimits{PerDay: 5}))
	step(err)
	wantLimits(tokens.TokenLimits{PerDay: 5}, 2)

	want, err := s.AddCredit(t.Context(), newCredit("credit1", 5))
	step(err)
	diff(t, f.Account("acme"), want)

	l, id := NewLockout("token1"), NewLockout("token1").ID()
	step(s.AddLockout(t.Context(), l))
	diff(t, f.Lockout(id.Issuer, id.Token, s.now), l)
	step(s.DeleteLockout(t.Context(), id))
	if l := f.Lockout(id.Issuer, id.Token, s.now); l != nil {
		t.Errorf("after it was lifted: %+v", l)
	}
}

// registryFollowsOverAGap: one that was away for longer than the feed reaches back finds
// everything as one does that was there.
func registryFollowsOverAGap(t *testing.T, s *world) {
	fill(t, s)
	late, catchUp := follow(t, s)
	lifted, here := NewLockout("token1").ID(), &tokens.Lockout{Issuer: issuer, Token: "here", Until: s.now.Add(24 * time.Hour)}
	if late.Lockout(lifted.Issuer, lifted.Token, s.now) == nil {
		t.Fatal("the registry does not know the lockout in the store")
	}
	late.LockNow(here)
	kept, g := opaque("kept", "")
	doomed, gone := opaque("gone", "")
	gone.Client = "client2"
	for _, g := range []*tokens.Grant{g, gone} {
		g.ExpiresAt = s.now.Add(24 * time.Hour)
		do(t, s.AddTokens(t.Context(), nil, g))
	}
	catchUp()
	held := must[*tokens.Token](t)(late.verifier.Verify(t.Context(), doomed.Reveal(), s.now))
	if err := held.Identity().Ended; err != nil {
		t.Fatal(err)
	}
	do(t, s.DeleteClient(t.Context(), "client2", nil), s.DeleteAPIKey(t.Context(), "key2", nil), s.DeleteMove(t.Context(), tokens.MoveID{Account: "acme", API: "contacts"}),
		s.DeleteLockout(t.Context(), lifted))
	s.advance(2 * time.Hour)
	create(t, s, NewClient("client3"))
	prunedRows(t, s)
	catchUp()
	if late.Client("client3") == nil || late.Client("client2") != nil || late.APIKeys() != 0 || late.Moved("acme", "contacts") {
		t.Error("the registry missed changes")
	}
	if held.Identity().Ended == nil {
		t.Error("the token of a deleted client that somebody holds is accepted")
	}
	late.wantEnded(t, s, kept, "")
	diff(t, late.Lockouts(s.now), []*tokens.Lockout{here})
	diff(t, late.Account("acme"), must[*tokens.Account](t)(s.Account(t.Context(), "acme")))
	fresh, _ := follow(t, s)
	if late.Len() != fresh.Len() || late.Grants() != fresh.Grants() || late.APIKeys() != fresh.APIKeys() {
		t.Errorf("%d clients, %d tokens, %d API keys; want %d, %d, %d", late.Len(), late.Grants(), late.APIKeys(), fresh.Len(), fresh.Grants(), fresh.APIKeys())
	}
}
