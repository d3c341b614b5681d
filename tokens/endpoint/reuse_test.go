package endpoint

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// The tests of this file let two requests use one refresh token at the same time, which
// every client does that opens two pages at once. It must end nothing: only a token
// that comes after the next one was there has been kept by somebody.

// hold makes the next call of that name wait. reached is closed once it does.
func (m *meddler) hold(name string) (reached <-chan struct{}, release func()) {
	there, on := make(chan struct{}), make(chan struct{})
	var held atomic.Bool
	m.set(func(call string) error {
		if call == name && held.CompareAndSwap(false, true) {
			close(there)
			<-on
		}
		return nil
	})
	return there, sync.OnceFunc(func() { close(on) })
}

// answers runs a request on the side.
func answers(ask func() response) <-chan response {
	c := make(chan response, 1)
	go func() { c <- ask() }()
	return c
}

// wantIntact wants the family of an answer to go on.
func (c caller) wantIntact(r response) {
	c.t.Helper()
	c.wantLive(true, r)
	c.advance(time.Minute)
	c.refreshed(r)
}

// TestD4_TwiceAtOnceEndsNothing holds one request up at each place in turn, and has
// another one use the same token meanwhile.
func TestD4_TwiceAtOnceEndsNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, at string
		held     bool // whether the one that is held up gets the tokens, or the other
	}{
		{"before it has read the family, having begun first", "Family", false},
		{"with the family read", "Family done", false},
		{"with the rotation stored", "RotateFamily done", true},
	} {
		for _, format := range formats {
			w := newWorld(t, unlimited)
			c := w.caller("app", refreshing, formatted(format))
			first := c.token()
			w.advance(time.Second)
			reached, release := w.records.hold(tt.at)
			defer release()
			held := answers(func() response { return c.refresh(first) })
			<-reached
			w.advance(time.Second)
			other := c.refresh(first) // begins while the first one is under way
			w.advance(time.Second)
			release()
			winner, loser := <-held, other
			if !tt.held {
				winner, loser = loser, winner
			}
			if winner.status != 200 {
				t.Fatalf("%s, %s: got %v, want a token", tt.name, format, winner)
			}
			loser.wantInvalidGrant(t)
			c.wantLive(true, first)
			c.wantIntact(winner)
		}
	}
}

// TestD4_BegunBeforeTheRotationWasOver: a request that began while another one rotated
// the family, and comes to look at it only long after, ends nothing.
func TestD4_BegunBeforeTheRotationWasOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	c := w.caller("app", refreshing)
	first := c.token()
	w.advance(time.Second)

	rotated, finish := w.records.hold("RotateFamily done")
	defer finish()
	winner := answers(func() response { return c.refresh(first) })
	<-rotated
	w.advance(time.Second)
	looks, look := w.records.hold("Family")
	defer look()
	late := answers(func() response { return c.refresh(first) }) // after RotatedAt, before the answer
	<-looks
	w.advance(time.Second)
	finish()
	won := <-winner
	w.advance(time.Second)
	look()
	(<-late).wantInvalidGrant(t)
	if cause := w.lastEvent().Cause; cause != "a refresh token used twice at once" {
		t.Errorf("cause %q", cause)
	}
	c.wantIntact(won)
}

// TestD4_BegunAfterTheRotationWasOver: at the very moment at which the answer could be
// known, a second use is reuse.
func TestD4_BegunAfterTheRotationWasOver(t *testing.T) {
	t.Parallel()
	for _, later := range []time.Duration{0, time.Nanosecond, time.Hour} {
		w := newWorld(t, unlimited)
		c := w.caller("app", refreshing)
		first := c.token()
		w.advance(time.Second)
		reached, release := w.records.hold("RotateFamily done")
		winner := answers(func() response { return c.refresh(first) })
		<-reached
		w.advance(time.Second)
		release()
		won := <-winner
		w.advance(later)
		c.refresh(first).wantInvalidGrant(t)
		c.refresh(won).wantInvalidGrant(t)
		w.wantLive(false, won)
	}
}

// TestD4_TwiceAtOnceInTwoProcesses: the other process sees when the family was rotated.
func TestD4_TwiceAtOnceInTwoProcesses(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	one := newProcess(t, path, unlimited)
	c := one.caller("app", refreshing)
	two := newProcess(t, path, unlimited)
	for _, at := range []string{"Family", "RotateFamily"} { // before it has read the family, and after
		first := c.token()
		one.advance(time.Second)
		two.advance(time.Second)
		reached, release := two.records.hold(at)
		defer release()
		held := answers(func() response { return caller{two, c.id, c.secret}.refresh(first) })
		<-reached
		one.advance(time.Second)
		two.advance(time.Second)
		second := c.refreshed(first)
		release()
		(<-held).wantInvalidGrant(t)
		one.follow()
		one.wantLive(true, second)
		one.advance(time.Second)
		two.advance(time.Second)
		third := caller{two, c.id, c.secret}.refreshed(second) // each goes on where the other was
		one.advance(time.Second)
		two.advance(time.Second)
		c.refresh(second).wantInvalidGrant(t) // and knows what was used there
		caller{two, c.id, c.secret}.refresh(third).wantInvalidGrant(t)
		two.follow()
		for _, w := range []*world{one, two} {
			w.wantLive(false, third)
		}
	}
}

