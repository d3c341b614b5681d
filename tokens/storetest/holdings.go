package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// newHolding stores a recorded token with every field set, and its family.
func newHolding(t *testing.T, s Store, id, client string) *tokens.Holding {
	t.Helper()
	h := &tokens.Holding{Grant: NewGrant(id, client), Family: NewFamily("family-of-"+id, client)}
	h.Family.Token, h.Grant.Terms = id, NewTerms()
	h.Grant.Terms.Environment, h.Grant.Terms.LivesFrom, h.Grant.Terms.Rotation = tokens.Sandbox, Epoch.Add(time.Second), 3
	h.Grant.Terms.OldHash, h.Grant.Terms.OldUntil = [32]byte{9}, Epoch.Add(time.Minute)
	add(t, s, h.Family, h.Grant)
	return h
}

// holdingsComeBack: what is stored of a recorded token is all of it, for those who
// administer it and for the gate.
func holdingsComeBack(t *testing.T, s *world) {
	create(t, s, NewClient("client1"))
	want := newHolding(t, s, "token1", "client1")
	diff(t, must[*tokens.Holding](t)(s.Token(t.Context(), "token1")), want)
	diff(t, snapshot(t, s).Grants["token1"], want.Grant)
	alone := NewGrant("alone", "client1") // its family is not recorded any more
	add(t, s, nil, alone)
	diff(t, must[*tokens.Holding](t)(s.Token(t.Context(), "alone")), &tokens.Holding{Grant: alone})
	_, err := s.Token(t.Context(), "nobody")
	wantError(t, err, tokens.ErrNotFound)
}

// editHolding: a token and its family are changed together or not at all.
func editHolding(t *testing.T, s *world) {
	create(t, s, NewClient("client1"))
	want := newHolding(t, s, "token1", "client1")
	last := snapshot(t, s).Last
	no := errors.New("no")
	_, err := s.EditToken(t.Context(), "token1", func(h *tokens.Holding) error {
		h.Grant.Scopes, h.Family.Counter = []string{"x"}, 7
		return no
	})
	wantError(t, err, no)
	_, err = s.EditToken(t.Context(), "token1", func(h *tokens.Holding) error { return nil })
	do(t, err)
	diff(t, must[*tokens.Holding](t)(s.Token(t.Context(), "token1")), want)
	if all := snapshot(t, s); all.Last != last {
		t.Errorf("%d changes by nothing", all.Last-last)
	}

	edit := func(h *tokens.Holding) error {
		h.Grant.Scopes, h.Grant.Hash, h.Grant.Generation = []string{"a", "b"}, [32]byte{7}, 2
		h.Grant.SetTTL(Epoch.Add(time.Minute), 30*time.Minute)
		h.Grant.Terms.Rotation, h.Grant.Terms.OldHash, h.Grant.Terms.OldUntil = 4, [32]byte{}, time.Time{}
		h.Family.Counter, h.Family.Scopes, h.Family.Generation = 2, []string{"a", "b"}, 2
		h.Family.RotatedAt, h.Family.IdleUntil, h.Family.TokensUntil = Epoch.Add(time.Minute), Epoch.Add(time.Hour), Epoch.Add(2*time.Hour)
		return nil
	}
	do(t, edit(want))
	diff(t, must[*tokens.Holding](t)(s.EditToken(t.Context(), "token1", edit)), want)
	diff(t, must[*tokens.Holding](t)(s.Token(t.Context(), "token1")), want)
	got, _ := changed(t, s, last)
	diff(t, got.Grants, map[string]*tokens.Grant{"token1": want.Grant})

	// Another family takes the place of one that has ended.
	next := NewFamily("family2", "client1")
	next.Token = "token1"
	want.Grant.Family, want.Family = next.ID, next
	_, err = s.EditToken(t.Context(), "token1", func(h *tokens.Holding) error {
		h.Grant.Family, h.Family = next.ID, next
		return nil
	})
	do(t, err)
	diff(t, must[*tokens.Holding](t)(s.Token(t.Context(), "token1")), want)

	for name, spoil := range map[string]func(*tokens.Grant){
		"ID":       func(g *tokens.Grant) { g.ID = "token2" },
		"client":   func(g *tokens.Grant) { g.Client = "client2" },
		"creation": func(g *tokens.Grant) { g.CreatedAt = Epoch.Add(time.Second) },
		"limits":   func(g *tokens.Grant) { g.Terms.Limits.PerDay = -1 },
		"lifetime": func(g *tokens.Grant) { g.ExpiresAt = Epoch.Add(-time.Hour) },
	} {
		if _, err := s.EditToken(t.Context(), "token1", func(h *tokens.Holding) error { spoil(h.Grant); return nil }); err == nil {
			t.Errorf("another %s was stored", name)
		}
	}
	diff(t, must[*tokens.Holding](t)(s.Token(t.Context(), "token1")), want)
}

