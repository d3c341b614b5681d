package limiter

import (
	"math"
	"math/bits"
	"sync"
)

const (
	slotBytes  = 48 // a key and a state
	shardBytes = 128
	firstSlots = 8
	// Below smallShard slots a shard doubles; above, it grows by an eighth, so
	// that it is never less than 7/9 full when it has just grown and nothing
	// was dropped.
	smallShard = 256
)

// state is what is kept of one subject under one plan. It does not know the
// plan's limits: they may change while it lives.
type state struct {
	bucket
	window
}

// idleAt is when the bucket is full and the window empty. From then on the
// state says no more than a missing one, and may be dropped.
func (s *state) idleAt() int64 { return max(s.tat, s.emptyAt()) }

// shard is a hash table with linear probing. Keys lie apart from states: eight
// of them share a cache line, which keeps long probes cheap and so allows a
// table that is 7/8 full. Capacities are any number, not powers of two: a key is
// multiplied onto the range.
type shard struct {
	mu     sync.Mutex
	keys   []uint64 // zero is a free slot
	states []state
	count  int

	// earliest is a time before which no entry is idle, rest one before which
	// another sweep would cost too much. Together they keep a shard full of
	// active entries from being searched again for every new subject.
	earliest int64
	rest     int64

	_ [shardBytes - 8 - 2*24 - 3*8]byte // neighbours' mutexes do not share cache lines
}

// limit is how many entries the slots may hold. A free slot must remain: it
// ends every probe.
func (s *shard) limit() int { return len(s.keys) - len(s.keys)/8 }

func (s *shard) home(key uint64) int {
	hi, _ := bits.Mul64(key, uint64(len(s.keys)))
	return int(hi)
}

// find returns the slot of key, or -1.
func (s *shard) find(key uint64) int {
	if len(s.keys) == 0 {
		return -1
	}
	for i := s.home(key); ; {
		switch s.keys[i] {
		case key:
			return i
		case 0:
			return -1
		}
		if i++; i == len(s.keys) {
			i = 0
		}
	}
}

// put stores the state of key. The caller has made sure that there is room.
func (s *shard) put(key uint64, st *state) {
	if i := s.find(key); i >= 0 {
		s.set(i, st)
		return
	}
	s.place(key, st)
	s.count++
	s.earliest = min(s.earliest, st.idleAt())
}

// set stores the state of the entry in slot i. Uses make an entry idle later, but a
// faster plan or a clock that was set back can make it idle earlier.
func (s *shard) set(i int, st *state) {
	s.states[i] = *st
	s.earliest = min(s.earliest, st.idleAt())
}

func (s *shard) place(key uint64, st *state) {
	i := s.home(key)
	for s.keys[i] != 0 {
		if i++; i == len(s.keys) {
			i = 0
		}
	}
	s.keys[i], s.states[i] = key, *st
}

// sweep drops what is idle at now, in one pass and in place. It begins behind a
// free slot and closes the gaps of a run as it goes: an entry placed anew finds
// a slot between its home and where it was.
func (s *shard) sweep(now int64) {
	s.earliest = math.MaxInt64
	if s.count == 0 {
		return
	}
	free := 0
	for s.keys[free] != 0 {
		free++
	}
	gap := false // in the run of taken slots that i is in
	for n, i := 0, free; n < len(s.keys); n++ {
		if key := s.keys[i]; key == 0 {
			gap = false
		} else if idle := s.states[i].idleAt(); idle <= now {
			s.keys[i], gap = 0, true
			s.count--
		} else {
			s.earliest = min(s.earliest, idle)
			if gap {
				st := s.states[i]
				s.keys[i] = 0
				s.place(key, &st)
			}
		}
		if i++; i == len(s.keys) {
			i = 0
		}
	}
}

// resize moves the entries to as many slots; there must be more than entries.
func (s *shard) resize(slots int) {
	keys, states := s.keys, s.states
	s.keys, s.states = nil, nil
	if slots > 0 {
		s.keys, s.states = make([]uint64, slots), make([]state, slots)
	}
	for i, key := range keys {
		if key != 0 {
			s.place(key, &states[i])
		}
	}
}
