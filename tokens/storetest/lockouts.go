package storetest

import (
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// NewLockout is a lockout with every field set, of an hour.
func NewLockout(token string) *tokens.Lockout {
	return &tokens.Lockout{Issuer: issuer, Token: token, Client: "client1", Account: "acme", Plan: "gold", Since: Epoch, Until: Epoch.Add(time.Hour)}
}

func listLockouts(t *testing.T, s Store) []*tokens.Lockout {
	t.Helper()
	return must[[]*tokens.Lockout](t)(s.ListLockouts(t.Context()))
}

func lockouts(t *testing.T, s *world) {
	ctx := t.Context()
	first, key, foreign := NewLockout("token1"), NewLockout("key1"), NewLockout("token1\u00a0 with ümlauts")
	key.Issuer, key.Since = "", Epoch.Add(-time.Minute) // an API key has no issuer
	foreign.Issuer, foreign.Since, foreign.Until = "https://idp.example.com/", Epoch.Add(time.Second), Epoch.Add(2*time.Hour)
	do(t, s.AddLockout(ctx, first), s.AddLockout(ctx, key), s.AddLockout(ctx, foreign))
	want := []*tokens.Lockout{key, first, foreign} // the oldest first
	diff(t, listLockouts(t, s), want)
	all := map[tokens.LockoutID]*tokens.Lockout{key.ID(): key, first.ID(): first, foreign.ID(): foreign}
	diff(t, snapshot(t, s).Lockouts, all)
	got, last := changed(t, s, 0)
	diff(t, got, &tokens.Changes{Lockouts: all, Last: last})

	// One that is there and ends later stays; one that ends earlier gives way.
	earlier, later := *first, *first
	earlier.Until, earlier.Plan = first.Until.Add(-time.Minute), "other"
	later.Since, later.Until, later.Client, later.Account, later.Plan = Epoch.Add(time.Minute), first.Until.Add(time.Minute), "client2", "initech", "other"
	do(t, s.AddLockout(ctx, &earlier), s.AddLockout(ctx, first))
	got, _ = changed(t, s, last)
	diff(t, got, &tokens.Changes{Last: last})
	do(t, s.AddLockout(ctx, &later))
	diff(t, listLockouts(t, s), []*tokens.Lockout{key, foreign, &later})

	// What is over about when others learn of it is not stored.
	brief := NewLockout("brief")
	brief.Until = brief.Since.Add(time.Minute)
	got, last = changed(t, s, last)
	diff(t, got.Lockouts, map[tokens.LockoutID]*tokens.Lockout{first.ID(): &later})
	do(t, s.AddLockout(ctx, brief))
	wantError(t, s.DeleteLockout(ctx, brief.ID()), tokens.ErrNotFound)

	for range 2 { // lifted, and begun anew for a shorter time
		do(t, s.DeleteLockout(ctx, first.ID()))
		wantError(t, s.DeleteLockout(ctx, first.ID()), tokens.ErrNotFound)
		got, last = changed(t, s, last)
		diff(t, got, &tokens.Changes{Lockouts: map[tokens.LockoutID]*tokens.Lockout{first.ID(): nil}, Last: last})
		do(t, s.AddLockout(ctx, &earlier))
		got, last = changed(t, s, last)
		diff(t, got, &tokens.Changes{Lockouts: map[tokens.LockoutID]*tokens.Lockout{first.ID(): &earlier}, Last: last})
	}
	for _, gone := range []tokens.LockoutID{{}, {Issuer: issuer}, {Token: "token1"}, {Issuer: "token1", Token: issuer}, {Token: issuer + "\ttoken1"}} {
		wantError(t, s.DeleteLockout(ctx, gone), tokens.ErrNotFound)
	}
	diff(t, listLockouts(t, s), []*tokens.Lockout{key, &earlier, foreign})
}

func lockoutsEnd(t *testing.T, s *world) {
	first, second := NewLockout("token1"), NewLockout("token2")
	second.Until = Epoch.Add(2*time.Hour + time.Microsecond)
	do(t, s.AddLockout(t.Context(), first), s.AddLockout(t.Context(), second))
	s.advance(time.Hour - time.Microsecond)
	if n := len(listLockouts(t, s)); n != 2 || prunedRows(t, s) != 0 {
		t.Errorf("just before the first is over: %d lockouts, or some were pruned", n)
	}
	s.advance(time.Microsecond)
	diff(t, listLockouts(t, s), []*tokens.Lockout{second})
	diff(t, snapshot(t, s).Lockouts, map[tokens.LockoutID]*tokens.Lockout{second.ID(): second})
	last := snapshot(t, s).Last
	if n := prunedRows(t, s); n != 1 {
		t.Errorf("%d rows were pruned, want the lockout that is over", n)
	}
	wantError(t, s.DeleteLockout(t.Context(), first.ID()), tokens.ErrNotFound)
	if now := snapshot(t, s).Last; now != last {
		t.Errorf("%d changes: what is over is no news", now-last)
	}
	// One that is over gives way to the next, pruned or not.
	s.advance(2 * time.Hour)
	next := NewLockout("token2")
	next.Since, next.Until = s.now, s.now.Add(time.Hour)
	do(t, s.AddLockout(t.Context(), next))
	diff(t, listLockouts(t, s), []*tokens.Lockout{next})
}
