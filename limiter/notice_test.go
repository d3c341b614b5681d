package limiter

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestNotices_OnceInAWindow(t *testing.T) {
	t.Parallel()
	key := NoticeKey{Subject: 1, Plan: "default", Kind: KindPerDay, Level: Near, Limit: 100}
	n := NewNotices(100)
	for _, step := range []struct {
		at    time.Duration
		until time.Duration
		want  bool
	}{
		{0, time.Minute, true},
		{0, time.Minute, false},
		{30 * time.Second, time.Minute, false}, // which does not make the window longer
		{time.Minute - 1, time.Hour, false},
		{time.Minute, time.Second, true},
		{time.Minute - 10*time.Second, time.Second, false}, // a straggler
		{61 * time.Second, 0, true},
		{100 * 365 * 24 * time.Hour, time.Second, false}, // never over
	} {
		if got := n.First(key, at(step.at), step.until); got != step.want {
			t.Errorf("at %v: got %v, want %v", step.at, got, step.want)
		}
	}
	for _, other := range []NoticeKey{
		{Subject: 2, Plan: "default", Kind: KindPerDay, Level: Near, Limit: 100},
		{Subject: 1, Plan: "strict", Kind: KindPerDay, Level: Near, Limit: 100},
		{Subject: 1, Plan: "default", Kind: KindBurst, Level: Near, Limit: 100},
		{Subject: 1, Plan: "default", Kind: KindPerDay, Level: Reached, Limit: 100},
		{Subject: 1, Plan: "default", Kind: KindPerDay, Level: Near, Limit: 101},
	} {
		if !n.First(other, at(0), time.Minute) || n.First(other, at(0), time.Minute) {
			t.Errorf("%+v: want true, then false", other)
		}
	}
}

func TestNotices_Ends(t *testing.T) {
	t.Parallel()
	n := NewNotices(1)
	for range 2 { // windows that were over before they began
		if !n.First(NoticeKey{Subject: 1}, at(0), -1) || n.Len() != 0 {
			t.Error("a window that is over: want true, and nothing remembered")
		}
	}
	if !n.First(NoticeKey{}, at(time.Hour), math.MaxInt64) || n.First(NoticeKey{}, at(2*time.Hour), 1) {
		t.Error("the longest window: want true, then false")
	}
	for _, max := range []int{0, -1} {
		if n := NewNotices(max); n.First(NoticeKey{}, at(0), time.Minute) || n.Lost() != 1 {
			t.Errorf("a memory of %d: want none given", max)
		}
	}
}

func TestNotices_Full(t *testing.T) {
	t.Parallel()
	n := NewNotices(3)
	const second, minute = time.Second, time.Minute
	for _, step := range []struct {
		who       Subject
		at, until time.Duration
		want      bool
		left      int
		why       string
	}{
		{1, 0, minute, true, 1, ""},
		{2, 30 * minute, 0, true, 2, ""},
		{3, 40 * minute, 0, true, 3, ""},
		{4, 40 * minute, 0, true, 3, "the first is over and dropped"},
		{5, 40 * minute, 0, false, 3, "all were told within the hour"},
		{2, 80 * minute, 0, false, 3, "told before"},
		{5, 90*minute - second, 0, false, 3, "all were told within the hour"},
		{5, 90 * minute, 0, true, 3, "the second is forgotten"},
		{2, 95 * minute, 0, false, 3, "forgotten, but there is no room"},
		{2, 100 * minute, minute, true, 2, "told again, since those of the 40th minute are forgotten"},
		{5, 200 * minute, 0, false, 2, "not forgotten without need"},
		{6, 201 * minute, second, true, 3, ""},
		{7, 201 * minute, 2 * second, true, 3, "dropping the second is enough, the fifth stays"},
		{5, 201 * minute, 0, false, 3, "told before"},
		{8, 201*minute + second, 0, true, 3, "dropping the sixth is enough"},
		{6, 201*minute + second, 2 * second, true, 3, "the fifth is forgotten, as no search for what is over is due"},
		{9, 201*minute + 2*second - 1, 0, false, 3, "no search is due"},
		{7, 201*minute + 2*second - 1, 0, false, 3, "not over yet"},
		{9, 201*minute + 2*second, 0, true, 3, "the seventh is over"},
		{6, 201*minute + 3*second - 1, 0, false, 3, "not over yet"},
		{10, 201*minute + 3*second, 0, true, 3, "the sixth is over"},
		{11, 201*minute + 3*second, 0, false, 3, ""},
	} {
		if got := n.First(NoticeKey{Subject: step.who}, at(step.at), step.until); got != step.want || n.Len() != step.left {
			t.Errorf("%d at %v: got %v, %d remembered, want %v, %d: %s", step.who, step.at, got, n.Len(), step.want, step.left, step.why)
		}
	}
	if got := n.Lost(); got != 5 {
		t.Errorf("got %d lost, want 5", got)
	}
}