// deleteHolding: a deleted token is gone for those who administer it, and revoked for the
// gate, with its refresh token.
func deleteHolding(t *testing.T, s *world) {
	create(t, s, NewClient("client1"))
	h := newHolding(t, s, "token1", "client1")
	last := snapshot(t, s).Last
	_, err := s.EditToken(t.Context(), "token1", func(h *tokens.Holding) error { h.End(s.now); return nil })
	do(t, err)
	_, err = s.Token(t.Context(), "token1")
	wantError(t, err, tokens.ErrNotFound)
	_, err = s.EditToken(t.Context(), "token1", func(*tokens.Holding) error { return nil })
	wantError(t, err, tokens.ErrNotFound)
	got, _ := changed(t, s, last)
	if g := got.Grants["token1"]; g == nil || g.RevokedAt.IsZero() || got.Families[h.Family.ID] == nil {
		t.Errorf("the feed tells %+v", got)
	}
	if list := must[[]*tokens.Grant](t)(s.TokensPage(t.Context(), "", "", tokens.Position{}, 10)); len(list) != 0 {
		t.Errorf("it is listed: %+v", list[0])
	}
}

// tokensArePaged: by creation, ties by ID, of an account or a client.
func tokensArePaged(t *testing.T, s *world) {
	for i, account := range []string{"acme", "acme", "globex"} {
		c := NewClient(fmt.Sprintf("client%d", i+1))
		c.Account = account
		create(t, s, c)
	}
	want := map[string][]string{}
	for i := range 30 {
		g := NewGrant(fmt.Sprintf("token%02d", (i*7)%30), fmt.Sprintf("client%d", i%3+1))
		g.CreatedAt = Epoch.Add(time.Duration(i/10) * time.Microsecond)
		add(t, s, nil, g)
	}
	for _, g := range must[[]*tokens.Grant](t)(s.TokensPage(t.Context(), "", "", tokens.Position{}, 100)) {
		account := "acme"
		if g.Client == "client3" {
			account = "globex"
		}
		for _, of := range []string{"/", "/" + g.Client, account + "/", account + "/" + g.Client} {
			want[of] = append(want[of], g.ID)
		}
	}
	if len(want["/"]) != 30 || len(want["acme/"]) != 20 {
		t.Fatalf("%d tokens, %d of acme", len(want["/"]), len(want["acme/"]))
	}
	for _, of := range [][2]string{{"", ""}, {"acme", ""}, {"globex", ""}, {"", "client2"}, {"acme", "client2"}, {"globex", "client2"}, {"nobody", ""}} {
		for _, size := range []int{1, 4, 30} {
			var got []string
			for after := (tokens.Position{}); ; {
				page := must[[]*tokens.Grant](t)(s.TokensPage(t.Context(), of[0], of[1], after, size))
				if len(page) == 0 {
					break
				}
				for _, g := range page {
					got = append(got, g.ID)
				}
				after = page[len(page)-1].Position()
			}
			if wanted := want[of[0]+"/"+of[1]]; !slices.Equal(got, wanted) {
				t.Errorf("of %q by %d: %q, want %q", of, size, got, wanted)
			}
		}
	}
}
