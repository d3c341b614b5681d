// Package limiter counts requests in memory against burst and per-minute limits.
//
// It owns the arithmetic of the limits (a token bucket, a sliding minute), the
// bounded table of who has used how much, and the memory of who was told of it. It does not own what a subject
// is, which plan applies, the words of a refusal, or limits that outlive the
// process. Time comes in as an argument; the package starts no goroutines.
package limiter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"math/bits"
	"sync/atomic"
	"time"
)

// Config is what New needs.
type Config struct {
	// MaxBytes bounds the table's memory. While a shard moves to a larger array,
	// its old one (a 256th of the table) comes on top.
	MaxBytes int64
	// Epoch is the start of the table's time, normally time.Now() at start.
	// Only the distance of a now from Epoch counts: when both carry a monotonic
	// reading, clock steps and leap seconds change nothing. UTC, In and Local strip
	// that reading from a time, so neither may go through them.
	Epoch time.Time
	// Seed keys Subject; zero means a random one. Tables with the same seed
	// agree on subjects.
	Seed maphash.Seed
}

const (
	minBytes      = 64 << 10
	maxShards     = 256
	bytesPerShard = 64 << 10 // at least; a table with less has fewer shards

	// A shard rests after a sweep for this many nanoseconds a slot of the whole
	// table. A sweep takes about a twentieth of that a slot, so even a full table
	// hammered by new subjects spends about a twentieth of one core on sweeps.
	restPerSlot = 100
)

// Table holds the counters of many subjects, and is safe for concurrent use.
//
// Strangers can make it grow only as far as they can become subjects, and
// never over MaxBytes. At the bound, and before it grows, it drops entries that
// are idle, which loses nothing; an active one is never dropped. A new subject that
// finds only active ones is refused with Full.
//
// A subject's entries under all plans lie in one shard, under one mutex. Atomic
// counters would spare the lock but could only charge several limits one after the
// other and give back when a later one refuses; in between, the charges that are
// about to be given back refuse others who had a right to pass.
type Table struct {
	epoch    time.Time
	seed     maphash.Seed
	maxBytes int64
	shards   []shard
	shift    int // of a mixed subject, leaves the shard's number

	bytes atomic.Int64
	full  atomic.Int64
}

// New makes an empty table, which uses next to no memory yet.
func New(c Config) (*Table, error) {
	var faults []error
	if c.MaxBytes < minBytes {
		faults = append(faults, fmt.Errorf("limiter table: MaxBytes is %d: want at least %d", c.MaxBytes, minBytes))
	}
	if c.Epoch.IsZero() {
		faults = append(faults, errors.New("limiter table: Epoch is not set: want the time of the start"))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	if c.Seed == (maphash.Seed{}) {
		c.Seed = maphash.MakeSeed()
	}
	exponent := bits.Len64(uint64(min(c.MaxBytes/bytesPerShard, maxShards))) - 1
	t := &Table{
		epoch: c.Epoch, seed: c.Seed, maxBytes: c.MaxBytes,
		shards: make([]shard, 1<<exponent), shift: 64 - exponent,
	}
	t.bytes.Store(int64(len(t.shards)) * shardBytes)
	return t, nil
}

// Subject is who is counted: a keyed hash made by Table.Subject.
//
// A counter is found by 64 bits of subject and plan alone. Two of n entries
// share a counter with odds of about n²/2⁶⁵: one in three million for 3·10⁶
// entries. The key is random and secret, so nobody can aim for it.
type Subject uint64

// Subject returns the subject that the parts name. Every part is hashed with its
// length, so ("ab", "c") and ("a", "bc") differ.
func (t *Table) Subject(parts ...string) Subject {
	var h maphash.Hash
	h.SetSeed(t.seed)
	var length [8]byte
	for _, p := range parts {
		binary.LittleEndian.PutUint64(length[:], uint64(len(p)))
		h.Write(length[:])
		h.WriteString(p)
	}
	return Subject(h.Sum64())
}

// Take charges one request to who under all plans, or under none: if any limit
// refuses, nothing is spent. A plan in shadow whose limits refuse is alone not charged,
// and for want of room in the table it is not either. Plans of the same name count once, by the first of them.
// More than MaxPlans plans, a nil one or one not made by NewPlan are faults of
// the program and get the zero Result, a refusal.
func (t *Table) Take(now time.Time, who Subject, plans []*Plan, res *Result) {
	t.decide(now, who, plans, res, true)
}

// Look answers what Take would, but spends nothing and creates nothing. The
// standings are what is left.
func (t *Table) Look(now time.Time, who Subject, plans []*Plan, res *Result) {
	t.decide(now, who, plans, res, false)
}

// Reclaim drops what is idle and gives memory back. A busy table does without:
// it reuses what is idle before it grows. Its owner calls it now and then, so that a
// peak does not hold its memory for ever.
func (t *Table) Reclaim(now time.Time) {
	at := t.nanoseconds(now)
	for i := range t.shards {
		t.reclaimShard(&t.shards[i], at)
	}
}

// Len is the number of entries, one for each subject and plan, those included
// that are idle and not yet dropped.
func (t *Table) Len() int {
	n := 0
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		n += s.count
		s.mu.Unlock()
	}
	return n
}

// Bytes is the memory in use, at most MaxBytes.
func (t *Table) Bytes() int64 { return t.bytes.Load() }

// Full is the number of requests that Take has refused for want of room.
func (t *Table) Full() int64 { return t.full.Load() }

// nanoseconds since the epoch, kept far enough from the ends of an int64 that
// adding limits' times to it cannot overflow.
func (t *Table) nanoseconds(now time.Time) int64 {
	const far = 1 << 61 // 73 years
	return min(max(int64(now.Sub(t.epoch)), -far), far)
}

// mix is a bijection that spreads every bit of x upwards and back, so that
// shards and slots, which are chosen by the high bits, depend on all of it.
func mix(x uint64) uint64 {
	const odd = 0x9e3779b97f4a7c15 // 2⁶⁴ divided by the golden ratio
	x = (x ^ x>>32) * odd
	x = (x ^ x>>29) * odd
	return x ^ x>>32
}
