package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		list []float64
		want float64
	}{
		{[]float64{3}, 3},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 2, 10}, 3}, // not the lower one: that would flatter
	} {
		if got := median(tt.list); got != tt.want {
			t.Errorf("median(%v): got %v, want %v", tt.list, got, tt.want)
		}
	}
	unsorted := []time.Duration{30, 10, 20}
	if got := median(unsorted); got != 20 || unsorted[0] != 30 {
		t.Errorf("got %v and the list is %v, want 20 and the list as it was", got, unsorted)
	}
}

// rounds makes rounds of 1000 calls that cost so many microseconds each.
func rounds(costs ...time.Duration) (list []round) {
	for _, cost := range costs {
		list = append(list, round{calls: 1000, cpu: 1000 * cost * time.Microsecond, tally: tally{wall: 4000 * cost * time.Microsecond}})
	}
	return list
}

func TestDuel_RatioIsOfPairs(t *testing.T) {
	t.Parallel()
	d := duel{base: rounds(20, 40, 10), other: rounds(10, 30, 8)}
	if got, want := d.ratio(), (ratio{0.75, 0.5, 0.8}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := d.ratio().String(), "0.75 (0.50–0.80)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRound(t *testing.T) {
	t.Parallel()
	r := rounds(20)[0]
	if r.perCall() != 20*time.Microsecond || r.busy() != 0.25 || r.rate() != 12500 {
		t.Errorf("got %v, %v and %v; want 20µs, 0.25 and 12500", r.perCall(), r.busy(), r.rate())
	}
	if got := medianOf(rounds(10, 70, 20), round.perCall); got != 20*time.Microsecond {
		t.Errorf("median: got %v, want 20µs", got)
	}
	if got := asMicros(12340 * time.Nanosecond); got != "12.3" {
		t.Errorf("got %q, want 12.3", got)
	}
}

func TestReport_GoalsMissedAreSaid(t *testing.T) {
	t.Parallel()
	r := report{
		decision: duel{base: rounds(20, 20, 20), other: rounds(13, 13, 13)},
		single:   duel{base: rounds(20, 20, 20), other: rounds(16, 8, 17)}, // one good pair is not enough
		growth:   []crowding{{duel: duel{base: rounds(10), other: rounds(20)}}, {memory: "1GiB", duel: duel{base: rounds(10), other: rounds(21)}}},
		starts:   []time.Duration{200 * time.Millisecond, 299 * time.Millisecond, 700 * time.Millisecond},
		restKiB:  41 * 1024,
		micros: []micro{
			{name: "GateCheckWarm", allocs: 1}, {name: "Match/exact", ns: 80}, {name: "Match/one large host", ns: 1001},
		},
	}
	var got []bool
	for _, v := range r.verdicts() {
		got = append(got, v.met)
	}
	// decision at its goal, single above, growth at 2 and above, allocations, match, start, memory
	if diff := cmp.Diff([]bool{true, false, true, false, false, false, true, false}, got); diff != "" {
		t.Errorf("met (-want +got):\n%s", diff)
	}
	if v := (&report{}).verdicts(); len(v) != 0 {
		t.Errorf("a report of nothing has the verdicts %v", v)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	got := table{{"a", "µs"}, {"long", "1"}}.String()
	const want = "| a    | µs |\n|------|----|\n| long | 1  |\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
