package quota

import (
	"context"
	"time"
)

// Bounds of the talk with the ledger.
const (
	batchSize   = 128
	moveTimeout = 500 * time.Millisecond
	leastPause  = 20 * time.Millisecond // after a failure
	mostPause   = time.Second

	// Seconds.
	keepIdle   = 60 // until a lease that nobody uses goes back
	keepScarce = 1  // the same where others may need it
	heartbeat  = 30 // until the ledger hears of a lease again: half of StrandedAfter
	// A lease of the next day is taken that long before it begins, at the earliest.
	prepareWithin = 10
	tellSoon      = 1 // until it hears of what was spent from a wallet
)

// Run tells the ledger about leases until ctx ends. Close comes after it.
func (b *Book) Run(ctx context.Context) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	b.learnClock(ctx)
	for pause := leastPause; ; {
		select {
		case <-ctx.Done():
			return
		case <-b.queue.wake:
		case <-tick.C:
			b.lookAtIdle()
		}
		for ctx.Err() == nil && b.queue.len() > 0 {
			if b.work(ctx) {
				pause = leastPause
				continue
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			pause = min(2*pause, mostPause)
		}
	}
}

// learnClock asks the ledger for its time before a request has to wait for that: the
// first move of a process changes nothing.
func (b *Book) learnClock(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, moveTimeout)
	defer cancel()
	var answers [1]Answer
	sent := b.Now()
	if b.Ledger.Move(ctx, make([]Move, 1), answers[:]) == nil {
		b.learn(answers[:], sent, b.Now())
	}
}

// Close gives every lease back, until ctx ends: a clean stop strands nothing. No
// request may come any more. It reports how many leases the ledger was not told of.
func (b *Book) Close(ctx context.Context) (stranded int) {
	b.accountsMu.RLock()
	for _, a := range b.accounts {
		a.mu.Lock()
		for _, c := range a.counters {
			b.remove(c)
		}
		a.mu.Unlock()
	}
	b.accountsMu.RUnlock()
	for b.queue.len() > 0 && ctx.Err() == nil {
		if !b.work(ctx) {
			select {
			case <-ctx.Done():
			case <-time.After(leastPause):
			}
		}
	}
	return b.queue.len()
}

// work sends one batch to the ledger and reports whether it has answered.
func (b *Book) work(ctx context.Context) bool {
	batch := b.collect()
	if len(batch.leases) == 0 {
		return true
	}
	sent := b.Now()
	ctx, cancel := context.WithTimeout(ctx, moveTimeout)
	err := b.Ledger.Move(ctx, batch.moves, batch.answers)
	cancel()
	received := b.Now()
	if err != nil {
		batch.answers = nil
	}
	if b.Observer != nil {
		b.Observer.Moved(batch.answers, err, received.Sub(sent))
	}
	b.away.Store(err != nil)
	if err == nil {
		b.learn(batch.answers, sent, received)
	}
	b.settle(&batch, received)
	return err == nil
}

// batch are moves on their way, and the leases that they are about.
type batch struct {
	leases  []*lease
	moves   []Move
	answers []Answer
}

// collect takes what is to be told.
func (b *Book) collect() batch {
	var leases [batchSize]*lease
	n := b.queue.take(leases[:])
	batch := batch{leases: make([]*lease, 0, n), moves: make([]Move, 0, n)}
	now := b.since(b.Now())
	for _, l := range leases[:n] {
		a := l.account
		a.mu.Lock()
		if l.queued { // else it was in the queue twice
			l.queued, l.sending = false, true
			if l.counter != nil {
				l.counter.measure(now)
			}
			m := l.move(b)
			if c := l.counter; c != nil && l == c.lease {
				c.holding = m.Hold
			}
			batch.leases, batch.moves = append(batch.leases, l), append(batch.moves, m)
		}
		a.mu.Unlock()
	}
	batch.answers = make([]Answer, len(batch.moves))
	return batch
}

// learn takes the ledger's clock and its distance from a batch of answers.
func (b *Book) learn(answers []Answer, sent, received time.Time) {
	took := received.Sub(sent)
	b.roundTrip.Store(max(b.roundTrip.Load()*15/16, int64(took)))
	for i := range answers {
		if now := answers[i].Now; now > b.told.Load() {
			b.told.Store(now)
		}
	}
	last := answers[len(answers)-1].Now
	if last == 0 {
		return
	}
	// Differences that small are as likely the way of the message.
	offset := last - sent.Add(took/2).UnixMilli()
	if unsure := took.Milliseconds() + 500; offset < unsure && offset > -unsure {
		offset = 0
	}
	b.offset.Store(offset)
}

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
