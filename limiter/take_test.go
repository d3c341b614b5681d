package limiter

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return epoch.Add(d) }

func table(t testing.TB, maxBytes int64) *Table {
	t.Helper()
	tab, err := New(Config{MaxBytes: maxBytes, Epoch: epoch})
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

// take takes once and returns the answer.
func take(tab *Table, d time.Duration, who Subject, plans ...*Plan) *Result {
	var res Result
	tab.Take(at(d), who, plans, &res)
	return &res
}

func look(tab *Table, d time.Duration, who Subject, plans ...*Plan) *Result {
	var res Result
	tab.Look(at(d), who, plans, &res)
	return &res
}

// takeN takes n times at d and returns how many were allowed.
func takeN(tab *Table, n int, d time.Duration, who Subject, plans ...*Plan) (allowed int) {
	for range n {
		if take(tab, d, who, plans...).Verdict == Allowed {
			allowed++
		}
	}
	return allowed
}

func wantStandings(t *testing.T, res *Result, want ...Standing) {
	t.Helper()
	compareStandings(t, res.All(), want)
}

func compareStandings(t *testing.T, got, want []Standing) {
	t.Helper()
	byName := cmp.Comparer(func(a, b *Plan) bool { return a == b })
	if diff := cmp.Diff(want, got, byName, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("standings (-want +got):\n%s", diff)
	}
}

func TestTake_Standings(t *testing.T) {
	t.Parallel()
	tab := table(t, 1<<20)
	p := plan(t, "default", Burst{50, 100}, 1000)
	strict := plan(t, "strict", Burst{}, 2)
	who := tab.Subject("token", "a")

	wantStandings(t, look(tab, 0, who, p, strict),
		Standing{Plan: p, Kind: KindBurst, Limit: 100, Remaining: 100, Window: 2 * time.Second},
		Standing{Plan: p, Kind: KindPerMinute, Limit: 1000, Remaining: 1000, Window: time.Minute},
		Standing{Plan: strict, Kind: KindPerMinute, Limit: 2, Remaining: 2, Window: time.Minute})
	wantStandings(t, take(tab, 0, who, p, strict),
		Standing{Plan: p, Kind: KindBurst, Limit: 100, Remaining: 99, Window: 2 * time.Second, Reset: 20 * time.Millisecond},
		Standing{Plan: p, Kind: KindPerMinute, Limit: 1000, Remaining: 999, Window: time.Minute, Reset: time.Minute},
		Standing{Plan: strict, Kind: KindPerMinute, Limit: 2, Remaining: 1, Window: time.Minute, Reset: time.Minute})
	take(tab, 15*time.Second, who, p, strict)
	res := take(tab, 15*time.Second, who, p, strict)
	if res.Verdict != RefusedMinute || res.RetryAfter != 45*time.Second {
		t.Errorf("got %v, retry after %v, want refused by per_minute, 45s", res.Verdict, res.RetryAfter)
	}
	// The limits that did not refuse are not charged.
	wantStandings(t, res,
		Standing{Plan: p, Kind: KindBurst, Limit: 100, Remaining: 99, Window: 2 * time.Second, Reset: 20 * time.Millisecond},
		Standing{Plan: p, Kind: KindPerMinute, Limit: 1000, Remaining: 998, Window: time.Minute, Reset: 45 * time.Second},
		Standing{Plan: strict, Kind: KindPerMinute, Limit: 2, Remaining: 0, Window: time.Minute, Reset: 45 * time.Second, Refused: true})
}

func TestTake_BurstDecidesTheVerdictAndTheLongestTheWait(t *testing.T) {
	t.Parallel()
	for _, swap := range []bool{false, true} {
		tab := table(t, 1<<20)
		fast, slow := plan(t, "fast", Burst{1, 1}, 0), plan(t, "slow", Burst{}, 1)
		plans := []*Plan{fast, slow}
		if swap {
			plans = []*Plan{slow, fast}
		}
		take(tab, 0, 1, plans...)
		res := take(tab, 0, 1, plans...)
		if res.Verdict != RefusedBurst || res.RetryAfter != time.Minute {
			t.Errorf("got %v, retry after %v, want refused by burst, 1m", res.Verdict, res.RetryAfter)
		}
	}
}

func TestTake_AllOrNothingOverTwoPlans(t *testing.T) {
	t.Parallel()
	tab := table(t, 1<<20)
	own, route := plan(t, "own", Burst{1, 10}, 10), plan(t, "route", Burst{1, 3}, 100)
	if got := takeN(tab, 20, 0, 7, own, route); got != 3 {
		t.Errorf("with both plans: got %d allowed, want 3", got)
	}
	if got := takeN(tab, 20, 0, 7, own); got != 7 {
		t.Errorf("what is left of the client's plan: got %d, want 7: refused requests were charged", got)
	}
	// The other way round: the client's plan refuses, the route's is not charged,
	// and for a route that was never allowed nothing is created.
	before := tab.Len()
	other := plan(t, "other", Burst{1, 3}, 0)
	if got := takeN(tab, 20, 0, 7, own, other); got != 0 {
		t.Errorf("client's plan used up: got %d allowed", got)
	}
	if got := tab.Len(); got != before {
		t.Errorf("a refused request made an entry: got %d entries, want %d", got, before)
	}
	if got := takeN(tab, 20, 0, 7, other); got != 3 {
		t.Errorf("the route's plan: got %d allowed, want 3", got)
	}
}

func TestTake_PlansCountApartAndOnceEach(t *testing.T) {
	t.Parallel()
	tab := table(t, 1<<20)
	a, b := plan(t, "a", Burst{1, 4}, 0), plan(t, "b", Burst{1, 4}, 0)
	again := plan(t, "a", Burst{1, 2}, 0) // the same name: one counter, the limits of the first
	if got := takeN(tab, 9, 0, 1, a, a, again); got != 4 {
		t.Errorf("one plan thrice: got %d, want 4", got)
	}
	if got := takeN(tab, 9, 0, 1, b); got != 4 {
		t.Errorf("another plan: got %d, want 4", got)
	}
	if got := takeN(tab, 9, 0, 2, a); got != 4 {
		t.Errorf("another subject: got %d, want 4", got)
	}
	if n := look(tab, 0, 3, a, again, a).Count; n != 1 {
		t.Errorf("got %d standings, want 1", n)
	}
}

func TestTake_FaultyPlansAreRefused(t *testing.T) {
	t.Parallel()
	tab := table(t, 1<<20)
	p := plan(t, "p", Burst{1, 4}, 10)
	free := plan(t, "free", Burst{}, 0)
	five := []*Plan{plan(t, "1", Burst{}, 1), plan(t, "2", Burst{}, 1), plan(t, "3", Burst{}, 1), plan(t, "4", Burst{}, 1), p}
	for name, tt := range map[string]struct {
		plans []*Plan
		want  Verdict
	}{
		"nil":           {[]*Plan{p, nil}, Full},
		"literal":       {[]*Plan{{Name: "p", PerMinute: 5}}, Full},
		"too many":      {five, Full},
		"as many":       {five[:4], Allowed},
		"no plan":       {nil, Allowed},
		"no limit":      {[]*Plan{free}, Allowed},
		"free and four": {append([]*Plan{free}, five[1:]...), Allowed},
	} {
		res := Result{Verdict: Allowed}
		tab.Take(epoch, tab.Subject(name), tt.plans, &res)
		if res.Verdict != tt.want {
			t.Errorf("%s: got %v, want %v", name, res.Verdict, tt.want)
		}
	}
	if got := tab.Full(); got != 0 {
		t.Errorf("faulty plans counted as a full table: got %d", got)
	}
}

func TestLook_SpendsAndCreatesNothing(t *testing.T) {
	t.Parallel()
	tab := table(t, 1<<20)
	p := plan(t, "p", Burst{1, 3}, 3)
	for range 10 {
		if res := look(tab, 0, 1, p); res.Verdict != Allowed || res.Standings[0].Remaining != 3 {
			t.Fatalf("got %v, %d left", res.Verdict, res.Standings[0].Remaining)
		}
	}
	if tab.Len() != 0 {
		t.Errorf("Look made %d entries", tab.Len())
	}
	takeN(tab, 3, 0, 1, p)
	for range 10 {
		l, got := look(tab, 0, 1, p), take(tab, 0, 1, p)
		if diff := cmp.Diff(l, got, cmp.AllowUnexported(Plan{})); diff != "" {
			t.Fatalf("Look and Take of a refused request differ:\n%s", diff)
		}
	}
}

func TestB18_ExactUnderContention(t *testing.T) {
	t.Parallel()
	const limit, goroutines, takes = 1000, 64, 10_000
	for name, p := range map[string]*Plan{
		"burst":      plan(t, "p", Burst{100, limit}, 0),
		"per_minute": plan(t, "p", Burst{}, limit),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tab := table(t, 1<<20)
			beside := plan(t, "beside", Burst{1, 2 * limit}, 2*limit)
			who := tab.Subject("hot")
			var allowed atomic.Int64
			var wg sync.WaitGroup
			for range goroutines {
				wg.Go(func() {
					var res Result
					plans := []*Plan{beside, p}
					for range takes {
						if tab.Take(epoch, who, plans, &res); res.Verdict == Allowed {
							allowed.Add(1)
						}
					}
				})
			}
			wg.Wait()
			if got := allowed.Load(); got != limit {
				t.Errorf("got %d allowed, want exactly %d", got, limit)
			}
			for _, s := range look(tab, 0, who, beside).All() {
				if s.Remaining != limit {
					t.Errorf("%v beside it: got %d left, want %d: denied ones spent", s.Kind, s.Remaining, limit)
				}
			}
		})
	}
}

