package quota

import (
	"sync"
	"time"
)

// account holds the leases of an account and of all that belong to it. Its one mutex
// lets a request be charged to all of its limits, or to none.
type account struct {
	name string

	mu       sync.Mutex
	zone     *time.Location // of the current day
	nextZone *time.Location // from the next day on
	day      day
	counters map[LimitID]*counter
	bills    map[BillID]*Bill
	waiting  chan struct{} // closed when something was settled; nil: nobody waits
}

// counter is one limit of one subject, as this process spends it. It is guarded by
// the mutex of its account.
type counter struct {
	account *account
	limit   int64 // the newest known, and its revision
	rev     int64
	lease   *lease
	next    *lease  // of the day to come, shortly before it begins
	charge  *Charge // of the bill that made it

	held  bool   // nothing is spent until the ledger has answered under the newest limit
	gone  bool   // no longer in the account: look it up again
	need  int64  // what requests wait for
	cost  int64  // of the one that waits for most
	round uint64 // counts the answers; no other counter's is the same

	dryUntil int64 // nothing is left for anybody, until it is asked for again; nanoseconds since the book's epoch
	lastUse  int64 // when something was last spent
	lastAsk  int64 // when a request last came, and may have been refused
	holding  int64 // what the lease was to have, with its last move

	due    int32   // second of the book's time at which it looks at the counter again
	rate   float32 // units a second
	rateAt int64   // when it was measured
	units  int64   // since then
}

// advance brings the account's day up to a time. A day that has begun is not left
// again for the one before, should the clock be set back: its limits are reset once.
func (a *account) advance(unix int64) {
	if a.day.has(unix) {
		return
	}
	// The same label again: the zone has changed, and the day, which goes on, with it.
	if d := dayOf(unix, a.nextZone); d.label != a.day.label-1 {
		a.zone, a.day = a.nextZone, d
	}
}

// wake lets those who wait try again.
func (a *account) wake() {
	if a.waiting != nil {
		close(a.waiting)
		a.waiting = nil
	}
}

// changes is closed with the next answer for any limit of the account.
func (a *account) changes() <-chan struct{} {
	if a.waiting == nil {
		a.waiting = make(chan struct{})
	}
	return a.waiting
}

// window is the one in which a charge counts now.
func (a *account) window(c *Charge) day {
	if c.Daily() {
		return a.day
	}
	return day{}
}
