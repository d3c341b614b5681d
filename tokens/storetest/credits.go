package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
)

func newCredit(id string, amount quota.Micros) *tokens.Credit {
	return &tokens.Credit{Account: "acme", ID: id, Amount: amount, What: "Invoice — " + id, At: Epoch}
}

func createAccounts(t *testing.T, s Store, names ...string) {
	t.Helper()
	for _, name := range names {
		do(t, s.CreateAccount(t.Context(), &tokens.Account{Name: name, CreatedAt: Epoch}))
	}
}

func accountComesBack(t *testing.T, s *world) {
	want := &tokens.Account{Name: "acme", Zone: "Europe/Berlin", CreatedAt: Epoch}
	rich := *want
	rich.Credit, rich.CreditRev = 5, 5 // nobody is born with money
	do(t, s.CreateAccount(t.Context(), &rich))
	diff(t, must[*tokens.Account](t)(s.Account(t.Context(), "acme")), want)
	diff(t, snapshot(t, s).Accounts, map[string]*tokens.Account{"acme": want})
	for _, name := range []string{"", "ACME", "initech", "acme "} {
		_, err := s.Account(t.Context(), name)
		wantError(t, err, tokens.ErrNotFound)
		if err != nil && !strings.Contains(err.Error(), fmt.Sprintf("%q", name)) {
			t.Errorf("got error %q, want it to name the account", err)
		}
	}
}

func creditsAddUp(t *testing.T, s *world) {
	createAccounts(t, s, "acme", "initech")
	want := &tokens.Account{Name: "acme", CreatedAt: Epoch}
	last := snapshot(t, s).Last
	step := func(c *tokens.Credit, fault error) {
		t.Helper()
		before := *want
		if fault == nil {
			want.Credit += c.Amount
			want.CreditRev++
		}
		got, err := s.AddCredit(t.Context(), c)
		if !errors.Is(err, fault) {
			t.Errorf("credit %s: got error %v, want %v", c.ID, err, fault)
		}
		if fault == nil {
			diff(t, got, want)
		}
		diff(t, must[*tokens.Account](t)(s.Account(t.Context(), "acme")), want)
		changes, next := changed(t, s, last)
		if next-last != want.CreditRev-before.CreditRev {
			t.Errorf("credit %s: %d changes", c.ID, next-last)
		}
		if next > last {
			diff(t, changes, &tokens.Changes{Accounts: map[string]*tokens.Account{"acme": want}, Last: next})
		}
		last = next
	}
	step(newCredit("c1", 10_000_000), nil)
	step(newCredit("c2", -4_000_000), nil)
	step(newCredit("c3", -6_000_001), tokens.ErrCredit)
	step(newCredit("c3", -6_000_000), nil) // to nothing; what was refused has not taken the ID
	step(newCredit("c4", -1), tokens.ErrCredit)
	step(newCredit("c5", quota.Most), nil)
	step(newCredit("c6", 1), tokens.ErrCredit)
	step(newCredit("c7", -quota.Most), nil)
	diff(t, must[*tokens.Account](t)(s.Account(t.Context(), "initech")), &tokens.Account{Name: "initech", CreatedAt: Epoch})

	strange := newCredit("c1", 1)
	strange.Account = "umbrella"
	_, err := s.AddCredit(t.Context(), strange)
	wantError(t, err, tokens.ErrNotFound)
	if err != nil && !strings.Contains(err.Error(), "umbrella") {
		t.Errorf("got error %q, want it to name the account", err)
	}
	for _, bad := range []*tokens.Credit{newCredit("", 1), newCredit("c 8", 1), newCredit("c8", 0), newCredit("c8", quota.Most+1)} {
		if _, err := s.AddCredit(t.Context(), bad); err == nil {
			t.Errorf("the credit %+v was stored", bad)
		}
	}
	if n := len(must[[]*tokens.Credit](t)(s.ListCredits(t.Context(), "acme", nil, 100))); n != 5 {
		t.Errorf("%d credits, want 5", n)
	}
}