func TestB19_AcrossTheMinute(t *testing.T) {
	t.Parallel()
	const n = 100
	p := plan(t, "p", Burst{}, n)
	for _, tt := range []struct {
		name          string
		before        time.Duration // one use there; negative: none
		first, second int           // allowed at :59.9 and at :00.1
		retry         time.Duration // then
	}{
		// The minute is laid from :59.9.
		{"after idle", -1, n, 0, 59*time.Second + 800*time.Millisecond},
		// Laid from :00: the second lot finds one use gone, and the rest of it
		// passes when the part from :50 leaves.
		{"in use since :00", 0, n - 1, 1, 49*time.Second + 900*time.Millisecond},
		// Laid from :55: the part to :65 holds all.
		{"in use since :55", 55 * time.Second, n - 1, 0, 54*time.Second + 900*time.Millisecond},
	} {
		tab := table(t, 1<<20)
		if tt.before >= 0 {
			take(tab, tt.before, 1, p)
		}
		now := 60*time.Second + 100*time.Millisecond
		if got := takeN(tab, n+50, now-200*time.Millisecond, 1, p); got != tt.first {
			t.Errorf("%s: at :59.9 got %d, want %d", tt.name, got, tt.first)
		}
		if got := takeN(tab, n+50, now, 1, p); got != tt.second {
			t.Errorf("%s: at :00.1 got %d, want %d", tt.name, got, tt.second)
		}
		res := take(tab, now, 1, p)
		if res.RetryAfter != tt.retry {
			t.Errorf("%s: got retry after %v, want %v", tt.name, res.RetryAfter, tt.retry)
		}
		if early := take(tab, now+res.RetryAfter-1, 1, p); early.Verdict != RefusedMinute || early.RetryAfter != 1 {
			t.Errorf("%s: 1 ns early: got %v, retry after %v", tt.name, early.Verdict, early.RetryAfter)
		}
		if got := take(tab, now+res.RetryAfter, 1, p).Verdict; got != Allowed {
			t.Errorf("%s: after RetryAfter: got %v", tt.name, got)
		}
	}
}

