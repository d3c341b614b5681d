package limiter

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
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
// allowed in the end with the promises.
func TestTake_AgainstModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(80) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		p := plan(t, "p", Burst{0.2 + 3*rnd.Float64(), 1 + rnd.Int64N(12)}, 1+rnd.Int64N(40))
		q := plan(t, "q", Burst{}, 1+rnd.Int64N(40))
		tab := table(t, minBytes)
		mp, mq := newModel(p), newModel(q)
		// Short and long steps, some of them onto the very edges of parts.
		now := time.Duration(rnd.Int64N(1e9))
		for range 1500 {
			switch rnd.IntN(40) {
			case 0:
				now += time.Duration(rnd.Int64N(int64(90 * time.Second)))
			case 1:
				now += 10 * time.Second
			case 2, 3:
				if mp.anchor >= 0 {
					now += 10*time.Second - (now-mp.anchor)%(10*time.Second) - time.Duration(rnd.IntN(2))
				}
			case 4, 5, 6, 7, 8: // at the same time
			default:
				now += time.Duration(rnd.Int64N(int64(700 * time.Millisecond)))
			}
			plans := []*Plan{p}
			withQ := rnd.IntN(3) == 0
			if withQ {
				plans = append(plans, q)
			}
			compare(t, tab, now, plans, mp, mq, withQ)
			if t.Failed() {
				t.Fatalf("seed %d at %v: plans %+v, %+v", seed, now, p, q)
			}
		}
		promises(t, p, mp.uses)
		promises(t, q, mq.uses)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func compare(t *testing.T, tab *Table, now time.Duration, plans []*Plan, mp, mq *model, withQ bool) {
	t.Helper()
	aheadP, aheadQ := mp.ahead(now), mq.ahead(now)
	burst, min1 := mp.left(now)
	want := Allowed
	_, min2 := mq.left(now)
	switch {
	case burst == 0:
		want = RefusedBurst
	case min1 == 0, withQ && min2 == 0:
		want = RefusedMinute
	}
	res := take(tab, now, 1, plans...)
	if res.Verdict != want {
		t.Errorf("got %v, want %v", res.Verdict, want)
		return
	}
	if want == Allowed {
		mp.spend(now)
		burst, min1 = burst-1, min1-1
		if withQ {
			mq.spend(now)
			min2--
		}
	} else {
		// After exactly RetryAfter the model passes too, and not before, unless
		// it was about to turn out as even.
		if b, m := probe(*mp, now+res.RetryAfter), probe(*mq, now+res.RetryAfter); !b || withQ && !m {
			t.Errorf("retry after %v is too short", res.RetryAfter)
		}
		if b, m := probe(*mp, now+res.RetryAfter-1), probe(*mq, now+res.RetryAfter-1); b && (!withQ || m) && mp.ahead(now+res.RetryAfter-1)+mq.ahead(now+res.RetryAfter-1) == 0 {
			t.Errorf("retry after %v is too long", res.RetryAfter)
		}
	}
	left, ahead := []int64{burst, min1, min2}, []int64{0, aheadP, aheadQ}
	for i, s := range res.All() {
		if want := max(0, left[i]-ahead[i]); s.Remaining != want {
			t.Errorf("standing %d: got %d left, want %d", i, s.Remaining, want)
		}
	}
}

// probe reports whether a copy of the model passes at now.
func probe(m model, now time.Duration) bool {
	burst, perMinute := m.left(now)
	return (m.plan.interval == 0 || burst > 0) && perMinute > 0
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
