// Package decisions keeps the latest decisions of this process in memory, for operators
// who ask what was decided and why. It owns the ring, what a record shows, and what is
// hidden in it: never a token, a secret or a query.
//
// It decides nothing and knows no gate: package authz/extauthz fills it. It is no audit
// trail: what is older than the ring is long is gone, and so is everything at a restart.
package decisions

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Size is how many decisions a ring keeps unless its Config says otherwise. At slotBytes
// each they take 4 MiB, beside limits.max_memory; the system gives it as it is filled.
const Size = 4_096

// Ring keeps decisions. It is safe for concurrent use: a writer waits for nobody but a
// reader that copies the very same slot.
type Ring struct {
	steps []string
	first uint64 // the number before the first decision's
	last  atomic.Uint64
	doors []door
	slots []kept // each behind the door of the same number

	closing sync.Once
	closed  chan struct{}
}

// Config is what a Ring needs.
type Config struct {
	// Steps are the names of the gate's steps in their order. The first is the one that
	// an open API has.
	Steps []string
	// Start is when the process started. Sequence numbers begin there, in microseconds,
	// so that they grow over restarts: no process decides a million times a second.
	Start time.Time
	Size  int // 0: Size
}

// New makes a ring.
func New(c Config) *Ring {
	if c.Size == 0 {
		c.Size = Size
	}
	r := &Ring{steps: c.Steps, first: uint64(max(0, c.Start.UnixMicro())), doors: make([]door, c.Size), slots: make([]kept, c.Size), closed: make(chan struct{})}
	r.last.Store(r.first)
	return r
}

// Entry is one decision as it is told to a Ring. Its strings may share memory that others
// use again: Add copies what it keeps.
type Entry struct {
	ID          [20]byte
	At          time.Time
	Took        time.Duration
	Status      int    // of the answer; 200 when it was allowed
	Code        string // "allow", or the R-code
	Step        string // that refused; empty when it was allowed
	Cause       string // of a refusal, for the operator
	Method      string
	Host        string
	Path        string // the query may be there; it is not kept
	RequestID   string
	API         string
	Route       string
	Account     string
	Client      string
	Token       string // its ID
	Environment string
	Source      netip.Addr
	Open        bool     // an open API: it has the first step only
	Passed      bool     // refused, but not enforced
	Limits      []string // that refuse
	Shadowed    []string // that would have refused, were their plans not in shadow
}

// Add keeps a decision in place of the oldest. It does not allocate unless something has
// to be hidden.
func (r *Ring) Add(e *Entry) {
	n := r.last.Add(1)
	i := n % uint64(len(r.doors))
	d := &r.doors[i]
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seq < n { // else this writer was held up for a whole turn of the ring
		d.seq = n
		r.slots[i].fill(n, e)
	}
}

// Close ends all followers, now and later: the process goes away. Decisions are still
// kept.
func (r *Ring) Close() { r.closing.Do(func() { close(r.closed) }) }

// read copies the slot of a number. Its seq tells what was found there: a smaller one,
// the decision is not written yet; a greater one, it is gone.
func (r *Ring) read(n uint64, into *kept) {
	i := n % uint64(len(r.doors))
	r.doors[i].mu.Lock()
	*into = r.slots[i]
	r.doors[i].mu.Unlock()
}

// oldest is the number before that of the oldest decision that may still be there.
func (r *Ring) oldest(last uint64) uint64 {
	return max(r.first, last-min(last, uint64(len(r.slots))))
}