// TestB17_WallClockSteps moves the wall reading of a time whose monotonic
// reading stands still, as a clock that is set does.
func TestB17_WallClockSteps(t *testing.T) {
	t.Parallel()
	start := time.Now()
	step := func(now time.Time, d time.Duration) time.Time {
		stepped := now
		// The seconds of the wall clock lie above 30 bits of nanoseconds in the first word.
		*(*uint64)(unsafe.Pointer(&stepped)) += uint64(d/time.Second) << 30
		if stepped.Unix()-now.Unix() != int64(d/time.Second) || stepped.Sub(now) != 0 {
			t.Skip("time.Time is laid out differently here")
		}
		return stepped
	}
	tab, err := New(Config{MaxBytes: 1 << 20, Epoch: start})
	if err != nil {
		t.Fatal(err)
	}
	p := plan(t, "p", Burst{10, 20}, 119)
	allowed := 0
	var res Result
	for i := range 1000 { // 10 s of monotonic time
		now := start.Add(time.Duration(i) * 10 * time.Millisecond)
		switch i / 100 % 3 {
		case 1:
			now = step(now, time.Hour)
		case 2:
			now = step(now, -time.Hour)
		}
		if tab.Take(now, 1, []*Plan{p}, &res); res.Verdict == Allowed {
			allowed++
		}
	}
	// In 9.99 s the bucket allows 20 + 99.
	if allowed != 119 {
		t.Errorf("got %d allowed, want 119", allowed)
	}
}

