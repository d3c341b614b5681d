package limiter

import (
	"math"
	"time"
)

const (
	parts    = 6
	partTime = int64(10 * time.Second)
	minute   = parts * partTime
	// slack is how much less time may lie between two arrivals than between
	// their sendings, for a caller who paces evenly.
	slack = int64(500 * time.Millisecond)
	// maxPerMinute leaves a bit of a uint32 free.
	maxPerMinute = math.MaxInt32
)

// window counts the uses of the last minute in six parts of ten seconds. The
// parts are laid from the first use after idle, not from the clock's full
// minute, so a caller's first sixty seconds hold N and no more, wherever they begin.
//
// The part that now lies in and the five before it reach back at least 50 s
// and less than 60 s. At least 50: N bounds any 50 s. Less than 60: a caller
// who paces evenly at N a minute has at most N uses in them, this one included.
//
// That last is true of what he sends. What arrives went through a network: of
// N+1 requests that were sent in just a minute the first may be late and the last
// not, and they arrive in less. See ahead.
type window struct {
	newest int64       // when the newest part began, in nanoseconds since the table's epoch
	uses   [parts]uses // by part, the newest first; their sum never exceeds an N that was in force by more than ahead
}

// uses are those of one part: how many, and in the highest bit whether so many
// of them came before the part's last slack as may pass ahead a minute later.
type uses uint32

const early uses = 1 << 31

func (u uses) count() int64 { return int64(u &^ early) }

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

func (w *window) used() (sum int64) {
	for _, u := range w.uses {
		sum += u.count()
	}
	return sum
}

// leaves is when part i is a minute old.
func (w *window) leaves(i int) int64 { return w.newest + int64(parts-i)*partTime }

// wait is the time until a request passes under a limit of n, zero when it
// passes now. used is the sum of all uses.
func (w *window) wait(now, n, used int64) int64 {
	if used < n || used < n+w.ahead(now, n) {
		return 0
	}
	i := parts - 1
	for ; i > 0; i-- {
		if used -= w.uses[i].count(); used < n {
			break
		}
	}
	return w.leaves(i) - now
}

// ahead is how many more than n may pass shortly before the oldest part leaves:
// what an even pace of n a minute can bring there, if no request is late by more
// than slack or none by more than half of it either way.
//
// No 50 s hold more than n all the same, as so many of the oldest part's are
// older. And whoever was not that even gets nothing: his first sixty seconds
// hold n.
func (w *window) ahead(now, n int64) int64 {
	if now-w.newest < partTime-slack || w.uses[parts-1]&early == 0 {
		return 0
	}
	var sum, span int64
	for _, u := range w.uses {
		sum, span = sum+u.count(), span+partTime
		if sum < share(n, span-2*slack) || sum > mostAhead(n, span) {
			return 0
		}
	}
	return mostAhead(n, 0)
}

// mostAhead is how many requests of an even pace of n a minute can arrive in span.
func mostAhead(n, span int64) int64 { return share(n, span+slack) + 1 }

// share is how many whole requests an even pace of n a minute has in span.
func share(n, span int64) int64 {
	// In milliseconds, so that nothing overflows.
	return n * (span / int64(time.Millisecond)) / (minute / int64(time.Millisecond))
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

func (w *window) spend(now, n, used int64) {
	if used == 0 {
		// The first use after idle. All earlier uses lie in parts that have left,
		// so more than 50 s back.
		w.newest = now
	}
	w.uses[0]++
	if now-w.newest < partTime-slack && w.uses[0].count() >= mostAhead(n, 0) {
		w.uses[0] |= early
	}
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

func (w *window) stand(st *Standing, now int64, p *Plan, used int64) {
	st.Plan, st.Kind, st.Limit, st.Window, st.Near = p, KindPerMinute, p.PerMinute, time.Duration(minute), p.nearMinute
	// A limit that was lowered may already be exceeded.
	st.Remaining, st.Reset = max(0, p.PerMinute-used), time.Duration(w.reset(now))
}
