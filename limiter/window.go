package limiter

import (
	"math"
	"time"
)

const (
	parts    = 6
	partTime = int64(10 * time.Second)
	minute   = parts * partTime
)

// window counts the uses of the last minute in six parts of ten seconds. The
// parts are laid from the first use after idle, not from the clock's full
// minute, so a caller's first sixty seconds hold N and no more, wherever they begin.
//
// The part that now lies in and the five before it reach back at least 50 s
// and less than 60 s. At least 50: N bounds any 50 s. Less than 60: a caller
// who paces evenly at N a minute has at most N uses in them, this one included.
type window struct {
	newest int64 // when the newest part began, in nanoseconds since the table's epoch
	// uses by part, the newest first. N fits a uint32, and their sum never
	// exceeds an N that was in force.
	uses [parts]uint32
}

// advance brings the window to now: parts that ended a minute ago are gone.
func (w *window) advance(now int64) {
	since := now - w.newest
	switch {
	case since < -skew:
		w.newest = now
	case since < partTime: // a straggler counts in the newest part
	case since >= minute:
		*w = window{newest: now}
	default:
		steps := since / partTime
		w.newest += steps * partTime
		copy(w.uses[steps:], w.uses[:parts-steps])
		clear(w.uses[:steps])
	}
}

func (w *window) used() int64 {
	u := &w.uses
	return int64(u[0]) + int64(u[1]) + int64(u[2]) + int64(u[3]) + int64(u[4]) + int64(u[5])
}

// leaves is when part i is a minute old.
func (w *window) leaves(i int) int64 { return w.newest + int64(parts-i)*partTime }

// wait is the time until a request passes under a limit of n, zero when it
// passes now.
func (w *window) wait(now, n int64) int64 {
	used := w.used()
	if used < n {
		return 0
	}
	i := parts - 1
	for ; i > 0; i-- {
		if used -= int64(w.uses[i]); used < n {
			break
		}
	}
	return w.leaves(i) - now
}

// reset is the time until the oldest uses leave, zero when there are none.
func (w *window) reset(now int64) int64 {
	for i := parts - 1; i >= 0; i-- {
		if w.uses[i] != 0 {
			return w.leaves(i) - now
		}
	}
	return 0
}

func (w *window) spend(now int64) {
	if w.used() == 0 {
		// The first use after idle. All earlier uses lie in parts that have left,
		// so more than 50 s back.
		w.newest = now
	}
	w.uses[0]++
}

// emptyAt is when the last use leaves.
func (w *window) emptyAt() int64 {
	for i, n := range w.uses {
		if n != 0 {
			return w.leaves(i)
		}
	}
	return math.MinInt64
}

func (w *window) standing(now int64, p *Plan) Standing {
	return Standing{
		Plan: p, Kind: KindPerMinute, Limit: p.PerMinute, Window: time.Duration(minute),
		// A limit that was lowered may already be exceeded.
		Remaining: max(0, p.PerMinute-w.used()), Reset: time.Duration(w.reset(now)),
	}
}