func TestTake_ClockBackwards(t *testing.T) {
	t.Parallel()
	both := plan(t, "p", Burst{1, 10}, 10)
	for _, back := range []time.Duration{1, time.Second, 9 * time.Second, 11 * time.Second, time.Minute, time.Hour, 70 * 365 * 24 * time.Hour} {
		tab := table(t, 1<<20)
		start := 2 * time.Hour
		if got := takeN(tab, 20, start, 1, both); got != 10 {
			t.Fatalf("got %d, want 10", got)
		}
		now := start - back
		if got := takeN(tab, 20, now, 1, both); got != 0 {
			t.Errorf("%v back: got %d extra", back, got)
		}
		res := take(tab, now, 1, both)
		if res.RetryAfter > time.Minute+time.Duration(skew) {
			t.Errorf("%v back: locked out for %v", back, res.RetryAfter)
		}
		if early := take(tab, now+res.RetryAfter-1, 1, both).Verdict; early == Allowed {
			t.Errorf("%v back: passes before RetryAfter", back)
		}
		if got := take(tab, now+res.RetryAfter, 1, both).Verdict; got != Allowed {
			t.Errorf("%v back: after RetryAfter got %v", back, got)
		}
	}
}

func TestTake_StragglersGainNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		plan *Plan
		most int
	}{
		{plan(t, "p", Burst{}, 40), 40},
		{plan(t, "p", Burst{1, 10}, 0), 10 + 19},
	} {
		tab := table(t, 1<<20)
		allowed := 0
		for i := range 20_000 { // 20 s, every other request up to 9 s late
			now := time.Minute + time.Duration(i)*time.Millisecond
			if i%2 == 1 {
				now -= time.Duration(i%10) * time.Second
			}
			allowed += takeN(tab, 1, now, 1, tt.plan)
		}
		if allowed != tt.most {
			t.Errorf("%+v: got %d allowed, want %d", tt.plan, allowed, tt.most)
		}
	}
}