// TestNotices_IsNotSearchedEachTime: once for what is over and once for what is old,
// then not for a second.
func TestNotices_IsNotSearchedEachTime(t *testing.T) {
	t.Parallel()
	n := NewNotices(1)
	const ms = time.Millisecond
	for _, step := range []struct {
		who       Subject
		at, until time.Duration
		want      bool
	}{
		{1, 0, ms, true},
		{2, ms, ms, true},      // searched for what is over
		{3, 2 * ms, ms, true},  // and for what is old
		{4, 3 * ms, ms, false}, // not again, although the third is over
		{3, 3 * ms, ms, true},  // which needs no room to be told again
		{4, 4 * ms, ms, false},
		{4, 1000 * ms, ms, false},
		{4, 1001 * ms, ms, true},
	} {
		if got := n.First(NoticeKey{Subject: step.who}, at(step.at), step.until); got != step.want {
			t.Errorf("%d at %v: got %v, want %v", step.who, step.at, got, step.want)
		}
	}
}

func TestNotices_ClockBackwards(t *testing.T) {
	t.Parallel()
	n := NewNotices(2)
	for i, step := range []struct{ at, until time.Duration }{
		{0, 0}, {0, 0},
		{2 * time.Hour, 0}, // searches, and forgets both
		{30 * time.Minute, time.Second},
		{31 * time.Minute, time.Second}, // searches again
	} {
		if !n.First(NoticeKey{Subject: Subject(i)}, at(step.at), step.until) {
			t.Errorf("at %v: the notice was lost", step.at)
		}
	}
}

// TestNotices_AgainstModel compares a memory that is large enough with a list of all
// that was told, and holds a small one to what it promises.
func TestNotices_AgainstModel(t *testing.T) {
	t.Parallel()
	type tell struct {
		key      NoticeKey
		at, ends time.Duration
	}
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		max := 1 + rnd.IntN(20)
		large, small := NewNotices(10_000), NewNotices(max)
		var due, told []tell // what the large and the small one said
		refused := 0
		now := time.Duration(0)
		for range 3000 {
			switch rnd.IntN(20) {
			case 0:
				now += time.Duration(rnd.Int64N(int64(40 * time.Minute)))
			case 1, 2, 3, 4, 5: // at the same time
			default:
				now += time.Duration(rnd.Int64N(int64(20 * time.Second)))
			}
			key := NoticeKey{Subject: Subject(rnd.IntN(15)), Kind: Kind(rnd.IntN(2)), Level: Level(rnd.IntN(2))}
			until := []time.Duration{0, time.Second, time.Minute, time.Hour, 24 * time.Hour}[rnd.IntN(5)]
			ends := now + until
			if until == 0 {
				ends = math.MaxInt64
			}
			open := func(list []tell, since time.Duration) (n int, ofKey bool) {
				for _, o := range list {
					if o.ends > now && o.at > since {
						n, ofKey = n+1, ofKey || o.key == key
					}
				}
				return n, ofKey
			}
			if _, want := open(due, -1); large.First(key, at(now), until) == want {
				t.Fatalf("seed %d: the large one said %v", seed, !want)
			} else if !want {
				due = append(due, tell{key, now, ends})
			}
			_, ever := open(told, -1)
			_, lately := open(told, now-time.Hour)
			switch got := small.First(key, at(now), until); {
			case got && lately:
				t.Fatalf("seed %d: told twice within the hour", seed)
			case got:
				told = append(told, tell{key, now, ends})
			case !ever:
				// What was over may have ended since the last search, a second ago at most.
				n := 0
				for _, o := range told {
					if o.ends > now-time.Second && o.at > now-time.Hour-time.Second {
						n++
					}
				}
				if refused++; n < max {
					t.Fatalf("seed %d: a notice was lost, with %d of %d told within the hour", seed, n, max)
				}
			}
			if small.Len() > max {
				t.Fatalf("seed %d: %d remembered, want at most %d", seed, small.Len(), max)
			}
		}
		if int64(refused) > small.Lost() || large.Lost() != 0 {
			t.Errorf("seed %d: got %d and %d lost, want at least %d and none", seed, small.Lost(), large.Lost(), refused)
		}
	}
}

