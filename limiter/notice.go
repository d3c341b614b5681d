package limiter

import (
	"math"
	"math/bits"
	"strconv"
	"sync"
	"time"
)

// Level is how far a limit is used.
type Level uint8

// Levels. The zero Level is below both.
const (
	Near    Level = iota + 1 // at the plan's warn_at or beyond
	Reached                  // all of it is used
)

func (l Level) String() string {
	switch l {
	case Near:
		return "near"
	case Reached:
		return "reached"
	}
	return "below"
}

// NoticeKey is what a notice is about. A limit that was changed is another one: that
// its new amount is used up is news.
type NoticeKey struct {
	Subject Subject
	Plan    string // "" for a limit of no plan
	Kind    Kind
	Level   Level
	Limit   int64
}

const (
	// forgetAfter is after how long a full memory forgets what it told, whether or not
	// the window is over.
	forgetAfter = int64(time.Hour)
	// sweepEvery keeps a full memory from being searched again for every new notice: of
	// each kind of search there is one in that time.
	sweepEvery = int64(time.Second)
)

// Notices remembers which notices were given, so that each is given once in a window.
// It is safe for concurrent use, and takes about 100 bytes for each that it remembers.
//
// Notices become mails and calls of somebody's system. To whom one is due, a second is
// less harm than none; but thousands of them help nobody. So a memory that is full
// first drops what is over; then what was told over an hour ago, which may thus be
// told again; and only when all of it was told within the hour is a new notice lost.
// Nobody is told the same twice in an hour, and all together get at most as many in
// that time as fit, and those whose windows were over meanwhile.
type Notices struct {
	max int

	mu    sync.Mutex
	epoch time.Time // the first now
	told  map[NoticeKey]notice
	lost  int64

	dropped, forgot int64 // when it was last searched for what is over, and for what is old
}

// notice has times in nanoseconds since the epoch.
type notice struct{ at, ends int64 }

// NewNotices makes a memory of at most max notices, which uses next to none yet. With
// a max of zero or less no notice is given.
func NewNotices(max int) *Notices {
	return &Notices{max: max, told: map[NoticeKey]notice{}, dropped: math.MinInt64 / 2, forgot: math.MinInt64 / 2}
}

// First reports whether the notice is due: true the first time, and not again until
// the window is over, which is that long after now. As in Standing.Window zero is
// never; a window that is over already is not remembered.
func (n *Notices) First(key NoticeKey, now time.Time, until time.Duration) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.epoch.IsZero() {
		n.epoch = now
	}
	at := int64(now.Sub(n.epoch))
	told, known := n.told[key]
	switch {
	case known && told.ends > at:
		return false
	case until < 0:
		return true
	case !known && len(n.told) >= n.max && !n.makeRoomLocked(at):
		n.lost++
		return false
	}
	ends := int64(math.MaxInt64)
	if until > 0 && at <= math.MaxInt64-int64(until) {
		ends = at + int64(until)
	}
	n.told[key] = notice{at, ends}
	return true
}

// Len is how many notices are remembered, those included whose windows are over and
// that are not yet dropped.
func (n *Notices) Len() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.told)
}

// Lost is how often First has said false for want of room.
func (n *Notices) Lost() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lost
}

// makeRoomLocked forgets what was told long ago only if dropping what is over does not
// help, or did not help for long.
func (n *Notices) makeRoomLocked(at int64) bool {
	if due(&n.dropped, at) {
		n.dropLocked(func(told notice) bool { return told.ends <= at })
	}
	if len(n.told) >= n.max && due(&n.forgot, at) {
		n.dropLocked(func(told notice) bool { return told.ends <= at || told.at <= at-forgetAfter })
	}
	return len(n.told) < n.max
}

// due reports whether another search is, and notes it. A last one in the future was
// before the clock was set back.
func due(last *int64, at int64) bool {
	if since := at - *last; since >= 0 && since < sweepEvery {
		return false
	}
	*last = at
	return true
}

func (n *Notices) dropLocked(gone func(notice) bool) {
	for key, told := range n.told {
		if gone(told) {
			delete(n.told, key)
		}
	}
}

// WarnAt is how many uses make a limit Near at a share of it: the whole number at or
// above limit times share. A share is meant as it is written in decimal digits: 0.8 of
// 1000 is 800, although no float is 0.8 and the nearest one is above it. It is zero,
// which is never, where limit or share is not above zero, and at most limit.
func WarnAt(limit int64, share float64) int64 {
	switch {
	case limit <= 0 || !(share > 0): // or not a number
		return 0
	case share >= 1:
		return limit
	}
	digits, places := decimals(share)
	hi, lo := bits.Mul64(uint64(limit), digits)
	for places > 0 {
		// A quotient fits: share is below 1, and a division by 10^19 leaves of 63 bits
		// times 17 digits less than 63.
		step := min(places, 19)
		var rest uint64
		if lo, rest = bits.Div64(hi, lo, powerOf10(step)); rest > 0 {
			lo++ // rounding up in steps is rounding up once
		}
		hi, places = 0, places-step
	}
	return int64(lo)
}

// decimals returns the shortest decimal that reads as share, which is below 1: digits
// divided by ten to the power of places.
func decimals(share float64) (digits uint64, places int) {
	var room [32]byte
	text := strconv.AppendFloat(room[:0], share, 'e', -1, 64) // d.ddde-dd
	for i, c := range text {
		switch {
		case c == 'e':
			for _, c := range text[i+2:] {
				places = 10*places + int(c-'0')
			}
			return digits, places + max(0, i-2)
		case c != '.':
			digits = 10*digits + uint64(c-'0')
		}
	}
	return digits, places
}

func powerOf10(n int) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}