func TestTake_ReloadKeepsCountsUnderNewLimits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		old, new    *Plan
		used        int
		left        []int64 // at once, by limit
		pass        int     // of 1000 at once
		retryAtMost time.Duration
	}{
		{"lower minute, already over", plan(t, "p", Burst{}, 100), plan(t, "p", Burst{}, 10), 50, []int64{0}, 0, time.Minute},
		{"lower minute, not yet over", plan(t, "p", Burst{}, 100), plan(t, "p", Burst{}, 60), 50, []int64{10}, 10, time.Minute},
		{"higher minute", plan(t, "p", Burst{}, 10), plan(t, "p", Burst{}, 100), 10, []int64{90}, 90, time.Minute},
		{"smaller bucket", plan(t, "p", Burst{1, 100}, 0), plan(t, "p", Burst{1, 10}, 0), 95, []int64{0}, 0, time.Second},
		{"smaller bucket, lightly used", plan(t, "p", Burst{1, 100}, 0), plan(t, "p", Burst{1, 10}, 0), 4, []int64{6}, 6, time.Second},
		{"larger bucket", plan(t, "p", Burst{1, 10}, 0), plan(t, "p", Burst{1, 100}, 0), 10, []int64{90}, 90, time.Second},
		{"much faster", plan(t, "p", Burst{1.0 / 3600, 10}, 0), plan(t, "p", Burst{100, 10}, 0), 10, []int64{0}, 0, 10 * time.Millisecond},
		{"burst added", plan(t, "p", Burst{}, 100), plan(t, "p", Burst{1, 5}, 100), 10, []int64{5, 90}, 5, time.Second},
		{"burst removed", plan(t, "p", Burst{1, 5}, 100), plan(t, "p", Burst{}, 100), 5, []int64{95}, 95, time.Minute},
	} {
		tab := table(t, 1<<20)
		takeN(tab, tt.used, 0, 1, tt.old)
		for i, s := range look(tab, 0, 1, tt.new).All() {
			if s.Remaining != tt.left[i] {
				t.Errorf("%s: %v: got %d left, want %d", tt.name, s.Kind, s.Remaining, tt.left[i])
			}
		}
		if got := takeN(tab, 1000, 0, 1, tt.new); got != tt.pass {
			t.Errorf("%s: got %d allowed, want %d", tt.name, got, tt.pass)
		}
		res := take(tab, 0, 1, tt.new)
		if tt.name == "smaller bucket" { // what was used beyond the new size is waited for, up to skew
			tt.retryAtMost = 100 * time.Second
		}
		if res.RetryAfter <= 0 || res.RetryAfter > tt.retryAtMost {
			t.Errorf("%s: got retry after %v, want at most %v", tt.name, res.RetryAfter, tt.retryAtMost)
		}
		if take(tab, res.RetryAfter-1, 1, tt.new).Verdict == Allowed || take(tab, res.RetryAfter, 1, tt.new).Verdict != Allowed {
			t.Errorf("%s: retry after %v is not right", tt.name, res.RetryAfter)
		}
	}
}

func TestSubject_TellsPartsApart(t *testing.T) {
	t.Parallel()
	tab := table(t, 1<<20)
	seen := map[Subject][]string{}
	for _, parts := range [][]string{{}, {""}, {"", ""}, {"ab", "c"}, {"a", "bc"}, {"abc"}, {"abc", ""}, {"", "abc"},
		{"a", "b", "c"}, {"\x01\x00\x00\x00\x00\x00\x00\x00a"}} {
		s := tab.Subject(parts...)
		if other, ok := seen[s]; ok {
			t.Errorf("%q and %q are one subject", parts, other)
		}
		if s != tab.Subject(parts...) {
			t.Errorf("%q: another subject the second time", parts)
		}
		seen[s] = parts
	}
	if other := table(t, 1<<20); other.Subject("a") == tab.Subject("a") {
		t.Error("two tables share a random seed")
	}
	same, err := New(Config{MaxBytes: 1 << 20, Epoch: epoch, Seed: tab.seed})
	if err != nil || same.Subject("a") != tab.Subject("a") {
		t.Errorf("tables of one seed disagree (error %v)", err)
	}
}

func TestNew_Faults(t *testing.T) {
	t.Parallel()
	want := "limiter table: MaxBytes is 65535: want at least 65536\nlimiter table: Epoch is not set: want the time of the start"
	if _, err := New(Config{MaxBytes: 65535}); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestTake_DoesNotAllocate(t *testing.T) {
	tab := table(t, 1<<20)
	plans := []*Plan{plan(t, "p", Burst{1e6, 1e6}, 1e6), plan(t, "q", Burst{1, 2}, 1)}
	trial := []*Plan{plans[0], shadow(t, "trial", Burst{1, 2}, 1)}
	var res Result
	who := tab.Subject("a", "b")
	parts := [2]string{"client", "token"}
	for name, f := range map[string]func(){
		"allowed":  func() { tab.Take(epoch, who, plans[:1], &res) },
		"refused":  func() { tab.Take(epoch, who, plans, &res) },
		"shadowed": func() { tab.Take(epoch, who, trial, &res) },
		"look":     func() { tab.Look(epoch, who, plans, &res) },
		"look, new": func() {
			who++
			tab.Look(epoch, who, plans, &res)
		},
		"subject": func() { who = tab.Subject(parts[0], parts[1]) },
	} {
		if got := testing.AllocsPerRun(1000, f); got != 0 {
			t.Errorf("%s: got %v allocations, want 0", name, got)
		}
	}
}
