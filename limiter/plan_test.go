package limiter

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestNewPlan_Faults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		burst     Burst
		perMinute int64
		want      []string // all of these in the error; none: no error
	}{
		{"free", Burst{}, 0, nil},
		{"default", Burst{50, 100}, 1000, nil},
		{"slow", Burst{1.0 / 3600, 24}, 0, nil},
		{"most", Burst{1e6, 1e6}, math.MaxInt32, nil},
		{"", Burst{}, 0, []string{"want a name"}},
		{"p", Burst{Rate: 50}, 0, []string{`plan "p": burst: rate is 50 but there is no size`}},
		{"p", Burst{Size: 50}, 0, []string{"size is 50 but there is no rate"}},
		{"p", Burst{-1, 50}, 0, []string{"rate is -1: want more than 0 and at most 1000000"}},
		{"p", Burst{1e6 + 1, 50}, 0, []string{"at most 1000000"}},
		{"p", Burst{math.NaN(), 50}, 0, []string{"rate is NaN"}},
		{"p", Burst{math.Inf(1), 50}, 0, []string{"rate is +Inf"}},
		{"p", Burst{1, -1}, 0, []string{"size is -1: want at least 1"}},
		{"p", Burst{1e-9, 1}, 0, []string{"over 366 days", "higher rate or a smaller size"}},
		{"p", Burst{1, math.MaxInt64}, 0, []string{"over 366 days"}},
		{"p", Burst{math.SmallestNonzeroFloat64, 1}, 0, []string{"over 366 days"}},
		{"p", Burst{}, -1, []string{"per_minute is -1: want 1 to 2147483647"}},
		{"p", Burst{}, math.MaxInt32 + 1, []string{"per_minute is 2147483648"}},
		{"", Burst{Rate: 50}, -1, []string{"want a name", "no size", "per_minute"}},
	} {
		p, err := NewPlan(Plan{Name: tt.name, Burst: tt.burst, PerMinute: tt.perMinute})
		if (err == nil) != (len(tt.want) == 0) || (p == nil) != (err != nil) {
			t.Errorf("NewPlan(%q, %v, %d): got %v, %v", tt.name, tt.burst, tt.perMinute, p, err)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("NewPlan(%q, %v, %d): got error %q, want %q in it", tt.name, tt.burst, tt.perMinute, err, want)
			}
		}
	}
}

func TestNewPlan_RoundsIntervalUp(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		burst    Burst
		interval int64
		window   time.Duration
	}{
		{Burst{50, 100}, 20e6, 2 * time.Second},
		{Burst{3, 6}, 333_333_334, 2 * time.Second}, // the window is not made longer by the rounding
		{Burst{0.1, 2}, 10e9, 20 * time.Second},
		{Burst{1e6, 1}, 1000, time.Microsecond},
	} {
		p := plan(t, "p", tt.burst, 0)
		if p.interval != tt.interval || p.window != tt.window {
			t.Errorf("%v: got interval %d, window %v, want %d, %v", tt.burst, p.interval, p.window, tt.interval, tt.window)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		KindBurst.String():     "burst",
		KindPerMinute.String(): "per_minute",
		Kind(0).String():       "invalid kind",
		Verdict(0).String():    "full",
		Allowed.String():       "allowed",
		RefusedBurst.String():  "refused by burst",
		RefusedMinute.String(): "refused by per_minute",
		Verdict(9).String():    "invalid verdict",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func plan(t testing.TB, name string, burst Burst, perMinute int64) *Plan {
	t.Helper()
	p, err := NewPlan(Plan{Name: name, Burst: burst, PerMinute: perMinute})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
