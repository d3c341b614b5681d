package storetest

import (
	"crypto/rand"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollgate-authz/tollgate/tokens"
)

func feedTells(t *testing.T, s *world) {
	create(t, s, NewClient("old"), NewClient("doomed"))
	last := must[*tokens.Changes](t)(s.Snapshot(t.Context())).Last
	create(t, s, NewClient("new"), NewClient("brief"))
	edited := must[*tokens.Client](t)(s.EditClient(t.Context(), "old", onlyScopes("only")))
	for _, id := range []string{"doomed", "brief"} {
		if err := s.DeleteClient(t.Context(), id, nil); err != nil {
			t.Fatal(err)
		}
	}
	changed := must[*tokens.Changes](t)(s.Changes(t.Context(), last))
	if changed.Last <= last {
		t.Errorf("last change %d after %d", changed.Last, last)
	}
	diff(t, changed.Clients, map[string]*tokens.Client{"new": NewClient("new"), "old": edited, "doomed": nil, "brief": nil})
}

func feedIsQuiet(t *testing.T, s *world) {
	quiet := func(after int64) {
		t.Helper()
		diff(t, must[*tokens.Changes](t)(s.Changes(t.Context(), after)), &tokens.Changes{Last: after})
	}
	quiet(0)
	create(t, s, NewClient("client1"))
	last := must[*tokens.Changes](t)(s.Snapshot(t.Context())).Last
	// Refused and rolled back changes do not show.
	wantError(t, s.CreateClient(t.Context(), NewClient("client1")), tokens.ErrIDTaken)
	wantError(t, s.DeleteClient(t.Context(), "nobody", nil), tokens.ErrNotFound)
	quiet(last)
	// Nor does a signing key count as a client.
	ensure(t, s, "ES256")
	diff(t, must[*tokens.Changes](t)(s.Changes(t.Context(), last)), &tokens.Changes{SigningKeys: true, Last: last + 1})
	// A feed that went backwards belongs to another store.
	if _, err := s.Changes(t.Context(), last+1000); err == nil {
		t.Error("Changes after a change that never was: no error")
	}
}

// changed returns the changes after one, and the number of the last.
func changed(t *testing.T, s Store, after int64) (*tokens.Changes, int64) {
	t.Helper()
	c := must[*tokens.Changes](t)(s.Changes(t.Context(), after))
	return c, c.Last
}