func TestNotices_OnceUnderContention(t *testing.T) {
	t.Parallel()
	n := NewNotices(1000)
	var given atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := range 5000 {
				if n.First(NoticeKey{Subject: Subject(i % 500)}, epoch, 0) {
					given.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if got := given.Load(); got != 500 {
		t.Errorf("got %d given, want 500", got)
	}
}

func TestNotices_DoesNotAllocate(t *testing.T) {
	n := NewNotices(100)
	now, who := epoch, Subject(0)
	for range 1000 {
		who++
		n.First(NoticeKey{Subject: who}, now, time.Minute)
	}
	for name, f := range map[string]func(){
		"told":    func() { n.First(NoticeKey{Subject: 1}, now, time.Minute) },
		"no room": func() { n.First(NoticeKey{Subject: 1e6}, now, time.Minute) },
		"warn at": func() { WarnAt(1<<53, 0.123456789) },
	} {
		if got := testing.AllocsPerRun(1000, f); got != 0 {
			t.Errorf("%s: got %v allocations, want 0", name, got)
		}
	}
}

func TestWarnAt(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		limit int64
		share float64
		want  int64
	}{
		{1000, 0.8, 800}, {100, 0.83, 83}, {10, 0.7, 7}, {10, 0.07, 1}, {10, 0.71, 8},
		{1, 0.8, 1}, {2, 0.8, 2}, {3, 0.5, 2}, {1, 1e-300, 1}, {1e12, 1e-300, 1},
		{100, 0, 0}, {100, 1, 100}, {100, 1.5, 100}, {100, -0.5, 0}, {100, math.NaN(), 0}, {100, math.Inf(1), 100},
		{0, 0.8, 0}, {-5, 0.8, 0},
		{1 << 53, 0.1, 900719925474100}, {1 << 53, 1 - 1.0/(1<<53), 1<<53 - 1 + 1},
		{math.MaxInt64, 0.5, 1 << 62}, {math.MaxInt64, math.SmallestNonzeroFloat64, 1},
		{1e12, 1e-12, 1}, {1e12, 1.5e-12, 2}, {1e12, 1e-11, 10}, {1 << 53, 1e-20, 1},
	} {
		if got := WarnAt(tt.limit, tt.share); got != tt.want {
			t.Errorf("WarnAt(%d, %v): got %d, want %d", tt.limit, tt.share, got, tt.want)
		}
	}
}

// TestWarnAt_AgainstFractions computes the same with fractions of any size.
func TestWarnAt_AgainstFractions(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range 20_000 {
		limit := 1 + rnd.Int64N(1<<(1+rnd.IntN(62)))
		share := rnd.Float64()
		switch i % 4 {
		case 0: // as people write it
			share, _ = strconv.ParseFloat(fmt.Sprintf("0.%0*d", 1+rnd.IntN(4), 1+rnd.IntN(9)), 64)
		case 1:
			share = math.Pow(share, 40)
		}
		want, _ := new(big.Rat).SetString(strconv.FormatFloat(share, 'g', -1, 64))
		want.Mul(want, new(big.Rat).SetInt64(limit))
		up := new(big.Int).Add(want.Num(), new(big.Int).Sub(want.Denom(), big.NewInt(1)))
		if got := WarnAt(limit, share); got != up.Div(up, want.Denom()).Int64() {
			t.Fatalf("WarnAt(%d, %v): got %d, want %v", limit, share, got, up)
		}
	}
}
