package quota

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what NewBook needs.
type Config struct {
	Ledger Ledger
	Random io.Reader        // names the process; 16 bytes are read
	Now    func() time.Time // nil: time.Now
	// MaxCounters bounds how many limits of how many subjects are counted at once;
	// one that was not used for a minute makes room. 0: a million.
	MaxCounters int
	Observer    Observer // may be nil
}

// Observer is told what the book and its ledger say to each other. Its methods must
// not wait, nor call the book.
type Observer interface {
	// Moved: a batch was sent. answers are empty where err is not nil.
	Moved(answers []Answer, err error, took time.Duration)
	// Waited: a request has waited for the ledger.
	Waited(outcome Outcome, took time.Duration)
}

// Outcome is how waiting for the ledger ended.
type Outcome uint8

// Outcomes.
const (
	Granted Outcome = iota // there was some left
	Refused                // there was not, or another limit refuses
	TimedOut
)

// Book spends limits from leases. It is safe for concurrent use; Run tells the ledger
// about them.
type Book struct {
	Config
	process ProcessID
	epoch   time.Time

	accountsMu sync.RWMutex
	accounts   map[string]*account // of the records, and of trusted issuers

	counters  atomic.Int64
	numbers   atomic.Uint64 // of leases
	told      atomic.Int64  // see Move.Told
	offset    atomic.Int64  // of the ledger's clock against ours, in milliseconds
	roundTrip atomic.Int64  // nearly the longest of late, in nanoseconds
	away      atomic.Bool   // the ledger has failed, and not answered since

	queue queue
	rand  *rand.Rand // of the goroutine that runs the book

	duesMu sync.Mutex
	dues   map[int64][]*counter // by the second at which to look at them
}

// patience is how long a request waits for the ledger: Envoy waits for 200 ms by
// default.
const patience = 20 * time.Millisecond

// NewBook makes an empty book.
func NewBook(c Config) (*Book, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.MaxCounters == 0 {
		c.MaxCounters = 1_000_000
	}
	if c.Ledger == nil || c.Random == nil {
		return nil, errors.New("quota book: Ledger and Random are needed")
	}
	b := &Book{Config: c, epoch: c.Now(), accounts: map[string]*account{}, dues: map[int64][]*counter{}}
	b.queue.wake = make(chan struct{}, 1)
	if _, err := io.ReadFull(c.Random, b.process[:]); err != nil {
		return nil, fmt.Errorf("name the process: %w", err)
	}
	b.rand = rand.New(rand.NewPCG(binary.BigEndian.Uint64(b.process[:8]), binary.BigEndian.Uint64(b.process[8:])))
	return b, nil
}

// Away reports whether the ledger does not answer.
func (b *Book) Away() bool { return b.away.Load() }

// Counters is how many limits of how many subjects are counted here.
func (b *Book) Counters() int { return int(b.counters.Load()) }

// ClockOffset is how far the ledger's clock is ahead of ours.
func (b *Book) ClockOffset() time.Duration {
	return time.Duration(b.offset.Load()) * time.Millisecond
}

// since is monotonic where now has such a reading.
func (b *Book) since(now time.Time) int64 { return int64(now.Sub(b.epoch)) }

// millis is the time by the ledger's clock, unix the same in seconds.
func (b *Book) millis(now time.Time) int64 { return now.UnixMilli() + b.offset.Load() }
func (b *Book) unix(now time.Time) int64   { return b.millis(now) / 1000 }

func (b *Book) span() time.Duration {
	return span(time.Duration(b.roundTrip.Load()), int(b.counters.Load()))
}

func (b *Book) account(name string, zone *time.Location) *account {
	b.accountsMu.RLock()
	a := b.accounts[name]
	b.accountsMu.RUnlock()
	if a != nil {
		return a
	}
	b.accountsMu.Lock()
	defer b.accountsMu.Unlock()
	if a = b.accounts[name]; a == nil {
		a = &account{name: name, zone: zone, nextZone: zone, counters: map[LimitID]*counter{}, bills: map[BillID]*Bill{}}
		a.day.label = math.MinInt32
		b.accounts[name] = a
	}
	return a
}

