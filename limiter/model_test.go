package limiter

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// model says by the letter of the contract, and slowly, what a plan allows: the
// bucket is counted up as time passes, the minute is counted from the list of
// all uses.
type model struct {
	plan   *Plan
	level  time.Duration // of the bucket, in time
	last   time.Duration
	anchor time.Duration
	uses   []time.Duration
}

func newModel(p *Plan) *model { return &model{plan: p, level: time.Duration(p.fill), anchor: -1} }

// left returns what burst and per_minute would still allow at now.
func (m *model) left(now time.Duration) (burst, perMinute int64) {
	m.level = min(time.Duration(m.plan.fill), m.level+now-m.last)
	m.last = now
	if m.plan.interval > 0 {
		burst = int64(m.level) / m.plan.interval
	}
	return burst, m.plan.PerMinute + m.ahead(now) - int64(m.inWindow(now))
}

// ahead is what passes beyond the limit in the last half second of a part. It
// goes by the arrivals of an even pace: each at its time, or up to half a second late.
func (m *model) ahead(now time.Duration) int64 {
	const late = 500 * time.Millisecond
	if m.anchor < 0 || m.plan.PerMinute == 0 {
		return 0
	}
	began := now - (now-m.anchor)%(10*time.Second) // the newest part
	if now < began+10*time.Second-late {
		return 0
	}
	count := func(from, to time.Duration) (n float64) {
		for _, u := range m.uses {
			if u >= max(from, m.anchor) && u < to {
				n++
			}
		}
		return n
	}
	pace := float64(m.plan.PerMinute) / float64(time.Minute)
	for i := range time.Duration(6) {
		least := pace * float64((i+1)*10*time.Second-2*late)
		most := pace*float64((i+1)*10*time.Second+late) + 1
		if n := count(began-i*10*time.Second, now+1); n < math.Floor(least+1e-9) || n > math.Floor(most+1e-9) {
			return 0
		}
	}
	more := math.Floor(pace*float64(late)+1e-9) + 1
	if oldest := began - 50*time.Second; count(oldest, oldest+10*time.Second-late) < more {
		return 0
	}
	return int64(more)
}

func (m *model) inWindow(now time.Duration) (n int) {
	if m.anchor < 0 {
		return 0
	}
	part := func(t time.Duration) int64 { return int64((t - m.anchor) / (10 * time.Second)) }
	for _, u := range m.uses {
		if u >= m.anchor && part(now)-part(u) < 6 {
			n++
		}
	}
	return n
}

func (m *model) spend(now time.Duration) {
	if m.inWindow(now) == 0 {
		m.anchor = now
	}
	m.level -= time.Duration(m.plan.interval)
	m.uses = append(m.uses, now)
}

