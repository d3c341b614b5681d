package limiter

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"time"
)

// Plan is a named set of limits, made by NewPlan and never changed afterwards.
// Its counters belong to its name: a Plan that replaces another of the same
// name goes on from what was counted under the old limits.
type Plan struct {
	Name      string
	Burst     Burst // the zero Burst is no limit
	PerMinute int64 // zero is no limit
	// Shadow counts and tells but refuses nothing. What the plan would have refused is
	// not counted in it, as if it had been: so it tells what it would do if it were
	// enforced.
	Shadow bool
	// WarnAt is the share of a limit from which on it counts as nearly used up; 0: never.
	WarnAt float64
	// Label is what people and headers know the plan by; empty: the one that applies
	// to the subject anyway.
	Label string

	hash     uint64 // of Name, never zero; tells a Plan made by NewPlan from a literal
	interval int64  // nanoseconds in which the bucket gains one request, rounded up
	fill     int64  // nanoseconds from an empty bucket to a full one: Size intervals
	window   time.Duration

	nearBurst, nearMinute int64 // see Standing.Near
}

// Burst is a token bucket.
type Burst struct {
	Rate float64 // requests a second that the bucket gains
	Size int64   // requests that a full bucket holds
}

const (
	// maxRate keeps the rounding of the emission interval to whole nanoseconds
	// below a thousandth of the rate.
	maxRate = 1e6
	// maxFill keeps every sum of times far from the end of an int64.
	maxFill = 366 * 24 * time.Hour
)

// nameSeed makes plan hashes differ from one process to the next. Plan names
// are the operator's, so nothing depends on it being secret.
var nameSeed = maphash.MakeSeed()

// NewPlan makes a plan of its exported fields. The error names every fault and what
// would be right.
func NewPlan(of Plan) (*Plan, error) {
	name, burst, perMinute := of.Name, of.Burst, of.PerMinute
	var faults []error
	if name == "" {
		faults = append(faults, errors.New("plan without a name: want a name, its counters are kept under it"))
	}
	if err := burst.check(); err != nil {
		faults = append(faults, fmt.Errorf("plan %q: burst: %w", name, err))
	}
	if perMinute < 0 || perMinute > maxPerMinute {
		faults = append(faults, fmt.Errorf("plan %q: per_minute is %d: want 1 to %d, or 0 for no limit",
			name, perMinute, maxPerMinute))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	p := &Plan{Name: name, Burst: burst, PerMinute: perMinute, Shadow: of.Shadow, WarnAt: of.WarnAt, Label: of.Label, hash: maphash.String(nameSeed, name) | 1}
	p.nearBurst, p.nearMinute = WarnAt(burst.Size, p.WarnAt), WarnAt(perMinute, p.WarnAt)
	if burst.Size > 0 {
		// Rounding down would admit more than Rate.
		p.interval = int64(math.Ceil(1e9 / burst.Rate))
		p.fill = p.interval * burst.Size
		p.window = time.Duration(math.Round(float64(burst.Size) / burst.Rate * 1e9))
	}
	return p, nil
}

func (b Burst) check() error {
	switch {
	case b == Burst{}:
		return nil
	case math.IsNaN(b.Rate) || b.Rate < 0 || b.Rate > maxRate:
		return fmt.Errorf("rate is %v: want more than 0 and at most %d requests a second", b.Rate, int(maxRate))
	case b.Size < 0:
		return fmt.Errorf("size is %d: want at least 1 request", b.Size)
	case b.Rate == 0:
		return fmt.Errorf("size is %d but there is no rate: want both, or neither for no limit", b.Size)
	case b.Size == 0:
		return fmt.Errorf("rate is %v but there is no size: want both, or neither for no limit", b.Rate)
	case float64(b.Size)/b.Rate > maxFill.Seconds():
		return fmt.Errorf("size %d at rate %v takes over %d days to refill: want a higher rate or a smaller size",
			b.Size, b.Rate, int(maxFill.Hours()/24))
	}
	return nil
}

func (p *Plan) unlimited() bool { return p.interval == 0 && p.PerMinute == 0 }
