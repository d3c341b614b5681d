package quota

import "time"

// settle makes answers known to the leases they are about, and to those who wait.
// Without an answer, the next move will tell.
func (b *Book) settle(batch *batch, received time.Time) {
	now := b.since(received)
	for i, l := range batch.leases {
		var answer Answer
		if batch.answers != nil {
			answer = batch.answers[i]
		}
		a := l.account
		a.mu.Lock()
		l.sending = false
		b.apply(l, &batch.moves[i], &answer, now)
		a.mu.Unlock()
	}
	for _, l := range batch.leases { // behind all answers: they try all of their limits at once
		l.account.mu.Lock()
		l.account.wake()
		l.account.mu.Unlock()
	}
}

// apply is what a holder does with an answer to a move.
func (b *Book) apply(l *lease, m *Move, answer *Answer, now int64) {
	c := l.counter
	switch answer.Status {
	case Open, Stale:
		l.granted = max(l.granted, answer.Granted)
		l.available, l.answered, l.told = answer.Available, true, m.Spent
		l.settleLines(m)
	case None, Old: // it is told again: the next move has the right time
		b.tell(l, c != nil && c.need > 0)
		return
	}
	switch {
	case c == nil: // it is being given back
		if answer.Status == Open || answer.Status == Stale {
			b.tell(l, false)
		}
	case l == c.next: // nobody waits for it
		switch {
		case answer.Status == Closed, answer.Status == Over:
			c.next = nil
		case answer.Available >= 0:
			l.under = answer.Rev
		}
	case answer.Status == Open || answer.Status == Stale:
		c.answered(b, m, answer, now)
	case answer.Status == Ahead:
		c.refused(b, now)
	default: // Closed, Over: it has ended without us
		c.lease = b.newLease(c, l.window)
		c.refused(b, now)
	}
}

// answered takes what the ledger says of the counter's limit.
func (c *counter) answered(b *Book, m *Move, answer *Answer, now int64) {
	c.heard()
	if answer.Rev > c.rev {
		c.limit, c.rev = answer.Limit, answer.Rev // the feed has not told us yet
	}
	l := c.lease
	switch {
	case m.Rev < c.rev && answer.Rev < c.rev: // the limit was changed meanwhile: still held
		b.tell(l, true)
		return
	case answer.Available < 0 && l.left() > 0: // more is out than there is: give back what is not spent
		b.renew(c)
		c.held = true
		b.tell(c.lease, true)
		return
	}
	c.held = false
	if answer.Available <= 0 {
		c.dry(b, now)
	}
	if scarce(answer.Available, c.limit) {
		if second := now/int64(time.Second) + keepScarce + 1; int64(c.due) > second {
			b.schedule(c, second)
		}
	}
}

// refused ends the waiting where the ledger grants nothing.
func (c *counter) refused(b *Book, now int64) {
	c.heard()
	c.dry(b, now)
}

// heard has those who wait say anew what they need.
func (c *counter) heard() {
	c.need, c.cost = 0, 0
	c.round++
}

// dry has requests refused from memory for a second or so. Processes that wait for
// what the other one has must not ask in step for ever.
func (c *counter) dry(b *Book, now int64) {
	c.dryUntil = now + int64(time.Second)/2 + b.rand.Int64N(int64(time.Second))
}

// measure brings the rate up to now: an average over two seconds or so.
func (c *counter) measure(now int64) {
	seconds := float64(now-c.rateAt) / 1e9
	if seconds < 0.01 {
		return
	}
	const over = 2
	c.rate += float32((float64(c.units)/seconds - float64(c.rate)) * seconds / (seconds + over))
	c.rateAt, c.units = now, 0
}