// TestD4_FailedRotationIsNone: the next use of the token is its first.
func TestD4_FailedRotationIsNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	c := w.caller("app", refreshing)
	first := c.token()
	w.records.fail("RotateFamily")
	c.refresh(first).wantUnavailable(t)
	w.records.set(nil)
	w.advance(time.Second)
	second := c.refreshed(first)
	w.advance(time.Second)
	// The end of a family that the store could not write is written at the next try.
	w.records.fail("EndFamily")
	c.refresh(first).wantUnavailable(t)
	w.records.set(nil)
	w.wantLive(true, second)
	c.refresh(first).wantInvalidGrant(t)
	w.wantLive(false, second)
}

// TestRotationsAreForgotten once no request can have begun before them.
func TestRotationsAreForgotten(t *testing.T) {
	t.Parallel()
	var r rotations
	now := epoch
	for i := range 10_000 {
		id := string(rune('a'+i%26)) + now.String()
		r.begin(id)
		r.begin(id)
		r.end(id, now)
		if !r.during(id, now.Add(time.Hour)) {
			t.Fatal("one that is still running was forgotten")
		}
		r.end(id, now)
		if r.during(id, now) || !r.during(id, now.Add(-1)) {
			t.Fatal("began before or after its end: wrong")
		}
		now = now.Add(time.Second)
	}
	if n := len(r.families); n > 60 {
		t.Errorf("%d rotations are remembered after one a second", n)
	}
}

// TestB12_ParallelRefreshes uses one refresh token 50 times at once, 20 times over, on
// a store in a file, in one process and in two.
func TestB12_ParallelRefreshes(t *testing.T) {
	t.Parallel()
	const rounds, uses = 20, 50
	for _, format := range []tokens.Format{tokens.JWT, tokens.Classic} {
		path := newFile(t)
		one := newProcess(t, path, unlimited)
		c := one.caller("app", refreshing, formatted(format))
		two := newProcess(t, path, unlimited)
		for _, w := range []*world{one, two} {
			w.tick = time.Microsecond
		}
		for round := range rounds {
			there := []*world{one, one}
			if round%2 == 1 {
				there[1] = two
			}
			first := c.token()
			got := make([]response, uses)
			var all sync.WaitGroup
			for i := range uses {
				all.Go(func() { got[i] = caller{there[i%2], c.id, c.secret}.refresh(first) })
			}
			all.Wait()
			given := 0
			for _, r := range got {
				if r.status == 200 {
					given++
				} else {
					r.wantInvalidGrant(t)
				}
			}
			if given != 1 {
				t.Fatalf("round %d: %d of %d uses of one refresh token succeeded, want 1", round, given, uses)
			}
		}
	}
}

// TestB12_AllBegunAtOnce is the same where every request has begun before the first
// one is answered: the family goes on, with one new pair each round.
func TestB12_AllBegunAtOnce(t *testing.T) {
	t.Parallel()
	const rounds, uses = 20, 50
	w := newProcess(t, newFile(t), unlimited)
	c := w.caller("app", refreshing)
	w.tick = time.Microsecond
	last := c.token()
	for round := range rounds {
		var begun, all sync.WaitGroup
		begun.Add(uses)
		w.records.set(func(call string) error {
			if call == "Family" {
				begun.Done()
				begun.Wait()
			}
			return nil
		})
		got := make([]response, uses)
		for i := range uses {
			all.Go(func() { got[i] = c.refresh(last) })
		}
		all.Wait()
		w.records.set(nil)
		given := 0
		for _, r := range got {
			if r.status != 200 {
				r.wantInvalidGrant(t)
				continue
			}
			given++
			last = r
		}
		if given != 1 {
			t.Fatalf("round %d: %d successes, want 1", round, given)
		}
		w.wantLive(true, last)
	}
}

// TestI4_OnlySuccessCounts: of many uses at once of one refresh token, one counts.
func TestI4_OnlySuccessCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.caller("app", refreshing)
	first := c.token()
	begun := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Add(50)
	w.records.set(func(call string) error {
		if call == "Family done" {
			waiting.Done()
			<-begun
		}
		return nil
	})
	got := make([]response, 50)
	var all sync.WaitGroup
	for i := range got {
		all.Go(func() { got[i] = c.refresh(first) })
	}
	waiting.Wait()
	close(begun)
	all.Wait()
	w.records.set(nil)
	count := map[int]int{}
	for _, r := range got {
		count[r.status]++
	}
	if count[200] != 1 || count[400] != 49 {
		t.Errorf("answers by status: %v", count)
	}
	for range 8 { // with the first token and the refresh: ten
		c.token()
	}
	c.ask(pathOAuth2Token, "grant_type", "client_credentials").refused(t, 429, "R3", "temporarily_unavailable")
}