// counter returns where a charge is counted, nil when there is no room for it.
func (b *Book) counter(a *account, ch *Charge, now int64) *counter {
	c := a.counters[ch.ID]
	if c == nil {
		if b.counters.Add(1) > int64(b.MaxCounters) {
			b.counters.Add(-1)
			return nil
		}
		made := &struct { // side by side: every request looks at both
			counter
			lease
		}{}
		c = &made.counter
		*c = counter{account: a, limit: ch.Limit, rev: ch.Rev, charge: ch, rateAt: now, lastUse: now, lastAsk: now}
		c.lease = b.begin(&made.lease, c, a.window(ch))
		c.round = c.lease.number << 32
		a.counters[ch.ID] = c
		b.schedule(c, now/int64(time.Second)+b.lookIn(c, keepIdle))
	}
	b.revise(c, ch)
	return c
}

func (b *Book) newLease(c *counter, w day) *lease { return b.begin(&lease{}, c, w) }

// begin makes an empty lease one of a counter.
func (b *Book) begin(l *lease, c *counter, w day) *lease {
	l.account, l.counter, l.number, l.window = c.account, c, b.numbers.Add(1), w
	l.cell = CellID{Limit: c.charge.ID, Window: w.label}
	return l
}

// revise puts a newer limit in force. What was leased under the old one is held until
// the ledger has answered under the new one: whoever missed a revision in between
// cannot know whether this one is a raise.
func (b *Book) revise(c *counter, ch *Charge) {
	if ch.Rev <= c.rev {
		return
	}
	c.limit, c.rev, c.dryUntil, c.charge = ch.Limit, ch.Rev, 0, ch
	if c.lease.seq > 0 {
		c.held = true
		b.tell(c.lease, true)
	}
}

// renew gives a counter a new lease of the same window. The old one goes back.
func (b *Book) renew(c *counter) {
	b.giveBack(c.lease, c)
	c.lease = b.newLease(c, c.lease.window)
	c.dryUntil = 0
}

// turn gives a counter the lease of the day that has begun.
func (b *Book) turn(c *counter) {
	b.giveBack(c.lease, c)
	c.held, c.dryUntil = false, 0
	next := c.next
	c.next = nil
	switch {
	case next == nil:
	case next.window == c.account.day:
		c.lease = next
		if next.under < c.rev {
			c.held = true // the limit was changed since, or nobody has said what is left of it
			b.tell(next, true)
		}
		return
	default:
		b.giveBack(next, c)
	}
	c.lease = b.newLease(c, c.account.day)
}

// prepare asks for a lease of the day to come, so that midnight finds nobody waiting.
func (b *Book) prepare(c *counter) {
	if c.next == nil {
		c.next = b.newLease(c, dayOf(c.account.day.ends, c.account.nextZone))
		b.tell(c.next, false)
	}
}

// giveBack closes a lease: what it has not spent is free again once the ledger has
// heard of it.
func (b *Book) giveBack(l *lease, c *counter) {
	if l.counter = nil; l.seq == 0 {
		l.limit, l.rev = c.limit, c.rev
	}
	if l.seq > 0 || l.spent != 0 {
		b.tell(l, false)
	}
}

// remove forgets a counter, and with the last one of an account its bills: who still
// has one goes on with it.
func (b *Book) remove(c *counter) {
	delete(c.account.counters, c.charge.ID)
	if len(c.account.counters) == 0 {
		clear(c.account.bills)
	}
	c.gone = true
	b.counters.Add(-1)
	b.giveBack(c.lease, c)
	if c.next != nil {
		b.giveBack(c.next, c)
	}
}

// tell has the ledger told of a lease; urgent: somebody waits.
func (b *Book) tell(l *lease, urgent bool) {
	if l.sending || l.queued && !urgent {
		return
	}
	l.queued = true
	b.queue.add(l, urgent)
}

// queue are leases that the ledger is to be told of. A lease may be in it twice.
type queue struct {
	mu     sync.Mutex
	urgent []*lease
	others []*lease
	wake   chan struct{}
}

func (q *queue) add(l *lease, urgent bool) {
	q.mu.Lock()
	if urgent {
		q.urgent = append(q.urgent, l)
	} else {
		q.others = append(q.others, l)
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take removes up to len(into) leases, urgent ones first.
func (q *queue) take(into []*lease) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for _, list := range []*[]*lease{&q.urgent, &q.others} {
		k := copy(into[n:], *list)
		rest := copy(*list, (*list)[k:])
		clear((*list)[rest:])
		*list = (*list)[:rest]
		n += k
	}
	return n
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.urgent) + len(q.others)
}