// creditPaysOnce: whoever did not hear the answer asks again.
func creditPaysOnce(t *testing.T, s *world) {
	createAccounts(t, s, "acme", "initech")
	must[*tokens.Account](t)(s.AddCredit(t.Context(), newCredit("c1", 5)))
	want := must[*tokens.Account](t)(s.AddCredit(t.Context(), newCredit("c2", quota.Most-5)))
	last := snapshot(t, s).Last
	again := newCredit("c1", 5) // it would be too much by now
	again.At = Epoch.Add(time.Hour)
	diff(t, must[*tokens.Account](t)(s.AddCredit(t.Context(), again)), want)
	amount, words := newCredit("c1", 4), newCredit("c1", 5)
	words.What = "another"
	for _, other := range []*tokens.Credit{amount, words} {
		_, err := s.AddCredit(t.Context(), other)
		wantError(t, err, tokens.ErrExists)
	}
	diff(t, must[*tokens.Account](t)(s.Account(t.Context(), "acme")), want)
	diff(t, must[[]*tokens.Credit](t)(s.ListCredits(t.Context(), "acme", nil, 100)), []*tokens.Credit{newCredit("c2", quota.Most-5), newCredit("c1", 5)})
	if now := snapshot(t, s).Last; now != last {
		t.Errorf("%d changes, want none", now-last)
	}
	theirs := newCredit("c1", 4) // IDs are the account's own
	theirs.Account = "initech"
	must[*tokens.Account](t)(s.AddCredit(t.Context(), theirs))

	errs := make([]error, 10)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			c := newCredit("at-once", 7)
			c.Account = "initech"
			_, errs[i] = s.AddCredit(t.Context(), c)
		})
	}
	all.Wait()
	do(t, errs...)
	if a := must[*tokens.Account](t)(s.Account(t.Context(), "initech")); a.Credit != 11 || a.CreditRev != 2 {
		t.Errorf("ten requests at once with one ID: %+v, want a credit of 7 beside 4", a)
	}
}

func creditsArePaged(t *testing.T, s *world) {
	createAccounts(t, s, "acme", "initech")
	var want []*tokens.Credit
	for i := range 7 {
		c := newCredit(fmt.Sprintf("c%d", (i*5)%7), 1)
		c.At = Epoch.Add(time.Duration(i/3) * time.Second) // three of one moment
		want = append(want, c)
	}
	for _, i := range []int{3, 0, 6, 2, 5, 1, 4} {
		must[*tokens.Account](t)(s.AddCredit(t.Context(), want[i]))
	}
	other := newCredit("c0", 1)
	other.Account = "initech"
	must[*tokens.Account](t)(s.AddCredit(t.Context(), other))
	slices.SortFunc(want, func(a, b *tokens.Credit) int {
		if d := b.At.Compare(a.At); d != 0 {
			return d
		}
		return strings.Compare(b.ID, a.ID)
	})
	for limit := 1; limit <= 8; limit++ {
		var got []*tokens.Credit
		var after *tokens.Credit
		for range 8 {
			page := must[[]*tokens.Credit](t)(s.ListCredits(t.Context(), "acme", after, limit))
			if len(page) > limit {
				t.Errorf("%d credits on a page of %d", len(page), limit)
			}
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
			last := page[len(page)-1]
			after = &tokens.Credit{At: last.At, ID: last.ID}
		}
		diff(t, got, want)
	}
	for _, none := range [][]*tokens.Credit{
		must[[]*tokens.Credit](t)(s.ListCredits(t.Context(), "umbrella", nil, 5)),
		must[[]*tokens.Credit](t)(s.ListCredits(t.Context(), "acme", nil, 0)), must[[]*tokens.Credit](t)(s.ListCredits(t.Context(), "acme", nil, -1)),
	} {
		if len(none) > 0 {
			t.Errorf("%d credits, want none", len(none))
		}
	}
}
