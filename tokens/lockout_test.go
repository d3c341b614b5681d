package tokens

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// newLockout locks a token of ours out for a while from start on.
func newLockout(token string, d time.Duration) *Lockout {
	return &Lockout{Issuer: ownURL, Token: token, Client: "client1", Account: "acme", Plan: "p", Since: start, Until: start.Add(d)}
}

// stored is a change of the feed that tells lockouts.
func stored(list ...*Lockout) Changes {
	c := Changes{Lockouts: map[LockoutID]*Lockout{}}
	for _, l := range list {
		c.Lockouts[l.ID()] = l
	}
	return c
}

func lifted(tokens ...string) Changes {
	c := Changes{Lockouts: map[LockoutID]*Lockout{}}
	for _, token := range tokens {
		c.Lockouts[LockoutID{ownURL, token}] = nil
	}
	return c
}

// wantLocked wants exactly those tokens to be locked out at a moment after start.
func wantLocked(t *testing.T, r *Registry, after time.Duration, want ...string) {
	t.Helper()
	now := start.Add(after)
	var got []string
	for _, l := range r.Lockouts(now) {
		got = append(got, l.Token)
		if r.Lockout(l.Issuer, l.Token, now) != l {
			t.Errorf("after %s: %s is in the list and is not found", after, l.Token)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("after %s: locked out %q, want %q", after, got, want)
	}
	for _, token := range []string{"a", "b", "c", "d", ""} {
		if l := r.Lockout(ownURL, token, now); (l != nil) != slices.Contains(want, token) {
			t.Errorf("after %s: the lockout of %q is %v", after, token, l)
		}
	}
	if n := r.lockouts.count.Load(); n != int64(len(r.lockouts.byID)) {
		t.Errorf("%d lockouts are counted, and %d known", n, len(r.lockouts.byID))
	}
}

func TestV4_LockoutHoldsUntilItIsOver(t *testing.T) {
	t.Parallel()
	r := newTestRegistry(t, newFeed())
	wantLocked(t, r, 0)
	r.LockNow(newLockout("a", time.Minute))
	r.LockNow(newLockout("b", time.Hour))
	r.LockNow(newLockout("b", time.Minute)) // the one that ends later stays
	r.LockNow(newLockout("c", time.Minute))
	r.LockNow(newLockout("c", time.Hour))
	for after, want := range map[time.Duration][]string{0: {"a", "b", "c"}, time.Minute - 1: {"a", "b", "c"}, time.Minute: {"b", "c"}, time.Hour - 1: {"b", "c"}, time.Hour: nil} {
		wantLocked(t, r, after, want...)
	}
	// A token of that ID of another issuer is another token; an API key has no issuer.
	for _, issuer := range []string{"", "https://idp.example/"} {
		if l := r.Lockout(issuer, "a", start); l != nil {
			t.Errorf("the token a of %q is locked out: %+v", issuer, l)
		}
	}
	r.LockNow(&Lockout{Token: "key1", Until: start.Add(time.Minute)})
	if r.Lockout("", "key1", start) == nil {
		t.Error("an API key is not locked out")
	}
	// After one lockout is over comes the next.
	r.LockNow(newLockout("a", 2*time.Minute))
	wantLocked(t, r, time.Minute, "a", "b", "c")
	if !r.Unlock(LockoutID{ownURL, "b"}) || r.Unlock(LockoutID{ownURL, "b"}) || r.Unlock(LockoutID{"", "a"}) {
		t.Error("Unlock does not say whether there was a lockout")
	}
	wantLocked(t, r, time.Minute, "a", "c")
}

func TestV4_LockoutFollowsTheStore(t *testing.T) {
	t.Parallel()
	f := newFeed()
	f.snapshot.Lockouts = stored(newLockout("a", time.Hour)).Lockouts
	r := newTestRegistry(t, f)
	wantLocked(t, r, 0, "a")
	f.tell(t, r, stored(newLockout("b", time.Hour)))
	r.LockNow(newLockout("c", time.Hour))
	wantLocked(t, r, 0, "a", "b", "c")
	f.tell(t, r, lifted("a", "c", "d")) // also the one that began here
	wantLocked(t, r, 0, "b")
	f.tell(t, r, stored(newLockout("b", time.Minute))) // lifted and begun anew, from one poll to the next
	wantLocked(t, r, time.Minute)
	// What is told of an earlier one does not end the one that began here since.
	r.LockNow(newLockout("c", time.Hour))
	f.tell(t, r, stored(newLockout("c", time.Minute)))
	wantLocked(t, r, time.Minute, "c")
}

// TestV4_LockoutsOverAGap: those that the store may not have are kept; of the others the
// store's word counts.
func TestV4_LockoutsOverAGap(t *testing.T) {
	t.Parallel()
	f := newFeed()
	f.snapshot.Lockouts = stored(newLockout("a", time.Hour)).Lockouts
	r := newTestRegistry(t, f)
	here := newLockout("b", time.Hour)
	here.Until = here.Until.Add(999 * time.Nanosecond) // which the store does not keep
	r.LockNow(here)
	f.tell(t, r, stored(newLockout("b", time.Hour))) // from now on it is the store's
	r.LockNow(newLockout("c", time.Second))
	r.LockNow(newLockout("d", time.Hour))

	f.gap = true
	f.snapshot = Changes{Last: 50, Lockouts: stored(newLockout("e", time.Hour), newLockout("d", time.Minute)).Lockouts}
	if err := r.Refresh(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	wantLocked(t, r, 0, "c", "d", "e")
	wantLocked(t, r, time.Minute, "d", "e")
	f.snapshot = Changes{Last: 60}
	if err := r.Refresh(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	wantLocked(t, r, 0, "c", "d")
	r.Prune(start.Add(2 * time.Hour))
	f.snapshot.Last = 70
	if err := r.Refresh(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	wantLocked(t, r, 0)
}

func TestRegistryPrunesLockouts(t *testing.T) {
	t.Parallel()
	f := newFeed()
	r := newTestRegistry(t, f)
	for token, d := range map[string]time.Duration{"a": time.Second, "b": time.Hour, "c": time.Hour} {
		r.LockNow(newLockout(token, d))
	}
	f.tell(t, r, stored(newLockout("c", 2*time.Hour)))
	r.Unlock(LockoutID{ownURL, "b"})
	for _, tt := range []struct {
		at    time.Duration
		known int
	}{{0, 2}, {time.Second - 1, 2}, {time.Minute, 1}, {time.Hour + time.Minute, 1}, {2*time.Hour - 1, 1}, {2*time.Hour + time.Minute, 0}} {
		r.Prune(start.Add(tt.at))
		if n := len(r.lockouts.byID); n != tt.known || r.lockouts.count.Load() != int64(n) {
			t.Errorf("after %s: %d lockouts known, %d counted; want %d", tt.at, n, r.lockouts.count.Load(), tt.known)
		}
	}
	if len(r.lockouts.ends) != 0 {
		t.Errorf("%d minutes are left", len(r.lockouts.ends))
	}
}

func TestLockoutsAreBounded(t *testing.T) {
	t.Parallel()
	f := newFeed()
	r := newTestRegistry(t, f)
	if r.lockouts.most != 1_000_000 {
		t.Errorf("room for %d lockouts, want a million", r.lockouts.most)
	}
	r.lockouts.most = 2
	for _, token := range []string{"a", "b", "c"} {
		r.LockNow(newLockout(token, time.Minute))
	}
	wantLocked(t, r, 0, "a", "b")
	f.tell(t, r, stored(newLockout("d", time.Hour), newLockout("a", time.Hour))) // one that is known has its room
	wantLocked(t, r, time.Minute, "a")
	r.Prune(start.Add(2 * time.Minute))
	r.LockNow(newLockout("c", time.Hour))
	wantLocked(t, r, time.Minute, "a", "c")
}

// TestLockoutCostsNothing: it is asked at every request, and a change of lockouts has no
// other token looked at anew.
func TestLockoutCostsNothing(t *testing.T) {
	f := newFeed(&Client{ID: "client1", Scopes: []string{"a"}, Generation: 1})
	r := newTestRegistry(t, f)
	token := &Token{Trust: &Trust{Own: true}, ID: "token1", client: r.registration("client1"), Origin: &Origin{Generation: 1, registry: r}}
	id := token.Identity()
	ask := func(want bool) {
		t.Helper()
		if n := testing.AllocsPerRun(1000, func() {
			if got := r.Lockout(ownURL, "token1", start); (got != nil) != want {
				t.Fatalf("locked out: %v, want %t", got, want)
			}
		}); n != 0 {
			t.Errorf("%v allocations, want none", n)
		}
	}
	r.lockouts.mu.Lock() // nobody waits for it while there are none
	ask(false)
	r.lockouts.mu.Unlock()
	r.LockNow(newLockout("other", time.Hour))
	ask(false)
	r.LockNow(newLockout("token1", time.Hour))
	ask(true)
	f.tell(t, r, stored(newLockout("token1", 2*time.Hour)))
	f.tell(t, r, lifted("other"))
	r.Unlock(LockoutID{ownURL, "token1"})
	ask(false)
	if token.Identity() != id {
		t.Error("lockouts have every token looked at anew")
	}
}

// TestLockoutsAtOnce is for the race detector, and for what is counted.
func TestLockoutsAtOnce(t *testing.T) {
	t.Parallel()
	f := newFeed()
	f.gap = true
	f.snapshot.Last = 7
	r := newTestRegistry(t, f)
	r.LockNow(newLockout("a", time.Hour))
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for n := range 200 {
				token := fmt.Sprintf("t%d-%d", i, n)
				r.LockNow(newLockout(token, time.Minute))
				if r.Lockout(ownURL, "a", start) == nil {
					t.Error("while others change, a token passes that is locked out")
				}
				r.Unlock(LockoutID{ownURL, token})
				r.Prune(start.Add(time.Second))
			}
		})
	}
	for range 50 {
		if err := r.Refresh(t.Context(), start); err != nil {
			t.Error(err)
		}
	}
	all.Wait()
	wantLocked(t, r, 0, "a")
}

func TestLockoutLasting(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]bool{0: false, time.Second: false, time.Minute: false, time.Minute + time.Second: true, time.Hour: true} {
		if got := newLockout("a", d).Lasting(); got != want {
			t.Errorf("a lockout of %s lasts: %t, want %t", d, got, want)
		}
	}
}