// TestTake_AgainstModel compares every answer with the model, and what was
// allowed in the end with the promises, which a plan in shadow keeps as well.
func TestTake_AgainstModel(t *testing.T) {
	t.Parallel()
	var said struct{ shadowed, spared int }
	for seed := range uint64(80) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		random := func(name string, shadow bool, burst Burst) *model {
			p, err := NewPlan(Plan{Name: name, Burst: burst, PerMinute: 1 + rnd.Int64N(40), Shadow: shadow})
			if err != nil {
				t.Fatal(err)
			}
			return newModel(p)
		}
		bucket := func() Burst { return Burst{0.2 + 3*rnd.Float64(), 1 + rnd.Int64N(12)} }
		all := []*model{
			random("p", seed%8 == 7, bucket()), random("q", seed%4 > 1, Burst{}),
			random("r", true, bucket()), random("s", seed%2 == 0, Burst{}),
		}
		tab := table(t, minBytes)
		// Short and long steps, some of them onto the very edges of parts.
		now := time.Duration(rnd.Int64N(1e9))
		for range 1500 {
			switch rnd.IntN(40) {
			case 0:
				now += time.Duration(rnd.Int64N(int64(90 * time.Second)))
			case 1:
				now += 10 * time.Second
			case 2, 3:
				if anchor := all[rnd.IntN(len(all))].anchor; anchor >= 0 {
					now += 10*time.Second - (now-anchor)%(10*time.Second) - time.Duration(rnd.IntN(2))
				}
			case 4, 5, 6, 7, 8: // at the same time
			default:
				now += time.Duration(rnd.Int64N(int64(700 * time.Millisecond)))
			}
			asked := []*model{all[0]}
			for _, m := range all[1:] {
				if rnd.IntN(3) == 0 {
					asked = append(asked, m)
				}
			}
			rnd.Shuffle(len(asked), func(i, j int) { asked[i], asked[j] = asked[j], asked[i] })
			res := compare(t, tab, now, asked)
			if t.Failed() {
				t.Fatalf("seed %d at %v", seed, now)
			}
			if res.Shadowed {
				said.shadowed++
				if res.Verdict == Allowed {
					said.spared++
				}
			}
		}
		for _, m := range all {
			promises(t, m.plan, m.uses)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if said.spared < 1000 || said.shadowed-said.spared < 1000 {
		t.Errorf("a plan in shadow refused in %d requests that passed and %d that did not: too few to tell",
			said.spared, said.shadowed-said.spared)
	}
}

func compare(t *testing.T, tab *Table, now time.Duration, asked []*model) *Result {
	t.Helper()
	want, shadowed := Allowed, false
	var plans []*Plan
	var standings []Standing // what is left and whether it refuses
	for _, m := range asked {
		plans = append(plans, m.plan)
		burst, perMinute := m.left(now)
		if m.plan.interval > 0 {
			standings = append(standings, Standing{Plan: m.plan, Kind: KindBurst, Remaining: burst, Refused: burst == 0})
		}
		standings = append(standings, Standing{Plan: m.plan, Kind: KindPerMinute, Remaining: max(0, perMinute-m.ahead(now)), Refused: perMinute <= 0})
		switch {
		case m.passes(now):
		case m.plan.Shadow:
			shadowed = true
		case m.plan.interval > 0 && burst == 0:
			want = RefusedBurst
		case want == Allowed:
			want = RefusedMinute
		}
	}
	res := take(tab, now, 1, plans...)
	if res.Verdict != want || res.Shadowed != shadowed {
		t.Errorf("got %v, shadowed %v, want %v, %v", res.Verdict, res.Shadowed, want, shadowed)
		return res
	}
	if want == Allowed {
		for _, m := range asked {
			if !m.passes(now) {
				continue // in shadow
			}
			for i := range standings {
				if s := &standings[i]; s.Plan == m.plan {
					s.Remaining = max(0, s.Remaining-1)
				}
			}
			m.spend(now)
		}
		if res.RetryAfter != 0 {
			t.Errorf("allowed, and retry after %v", res.RetryAfter)
		}
	} else {
		// After exactly RetryAfter the model passes too, and not before, unless
		// it was about to turn out as even.
		if pass, _ := probe(asked, now+res.RetryAfter); !pass {
			t.Errorf("retry after %v is too short", res.RetryAfter)
		}
		if pass, ahead := probe(asked, now+res.RetryAfter-1); pass && !ahead {
			t.Errorf("retry after %v is too long", res.RetryAfter)
		}
	}
	same := cmp.Comparer(func(a, b Standing) bool {
		return a.Plan == b.Plan && a.Kind == b.Kind && a.Remaining == b.Remaining && a.Refused == b.Refused
	})
	if diff := cmp.Diff(standings, res.All(), same, cmp.AllowUnexported(Plan{})); diff != "" {
		t.Errorf("standings (-want +got):\n%s", diff)
	}
	return res
}

// passes reports whether both limits do.
func (m *model) passes(now time.Duration) bool {
	burst, perMinute := m.left(now)
	return (m.plan.interval == 0 || burst > 0) && perMinute > 0
}

// probe reports whether copies of the models that are enforced pass at now, and
// whether any is ahead there.
func probe(asked []*model, now time.Duration) (pass, ahead bool) {
	pass = true
	for _, m := range asked {
		if copied := *m; !m.plan.Shadow {
			pass, ahead = pass && copied.passes(now), ahead || copied.ahead(now) > 0
		}
	}
	return pass, ahead
}

// promises checks the uses that were allowed against what the contract says.
func promises(t *testing.T, p *Plan, uses []time.Duration) {
	t.Helper()
	within := func(from, to time.Duration) (n int64) { // both ends included
		for _, u := range uses {
			if u >= from && u <= to {
				n++
			}
		}
		return n
	}
	for i, u := range uses {
		if got := within(u, u+50*time.Second); got > p.PerMinute {
			t.Errorf("%d uses in the 50 s from %v, want at most %d", got, u, p.PerMinute)
		}
		if idle := i == 0 || u-uses[i-1] >= time.Minute; idle {
			// In the rest of it, one more passes if they were even.
			if got := within(u, u+time.Minute-time.Duration(slack)-1); got > p.PerMinute {
				t.Errorf("%d uses in the first 59.5 s from %v, want at most %d", got, u, p.PerMinute)
			}
		}
		if p.interval == 0 {
			continue
		}
		for j := i; j < len(uses); j++ {
			most := float64(p.Burst.Size) + p.Burst.Rate*(uses[j]-u).Seconds()
			if got := float64(j - i + 1); got > most+1e-6 {
				t.Errorf("%v uses in %v, want at most %v", got, uses[j]-u, most)
			}
		}
	}
}

// TestTake_EvenPacingIsNeverRefused sends at exactly n a minute, through nothing
// and through a network that makes requests late.
func TestTake_EvenPacingIsNeverRefused(t *testing.T) {
	t.Parallel()
	for _, n := range []int64{1, 2, 3, 5, 6, 7, 11, 12, 59, 60, 61, 90, 100, 999, 1000, 10_000} {
		p := plan(t, "p", Burst{}, n)
		for _, late := range []time.Duration{0, time.Microsecond, 10 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond} {
			rnd := rand.New(rand.NewPCG(uint64(n), uint64(late)))
			tab := table(t, minBytes)
			for who := range Subject(3) {
				arrivals := evenly(rnd, n, late)
				for i, at := range arrivals {
					if res := take(tab, at, who, p); res.Verdict != Allowed {
						t.Fatalf("%d a minute, up to %v late: request %d refused, retry after %v", n, late, i, res.RetryAfter)
					}
				}
				promises(t, p, arrivals[:min(len(arrivals), 3000)])
			}
		}
	}
}

func evenly(rnd *rand.Rand, n int64, late time.Duration) []time.Duration {
	start := time.Duration(rnd.Int64N(int64(time.Hour)))
	arrivals := make([]time.Duration, max(3*n, 300))
	for i := range arrivals {
		arrivals[i] = start + time.Duration((int64(i)*int64(time.Minute)+n-1)/n)
		if late > 0 {
			arrivals[i] += time.Duration(rnd.Int64N(int64(late) + 1))
		}
	}
	slices.Sort(arrivals)
	return arrivals
}

// TestTake_OnlyEvenCallersPassAhead: what an uneven caller uses in his first
// minute stays n up to its end, even if the oldest uses leave just then.
func TestTake_OnlyEvenCallersPassAhead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		n    int64
		at   func(i int64) time.Duration // of the i-th use
	}{
		{"all at once", 2, func(int64) time.Duration { return 0 }},
		{"all at once", 60, func(int64) time.Duration { return 0 }},
		{"one, then all at the end", 60, func(i int64) time.Duration { return time.Duration(min(i, 1)) * 59_700 * time.Millisecond }},
		{"twice as fast", 60, func(i int64) time.Duration { return time.Duration(i) * 500 * time.Millisecond }},
		{"a tenth faster", 1000, func(i int64) time.Duration { return time.Duration(i) * 54 * time.Millisecond }},
		{"even, but at the ends of the parts", 1200, func(i int64) time.Duration {
			return time.Duration(min(i, 1)) * (time.Duration(i/200+1)*10*time.Second - time.Duration(200-i%200)*time.Millisecond)
		}},
	} {
		p := plan(t, "p", Burst{}, tt.n)
		tab := table(t, minBytes)
		start := tt.at(0)
		for i := range tt.n {
			if res := take(tab, tt.at(i), 1, p); res.Verdict != Allowed {
				t.Errorf("%s: use %d of %d refused", tt.name, i, tt.n)
			}
		}
		for at := tt.at(tt.n - 1); at < start+time.Minute; at += 7 * time.Millisecond {
			if res := take(tab, at, 1, p); res.Verdict != RefusedMinute {
				t.Errorf("%s, %d a minute: one more passes %v after the first", tt.name, tt.n, at-start)
				break
			}
		}
	}
}