// do ends the test at the first error.
func do(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func feedTellsKinds(t *testing.T, s *world) {
	first, client, account := NewClient("client1"), NewClient("client1"), NewClient("client1").Account
	f, ended := NewFamily("family1", "client1"), NewFamily("family1", "client1")
	g, revoked, jwt := NewGrant("token1", "client1"), NewGrant("token1", "client1"), newJWT("token2", "client1")
	ended.EndedAt, revoked.RevokedAt, jwt.RevokedAt = Epoch, Epoch, Epoch
	limited := NewGrant("token3", "client1")
	limited.Terms = &tokens.Terms{Limits: tokens.TokenLimits{PerDay: 5}, LimitsRev: 1}
	key, lockoutID := NewAPIKey("key1"), NewLockout("token1").ID()
	move, moveID := &tokens.Move{Account: account, API: "a b", Client: "client1", At: Epoch}, tokens.MoveID{Account: account, API: "a b"}
	edited := func(edit func(c *tokens.Client)) tokens.Changes {
		c := *client
		edit(&c)
		client = &c
		return tokens.Changes{Clients: map[string]*tokens.Client{"client1": client}}
	}
	second := tokens.ClientSecret{Generation: 2, Hash: hashOf("second")}
	of := func(_ any, err error) error { return err }
	var last int64
	for _, tt := range []struct {
		name string
		do   func() error
		want tokens.Changes
	}{
		{"an account", func() error { return s.CreateAccount(t.Context(), &tokens.Account{Name: "initech", CreatedAt: Epoch}) }, tokens.Changes{
			Accounts: map[string]*tokens.Account{"initech": {Name: "initech", CreatedAt: Epoch}},
		}},
		{"an account's zone", func() error { return of(s.EditAccount(t.Context(), "initech", zone("Europe/Berlin"))) }, tokens.Changes{
			Accounts: map[string]*tokens.Account{"initech": {Name: "initech", Zone: "Europe/Berlin", CreatedAt: Epoch}},
		}},
		{"a client", func() error { return s.CreateClient(t.Context(), first) }, tokens.Changes{
			Clients: map[string]*tokens.Client{"client1": first}, Accounts: map[string]*tokens.Account{account: {Name: account, CreatedAt: Epoch}},
		}},
		{"a credit", func() error { return of(s.AddCredit(t.Context(), newCredit("credit1", 5))) }, tokens.Changes{
			Accounts: map[string]*tokens.Account{"acme": {Name: "acme", CreatedAt: Epoch, Credit: 5, CreditRev: 1}},
		}},
		{"a lockout", func() error { return s.AddLockout(t.Context(), NewLockout("token1")) }, tokens.Changes{Lockouts: map[tokens.LockoutID]*tokens.Lockout{lockoutID: NewLockout("token1")}}},
		{"a lockout lifted", func() error { return s.DeleteLockout(t.Context(), lockoutID) }, tokens.Changes{Lockouts: map[tokens.LockoutID]*tokens.Lockout{lockoutID: nil}}},
		{"a secret", func() error { return of(s.AddSecret(t.Context(), "client1", second.Hash, time.Time{})) }, edited(func(c *tokens.Client) {
			c.Generation, c.Secrets = 2, []tokens.ClientSecret{second, c.Secrets[0]}
		})},
		{"a client edited", func() error { return of(s.EditClient(t.Context(), "client1", onlyScopes("only"))) }, edited(func(c *tokens.Client) { c.Scopes = []string{"only"} })},
		{"a revoked secret", func() error { return of(s.RevokeSecret(t.Context(), "client1", 1)) }, edited(func(c *tokens.Client) {
			c.Ended, c.Secrets = 1, c.Secrets[:1]
		})},
		{"a suspension", func() error { return of(s.EditClient(t.Context(), "client1", suspension(true))) }, edited(func(c *tokens.Client) { c.Suspended = true })},
		{"a family and a token", func() error { return s.AddTokens(t.Context(), f, g) }, tokens.Changes{Grants: map[string]*tokens.Grant{"token1": g}}},
		{"a rotation", func() error { return s.RotateFamily(t.Context(), rotated(f, Epoch), NewGrant("token3", "client1")) }, tokens.Changes{
			Grants: map[string]*tokens.Grant{"token3": NewGrant("token3", "client1")},
		}},
		{"the end of a family", func() error { return s.EndFamily(t.Context(), "family1") }, tokens.Changes{Families: map[string]*tokens.Family{"family1": func() *tokens.Family {
			f := rotated(f, Epoch)
			f.EndedAt = Epoch
			return f
		}()}}},
		{"a token's limits", func() error {
			return of(editLimits(t, s, "token3", limitedTo(tokens.TokenLimits{PerDay: 5})))
		}, tokens.Changes{Grants: map[string]*tokens.Grant{"token3": limited}}},
		{"a revoked token", func() error { return s.RevokeToken(t.Context(), g) }, tokens.Changes{Grants: map[string]*tokens.Grant{"token1": revoked}}},
		{"a revoked JWT", func() error { return s.RevokeToken(t.Context(), newJWT("token2", "client1")) }, tokens.Changes{Grants: map[string]*tokens.Grant{"token2": jwt}}},
		{"an API key", func() error { return s.CreateAPIKey(t.Context(), key, key.APIs) }, tokens.Changes{APIKeys: map[string]*tokens.APIKey{"key1": key}}},
		{"an API key edited", func() error {
			return of(s.EditAPIKey(t.Context(), "key1", func(k *tokens.APIKey) error { k.Scopes = nil; return nil }))
		}, tokens.Changes{
			APIKeys: map[string]*tokens.APIKey{"key1": func() *tokens.APIKey { k := NewAPIKey("key1"); k.Scopes = nil; return k }()},
		}},
		{"an API key deleted", func() error { return s.DeleteAPIKey(t.Context(), "key1", nil) }, tokens.Changes{APIKeys: map[string]*tokens.APIKey{"key1": nil}}},
		{"a move", func() error { return s.AddMove(t.Context(), move) }, tokens.Changes{Moves: map[tokens.MoveID]*tokens.Move{moveID: move}}},
		{"a move taken back", func() error { return s.DeleteMove(t.Context(), moveID) }, tokens.Changes{Moves: map[tokens.MoveID]*tokens.Move{moveID: nil}}},
		{"a signing key", func() error { return s.EnsureSigningKey(t.Context(), "ES256", rand.Reader, time.Hour) }, tokens.Changes{SigningKeys: true}},
		{"a rotated signing key", func() error {
			return of(s.RotateSigningKey(t.Context(), tokens.Rotation{Alg: "ES256", Random: rand.Reader, Now: Epoch}))
		}, tokens.Changes{SigningKeys: true}},
	} {
		do(t, tt.do())
		got, next := changed(t, s, last)
		if next <= last {
			t.Errorf("%s: last change %d after %d", tt.name, next, last)
		}
		tt.want.Last = next
		if d := cmp.Diff(&tt.want, got, sameClient); d != "" {
			t.Errorf("%s: -want +got:\n%s", tt.name, d)
		}
		last = next
	}
	// What asks about nothing that decides shows in no change, nor do users.
	u := NewUser("user1")
	do(t, s.CreateUser(t.Context(), u), of(s.EditUser(t.Context(), "user1", named("Ada"))), s.DeleteUser(t.Context(), "user1", nil))
	add(t, s, NewFamily("family2", "client1"), nil)
	do(t, s.EndFamily(t.Context(), "family1"), s.EndFamily(t.Context(), "nobody"), s.RotateFamily(t.Context(), rotated(NewFamily("family2", "client1"), Epoch), nil))
	if got, next := changed(t, s, last); next != last {
		t.Errorf("a refresh token's rotation: %+v", got)
	}
}

// fill makes some of every kind of record, and changes some of them.
func fill(t *testing.T, s *world) {
	t.Helper()
	create(t, s, NewClient("client1"), NewClient("client2"), NewClient("doomed"))
	createKeys(t, s, NewAPIKey("key1"), NewAPIKey("key2"))
	for _, owner := range []string{"client1", "client2", "doomed"} {
		for _, n := range []string{"-1", "-2", "-3"} {
			add(t, s, NewFamily(owner+n, owner), NewGrant(owner+n, owner))
		}
		do(t, s.EndFamily(t.Context(), owner+"-1"), s.RevokeToken(t.Context(), NewGrant(owner+"-2", owner)), s.RevokeToken(t.Context(), newJWT(owner+"-jwt", owner)))
	}
	for _, api := range []string{"contacts", "invoices"} {
		do(t, s.AddMove(t.Context(), &tokens.Move{Account: "acme", API: api, Client: "client1", At: Epoch}))
	}
	for _, token := range []string{"token1", "token2"} {
		l := NewLockout(token)
		l.Until = s.now.Add(24 * time.Hour)
		do(t, s.AddLockout(t.Context(), l))
	}
	_, err := s.AddSecret(t.Context(), "client1", hashOf("second"), s.now.Add(time.Hour))
	_, errCredit := s.AddCredit(t.Context(), newCredit("credit1", 5))
	_, errLimits := editLimits(t, s, "client1-3", limitedTo(NewTerms().Limits))
	do(t, err, errCredit, errLimits, s.DeleteLockout(t.Context(), NewLockout("token2").ID()), s.DeleteMove(t.Context(), tokens.MoveID{Account: "acme", API: "invoices"}), s.DeleteAPIKey(t.Context(), "key1", nil),
		s.EnsureSigningKey(t.Context(), "ES256", rand.Reader, time.Hour))
}

// wantSum wants all changes together to lead to what a snapshot has.
func wantSum(t *testing.T, s *world) {
	t.Helper()
	sum, _ := changed(t, s, 0)
	sum.SigningKeys = false // a snapshot's reader asks for the keys in any case
	for _, forget := range []func(){
		func() { maps.DeleteFunc(sum.Clients, func(_ string, r *tokens.Client) bool { return r == nil }) },
		func() { maps.DeleteFunc(sum.Grants, func(_ string, r *tokens.Grant) bool { return r == nil }) },
		func() { maps.DeleteFunc(sum.APIKeys, func(_ string, r *tokens.APIKey) bool { return r == nil }) },
		func() { maps.DeleteFunc(sum.Moves, func(_ tokens.MoveID, r *tokens.Move) bool { return r == nil }) },
		func() {
			maps.DeleteFunc(sum.Lockouts, func(_ tokens.LockoutID, r *tokens.Lockout) bool { return r == nil })
		},
	} {
		forget()
	}
	diff(t, sum, snapshot(t, s))
}

func snapshotIsTheSum(t *testing.T, s *world) {
	diff(t, snapshot(t, s), &tokens.Changes{})
	fill(t, s)
	all := snapshot(t, s)
	if len(all.Clients) != 3 || len(all.Grants) != 12 || len(all.Families) != 3 || len(all.APIKeys) != 1 || len(all.Moves) != 1 || len(all.Accounts) != 1 || len(all.Lockouts) != 1 {
		t.Errorf("a snapshot of %d clients, %d tokens, %d families, %d API keys, %d moves, %d accounts, %d lockouts; want 3, 12, 3, 1, 1, 1, 1",
			len(all.Clients), len(all.Grants), len(all.Families), len(all.APIKeys), len(all.Moves), len(all.Accounts), len(all.Lockouts))
	}
	wantSum(t, s)
}

func deletionCascades(t *testing.T, s *world) {
	fill(t, s)
	do(t, s.DeleteClient(t.Context(), "alias-doomed", nil))
	for _, id := range []string{"doomed-1", "doomed-2", "doomed-3"} {
		_, err := s.Family(t.Context(), id)
		wantError(t, err, tokens.ErrNotFound)
	}
	all := snapshot(t, s)
	if len(all.Grants) != 8 || len(all.Families) != 2 || len(all.Clients) != 2 {
		t.Errorf("a snapshot of %d clients, %d tokens, %d families; want 2, 8, 2", len(all.Clients), len(all.Grants), len(all.Families))
	}
	for id, g := range all.Grants {
		if g.Client == "doomed" {
			t.Errorf("the token %s of the deleted client is there", id)
		}
	}
	family(t, s, "client1-1")
	wantSum(t, s)
	// Secrets go as well: another client of that ID does not have them.
	again := NewClient("doomed")
	again.Secrets, again.Generation = nil, 0
	create(t, s, again)
	diff(t, must[*tokens.Client](t)(s.Client(t.Context(), "doomed")), again)
}

func feedHasAGap(t *testing.T, s *world) {
	fill(t, s)
	_, old := changed(t, s, 0)
	s.advance(2 * time.Hour)
	create(t, s, NewClient("client3"))
	_, last := changed(t, s, old)
	prunedRows(t, s)
	for _, after := range []int64{0, 1, old - 1} {
		_, err := s.Changes(t.Context(), after)
		wantError(t, err, tokens.ErrGap)
	}
	got, _ := changed(t, s, old)
	diff(t, got, &tokens.Changes{Clients: map[string]*tokens.Client{"client3": NewClient("client3")}, Last: last})

	// The last change is kept however old it is: numbers go on from it.
	s.advance(24 * time.Hour)
	prunedRows(t, s)
	diff(t, must[*tokens.Changes](t)(s.Changes(t.Context(), last)), &tokens.Changes{Last: last})
	create(t, s, NewClient("client4"))
	got, _ = changed(t, s, last)
	diff(t, got, &tokens.Changes{Clients: map[string]*tokens.Client{"client4": NewClient("client4")}, Last: last + 1})
}

func prunedRows(t *testing.T, s *world) int64 {
	t.Helper()
	return must[int64](t)(s.Prune(t.Context()))
}

func prune(t *testing.T, s *world) {
	create(t, s, NewClient("client1"))
	s.advance(48 * time.Hour)
	now := s.now
	stays, goes := map[string]bool{}, 0
	token := func(stay bool, g *tokens.Grant, expires time.Duration, revoked bool) {
		g.ExpiresAt = now.Add(expires)
		if revoked {
			g.RevokedAt = Epoch
		}
		add(t, s, nil, g)
		if stay {
			stays[g.ID] = true
		} else {
			goes++
		}
	}
	token(true, NewGrant("lives", "client1"), time.Second, false)
	token(true, NewGrant("revoked", "client1"), time.Second, true)
	token(true, NewGrant("expired-lately", "client1"), time.Second-tokens.KeepExpired, false) // its holder is told that it expired
	token(false, NewGrant("expired-long-ago", "client1"), -time.Second-tokens.KeepExpired, false)
	token(true, newJWT("jwt-lives", "client1"), time.Second, true)
	token(false, newJWT("jwt-expired", "client1"), -time.Second-tokens.KeepExpired, true)

	families := map[string]bool{}
	fam := func(id string, stay bool, change func(f *tokens.Family)) {
		f := NewFamily(id, "client1")
		f.IdleUntil, f.ExpiresAt, f.TokensUntil = now.Add(time.Hour), now.Add(time.Hour), now.Add(-time.Second)
		change(f)
		add(t, s, f, nil)
		if families[id] = stay; !stay {
			goes++
		}
	}
	past, future := now.Add(-time.Second), now.Add(time.Second)
	fam("works", true, func(f *tokens.Family) {})
	fam("ended", false, func(f *tokens.Family) { f.EndedAt = past })
	fam("ended, with an access token", true, func(f *tokens.Family) { f.EndedAt, f.TokensUntil = past, future })
	fam("idle", false, func(f *tokens.Family) { f.IdleUntil = past })
	fam("idle, with an access token", true, func(f *tokens.Family) { f.IdleUntil, f.TokensUntil = past, future })
	fam("expired", false, func(f *tokens.Family) { f.ExpiresAt = past })

	_, err := s.AddSecret(t.Context(), "client1", hashOf("second"), past)
	do(t, err)
	want, err := s.AddSecret(t.Context(), "client1", hashOf("third"), future)
	do(t, err)
	want.Secrets = want.Secrets[:2]
	goes++ // the first secret

	last := snapshot(t, s).Last
	if n := prunedRows(t, s); n != int64(goes)+2 { // and two changes: the client's account, and the client
		t.Errorf("%d rows were pruned, want %d", n, goes+2)
	}
	all := snapshot(t, s)
	for id := range stays {
		if all.Grants[id] == nil {
			t.Errorf("the token %s was pruned", id)
		}
	}
	if len(all.Grants) != len(stays) {
		t.Errorf("%d tokens are left, want %d", len(all.Grants), len(stays))
	}
	for id, stay := range families {
		if _, err := s.Family(t.Context(), id); (err == nil) != stay {
			t.Errorf("the family %q: %v, want that it stays: %t", id, err, stay)
		}
	}
	diff(t, must[*tokens.Client](t)(s.Client(t.Context(), "client1")), want)
	if all.Last != last {
		t.Errorf("change %d after %d: what has expired is no news", all.Last, last)
	}
	if n := prunedRows(t, s); n != 0 {
		t.Errorf("%d rows were pruned the second time, want none", n)
	}
	pruneKeys(t, s)
}

func pruneKeys(t *testing.T, s *world) {
	first := ensure(t, s, "ES256")
	second := rotate(t, s, 0, time.Hour)
	s.advance(time.Hour) // a minute more than the longest token
	prunedRows(t, s)
	sameKey(t, signingKeys(t, s)[1], first)
	s.advance(2 * time.Minute)
	prunedRows(t, s)
	keys := signingKeys(t, s)
	if len(keys) != 1 {
		t.Fatalf("%d keys, want the second alone", len(keys))
	}
	sameKey(t, keys[0], second)
}
