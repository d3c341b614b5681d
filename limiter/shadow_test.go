package limiter

import (
	"testing"
	"time"
)

func shadow(t testing.TB, name string, burst Burst, perMinute int64) *Plan {
	t.Helper()
	p, err := NewPlan(Plan{Name: name, Burst: burst, PerMinute: perMinute, Shadow: true})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestShadow_CountsAsIfEnforced: what the plan would have refused is not counted in
// either of its limits, and is in the other plans.
func TestShadow_CountsAsIfEnforced(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		trial         *Plan
		burst, minute int64 // left of the trial's limits in the end
		refused       Kind  // 0: both
	}{
		{"burst", shadow(t, "trial", Burst{1, 3}, 100), 0, 97, KindBurst},
		{"per_minute", shadow(t, "trial", Burst{1, 100}, 3), 97, 0, KindPerMinute},
		{"both", shadow(t, "trial", Burst{1, 3}, 3), 0, 0, 0},
	} {
		for _, trialFirst := range []bool{false, true} {
			tab := table(t, 1<<20)
			own := plan(t, "own", Burst{1, 10}, 10)
			plans, first := []*Plan{own, tt.trial}, 2
			if trialFirst {
				plans, first = []*Plan{tt.trial, own}, 0
			}
			for i := range 8 {
				want := i >= 3
				if l := look(tab, 0, 1, plans...); l.Verdict != Allowed || l.Shadowed != want {
					t.Errorf("%s: look %d: got %v, shadowed %v, want allowed, %v", tt.name, i, l.Verdict, l.Shadowed, want)
				}
				res := take(tab, 0, 1, plans...)
				if res.Verdict != Allowed || res.RetryAfter != 0 || res.Shadowed != want {
					t.Errorf("%s: request %d: got %v, retry after %v, shadowed %v, want allowed, 0, %v", tt.name, i, res.Verdict, res.RetryAfter, res.Shadowed, want)
				}
			}
			res := take(tab, 0, 1, plans...)
			compareStandings(t, res.Standings[first:first+2], []Standing{
				{Plan: tt.trial, Kind: KindBurst, Limit: tt.trial.Burst.Size, Remaining: tt.burst, Window: tt.trial.window, Reset: 3 * time.Second, Refused: tt.refused != KindPerMinute},
				{Plan: tt.trial, Kind: KindPerMinute, Limit: tt.trial.PerMinute, Remaining: tt.minute, Window: time.Minute, Reset: time.Minute, Refused: tt.refused != KindBurst},
			})
			if got := takeN(tab, 5, 0, 1, own); got != 1 {
				t.Errorf("%s: %d left of the other plan, want 1: all requests are charged there", tt.name, got)
			}
			// Once it is enforced it goes on from what it counted.
			enforced := plan(t, "trial", tt.trial.Burst, tt.trial.PerMinute)
			if res := look(tab, 0, 1, enforced); res.Verdict == Allowed || res.Shadowed {
				t.Errorf("%s: enforced: got %v, shadowed %v, want a refusal", tt.name, res.Verdict, res.Shadowed)
			}
		}
	}
}

func TestShadow_NeverDecides(t *testing.T) {
	t.Parallel()
	one, trial := plan(t, "one", Burst{}, 1), shadow(t, "trial", Burst{0.001, 1}, 1)
	tab := table(t, 1<<20)
	if res := take(tab, 0, 1, trial, one); res.Verdict != Allowed || res.Shadowed {
		t.Errorf("the first: got %v, shadowed %v, want allowed, false", res.Verdict, res.Shadowed)
	}
	// Both refuse: the verdict, and the time, are of the one that is enforced.
	res := take(tab, 15*time.Second, 1, trial, one)
	if res.Verdict != RefusedMinute || res.RetryAfter != 45*time.Second || !res.Shadowed {
		t.Errorf("both refuse: got %v, retry after %v, shadowed %v, want refused by per_minute, 45s, true", res.Verdict, res.RetryAfter, res.Shadowed)
	}
	for i, want := range []bool{true, true, false} {
		if s := &res.Standings[i]; !s.Refused || s.InShadow() != want {
			t.Errorf("standing %d: got refused %v, in shadow %v, want true, %v", i, s.Refused, s.InShadow(), want)
		}
	}
	// One Result serves many.
	if tab.Take(at(0), 2, []*Plan{trial}, res); res.Verdict != Allowed || res.Shadowed {
		t.Errorf("another subject: got %v, shadowed %v, want allowed, false", res.Verdict, res.Shadowed)
	}
	if (&Standing{}).InShadow() {
		t.Error("a limit of no plan is in shadow")
	}
}

