package quota

import "time"

// schedule has a counter looked at in a second of the book's time.
func (b *Book) schedule(c *counter, second int64) {
	c.due = int32(second)
	b.duesMu.Lock()
	b.dues[second] = append(b.dues[second], c)
	b.duesMu.Unlock()
}

// lookAtIdle gives leases back that nobody uses, and tells of the others from time to
// time.
func (b *Book) lookAtIdle() {
	now := b.since(b.Now())
	second := now / int64(time.Second)
	for _, c := range b.dueUntil(second) {
		c.account.mu.Lock()
		b.lookAt(c, now)
		c.account.mu.Unlock()
	}
}

func (b *Book) dueUntil(second int64) (due []*counter) {
	b.duesMu.Lock()
	defer b.duesMu.Unlock()
	for s, list := range b.dues {
		if s <= second {
			due = append(due, list...)
			delete(b.dues, s)
		}
	}
	return due
}

func (b *Book) lookAt(c *counter, now int64) {
	second := now / int64(time.Second)
	if c.gone || int64(c.due) > second {
		return
	}
	keep := int64(keepIdle)
	if c.lease.answered && scarce(c.lease.available, c.limit) {
		keep = keepScarce
	}
	asked, used := second-c.lastAsk/int64(time.Second), second-c.lastUse/int64(time.Second)
	switch {
	case asked >= keep:
		b.remove(c)
		return
	case used >= keep && c.lease.left() > 0:
		b.release(c, now)
	case c.lease.spent != c.lease.told || c.charge.Daily() && c.lease.window.label != c.account.day.label:
		b.tell(c.lease, false)
	}
	b.schedule(c, second+b.lookIn(c, keep-asked))
}

// release gives back what requests come for and cannot use: it is less than one costs,
// or another limit refuses them, whose last units may be with another process, which
// waits for these.
func (b *Book) release(c *counter, now int64) {
	until := c.dryUntil // the ledger has not got enough by this
	b.renew(c)
	c.lastUse, c.dryUntil = now, until
}

// lookIn is after how many seconds a counter is to be looked at again, which is to be
// kept for that long if nobody uses it. Shortly before midnight it takes the lease of
// the day to come: not all at once, each has a moment of its own.
func (b *Book) lookIn(c *counter, keep int64) int64 {
	next := min(keep, heartbeat)
	if c.charge.Daily() {
		early := 1 + int64(c.round>>32)%prepareWithin
		switch left := c.account.day.ends - b.unix(b.Now()); {
		case left > early:
			next = min(next, left-early)
		case left > 0:
			b.prepare(c)
		}
	}
	return max(next, 1)
}
