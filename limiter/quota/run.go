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
			rest(ctx, pause)
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
			rest(ctx, leastPause)
		}
	}
	return b.queue.len()
}

// rest waits after a failure.
func rest(ctx context.Context, pause time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
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