func TestShadow_IsNotChargedForARefusal(t *testing.T) {
	t.Parallel()
	one, trial, fresh := plan(t, "one", Burst{}, 1), shadow(t, "trial", Burst{1, 9}, 9), shadow(t, "fresh", Burst{1, 9}, 9)
	tab := table(t, 1<<20)
	take(tab, 0, 1, one, trial)
	before := tab.Len()
	takeN(tab, 5, 0, 1, one, trial, fresh)
	for _, s := range look(tab, 0, 1, trial).All() {
		if s.Remaining != 8 {
			t.Errorf("%v: got %d left, want 8", s.Kind, s.Remaining)
		}
	}
	if got := tab.Len(); got != before {
		t.Errorf("a refused request made an entry: got %d, want %d", got, before)
	}
}

// TestShadow_DoesNotRefuseForWantOfRoom: not even when only its own entry is missing,
// and one that is there goes on counting.
func TestShadow_DoesNotRefuseForWantOfRoom(t *testing.T) {
	t.Parallel()
	tab := table(t, minBytes)
	own, trial, late := plan(t, "own", Burst{}, 100), shadow(t, "trial", Burst{}, 2), shadow(t, "late", Burst{}, 2)
	for range 2 {
		take(tab, 0, 0, own, trial)
	}
	last := Subject(0)
	for take(tab, 0, last+1, own).Verdict == Allowed {
		last++
	}
	entries, full := tab.Len(), tab.Full()
	if l := look(tab, 0, last, own, late); l.Verdict != Allowed {
		t.Errorf("look: got %v", l.Verdict)
	}
	for i := range int64(3) {
		res := take(tab, 0, last, own, late)
		wantStandings(t, res,
			Standing{Plan: own, Kind: KindPerMinute, Limit: 100, Remaining: 98 - i, Window: time.Minute, Reset: time.Minute},
			Standing{Plan: late, Kind: KindPerMinute, Limit: 2, Remaining: 2, Window: time.Minute})
		if res.Verdict != Allowed || res.Shadowed {
			t.Errorf("got %v, shadowed %v, want allowed, false", res.Verdict, res.Shadowed)
		}
	}
	res := take(tab, 0, 0, late, own, trial)
	if res.Verdict != Allowed || !res.Shadowed || res.Standings[1].Remaining != 97 {
		t.Errorf("got %v, shadowed %v, %d left, want allowed, true, 97", res.Verdict, res.Shadowed, res.Standings[1].Remaining)
	}
	if tab.Len() != entries || tab.Full() != full {
		t.Errorf("got %d entries, %d refused, want %d, %d", tab.Len(), tab.Full(), entries, full)
	}
	if res := take(tab, 0, last+1, late, own); res.Verdict != Full || res.Count != 0 || tab.Full() != full+1 {
		t.Errorf("a new subject: got %v, want full: its own plan has no room", res.Verdict)
	}
}

// TestShadow_ClockBackwards: the entry is brought back to now as any other is.
func TestShadow_ClockBackwards(t *testing.T) {
	t.Parallel()
	own, trial := plan(t, "own", Burst{}, 1000), shadow(t, "trial", Burst{1, 10}, 10)
	for _, beside := range []bool{false, true} {
		tab := table(t, 1<<20)
		takeN(tab, 10, 2*time.Hour, 1, trial)
		plans := []*Plan{trial}
		if beside { // its entry is made in the same moment
			plans = []*Plan{trial, own}
		}
		if res := take(tab, time.Hour, 1, plans...); !res.Shadowed {
			t.Errorf("set back: the trial passes")
		}
		if res := take(tab, time.Hour+time.Minute, 1, plans...); res.Shadowed {
			t.Errorf("a minute later: the trial refuses until the clock is where it was")
		}
	}
}
