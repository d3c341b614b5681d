package stats

import (
	"net/netip"
	"sync"
)

// shards is a power of two, well above the cores of a sidecar.
const shards = 32

type shard struct {
	mu   sync.Mutex
	live *table
	// spare is the flusher's.
	spare *table
	_     [40]byte // two shards in one cache line would slow each other down
}

// table is what a shard has counted since it was last stored. Rows lie in slices, so
// that a table that is used again needs no memory.
//
// Rows are found by a hash table of our own. A map has its keys in one place and its
// values in another, and a decision finds neither in the processor's caches.
type table struct {
	slots     []slot // a power of two of them, of which at least a third is free
	rows      []row
	origins   map[origin]int32
	addresses []address
}

// slot leads to a row.
type slot struct {
	hash uint32
	row  int32 // from 1 on; 0: none
}

// key is a series in a minute.
type key struct {
	account string
	Series
	minute int64
}

// row is what was counted of a series. Most requests of a token come from one address:
// only when that changes, and at the end, those from it are counted there.
type row struct {
	Counts
	located int64      // of Requests, those that are counted by address
	source  netip.Addr // of the others
	key
}

// origin is an address in a minute.
type origin struct {
	account string
	minute  int64
	source  netip.Addr
	others  bool // all that there was no room for
}

type address struct {
	origin
	requests int64
}

const leastSlots = 64

func newTable() *table {
	return &table{slots: make([]slot, leastSlots), origins: map[origin]int32{}}
}

// find returns the row of a key, nil when there is none. It is good until the next add.
func (t *table) find(hash uint32, k *key) *row {
	last := uint32(len(t.slots) - 1)
	for i := hash & last; ; i = (i + 1) & last {
		s := &t.slots[i]
		if s.row == 0 {
			return nil
		}
		if r := &t.rows[s.row-1]; s.hash == hash && r.key == *k {
			return r
		}
	}
}

// add makes the row of a key that has none.
func (t *table) add(hash uint32, k *key) *row {
	if 3*len(t.rows) >= 2*len(t.slots) {
		old := t.slots
		t.slots = make([]slot, 2*len(old))
		for _, s := range old {
			if s.row != 0 {
				t.place(s)
			}
		}
	}
	t.rows = append(t.rows, row{key: *k})
	t.place(slot{hash, int32(len(t.rows))})
	return &t.rows[len(t.rows)-1]
}

func (t *table) place(s slot) {
	last := uint32(len(t.slots) - 1)
	i := s.hash & last
	for t.slots[i].row != 0 {
		i = (i + 1) & last
	}
	t.slots[i] = s
}

// firstMinute is that of the first row.
func (t *table) firstMinute(now int64) int64 {
	if len(t.rows) == 0 {
		return now
	}
	return t.rows[0].minute
}

// empty returns an empty table, the same one unless it has become far too large.
func (t *table) empty() *table {
	const least = 1024
	if c := cap(t.rows); c > least && len(t.rows) < c/8 || cap(t.addresses) > least && len(t.addresses) < cap(t.addresses)/8 {
		return newTable()
	}
	clear(t.slots)
	clear(t.origins)
	clear(t.rows) // the texts
	clear(t.addresses)
	t.rows, t.addresses = t.rows[:0], t.addresses[:0]
	return t
}
