package quota

import (
	"context"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
)

// Request is what is charged to a Bill.
type Request struct {
	Now   time.Time
	Price Micros // 0: it costs nothing
	What  string // names it in the lines of a wallet
}

// maxItems is how many charges a bill may have.
const maxItems = limiter.MaxStandings - 2*limiter.MaxPlans

// state is what one charge of a bill says to a request.
type state uint8

const (
	skip  state = iota // it does not count this one
	ready              // there is enough left
	used               // there is not
	short              // the ledger must be asked
	full               // there is no room to count it
)

// Spend charges a request to all limits of a bill and to those in memory, or to none.
// memory takes (or, given false, only looks) there, and sets *res; what the bill says is
// added to it. Where a lease is empty and the ledger may have more, Spend waits for
// it, for 20 ms at most in all.
func (b *Book) Spend(ctx context.Context, r *Request, bill *Bill, res *limiter.Result, memory func(spend bool)) {
	var w waiter
	changed := b.try(r, bill, res, memory, &w, b.away.Load())
	if changed == nil {
		return
	}
	began := b.Now()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	outcome := Refused
	for changed != nil {
		select {
		case <-changed:
			changed = b.try(r, bill, res, memory, &w, b.away.Load())
			continue
		case <-timer.C:
		case <-ctx.Done():
		}
		outcome = TimedOut
		changed = b.try(r, bill, res, memory, &w, true)
	}
	if res.Verdict == limiter.Allowed {
		outcome = Granted
	}
	if b.Observer != nil {
		b.Observer.Waited(outcome, b.Now().Sub(began))
	}
}

// waiter remembers for which charges a request has said already that it waits.
type waiter struct {
	waits  bool // for any
	noted  [maxItems]bool
	rounds [maxItems]uint64
}

// try charges a request, or returns what to wait for. last: it is not asked to wait.
func (b *Book) try(r *Request, bill *Bill, res *limiter.Result, memory func(bool), w *waiter, last bool) <-chan struct{} {
	a := bill.account
	now, millis := b.since(r.Now), b.millis(r.Now)
	unix := millis / 1000
	a.mu.Lock()
	defer a.mu.Unlock()
	a.advance(unix)
	var states [maxItems]state
	var count [full + 1]int
	shadowed := false
	for i := range bill.items {
		it := &bill.items[i]
		s := b.weigh(a, it, it.cost(r.Price), now)
		if s == short && last && it.Allow {
			s = ready
		}
		if s == used && it.Shadow {
			shadowed = true
		} else {
			count[s]++
		}
		states[i] = s
	}
	memory(count[used]+count[short]+count[full] == 0)
	res.Shadowed = res.Shadowed || shadowed
	switch {
	case res.Verdict != limiter.Allowed:
	case count[full] > 0:
		res.Verdict = limiter.Full
	case count[used] > 0: // see stand
	case count[short] > 0 && last:
		res.Verdict = limiter.Unavailable
	case count[short] > 0:
		b.ask(bill, r, w, &states)
		return a.changes()
	default:
		b.charge(bill, r, now, unix, &states, res)
	}
	if w.waits {
		b.unask(bill, r, w)
	}
	for i := range bill.items {
		if states[i] != skip && states[i] != full {
			bill.items[i].stand(millis, states[i] == used, res)
		}
	}
	return nil
}

// Stand adds to a Result where the subjects of a bill stand, as far as this process
// knows. It spends nothing and asks nobody.
func (b *Book) Stand(r *Request, bill *Bill, res *limiter.Result) {
	a, millis := bill.account, b.millis(r.Now)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.advance(millis / 1000)
	for i := range bill.items {
		it := &bill.items[i]
		if c := it.counter; c != nil && !c.gone && it.cost(r.Price) > 0 && (!it.daily || c.lease.window == a.day) {
			it.stand(millis, false, res)
		}
	}
}

// weigh says whether a charge has cost units left.
func (b *Book) weigh(a *account, it *item, cost, now int64) state {
	if cost == 0 {
		return skip
	}
	c := it.counter
	if c == nil || c.gone {
		if c = b.counter(a, &it.Charge, now); c == nil {
			return full
		}
		it.counter = c
	}
	c.lastAsk = now
	if it.daily && c.lease.window.label != a.day.label {
		b.turn(c)
	}
	l := c.lease
	switch {
	case !c.held && l.left() >= cost:
		return ready
	case c.limit < cost || c.dryUntil != 0 && now < c.dryUntil:
		return used
	case !it.Shadow:
		return short
	case l.answered && l.left()+l.available < cost, l.spent+cost > c.limit:
		return used
	}
	return ready // a shadow plan keeps nobody waiting
}

// ask notes what a request waits for, once for each answer.
func (b *Book) ask(bill *Bill, r *Request, w *waiter, states *[maxItems]state) {
	for i := range bill.items {
		if states[i] != short {
			continue
		}
		it := &bill.items[i]
		if c := it.counter; !w.noted[i] || w.rounds[i] != c.round {
			w.waits, w.noted[i], w.rounds[i] = true, true, c.round
			cost := it.cost(r.Price)
			c.need, c.cost = c.need+cost, max(c.cost, cost)
		}
		b.tell(it.counter.lease, true)
	}
}

// unask takes back what the request has noted and nobody has answered.
func (b *Book) unask(bill *Bill, r *Request, w *waiter) {
	for i := range bill.items {
		if it := &bill.items[i]; w.noted[i] && it.counter.round == w.rounds[i] {
			it.counter.need -= it.cost(r.Price)
			w.noted[i] = false
		}
	}
}

func (b *Book) charge(bill *Bill, r *Request, now, unix int64, states *[maxItems]state, res *limiter.Result) {
	for i := range bill.items {
		it := &bill.items[i]
		if states[i] != ready || it.Shadow && bill.shadowed(it.Plan, states, res) {
			continue
		}
		c, l, cost := it.counter, it.counter.lease, it.cost(r.Price)
		l.spent += cost // also beyond what is left, where nothing is refused for want of it
		c.units += cost
		c.lastUse = now
		if it.Lines {
			l.note(bill.account.name, unix-unix%3600, r.What, cost)
		}
		if 2*l.left() < c.holding && l.available > 0 || l.left() < 0 {
			b.tell(l, false)
		}
		if second := now/int64(time.Second) + tellSoon; (it.Lines || l.left() < 0) && int64(c.due) > second {
			b.schedule(c, second)
		}
	}
}

// shadowed reports whether some limit of a shadow plan would have refused: then none of
// the plan's counts the request, as if it had been refused.
func (bill *Bill) shadowed(plan *limiter.Plan, states *[maxItems]state, res *limiter.Result) bool {
	for i := range bill.items {
		if it := &bill.items[i]; it.Plan == plan && it.Shadow && states[i] == used {
			return true
		}
	}
	for _, s := range res.All() {
		if s.Plan == plan && s.Refused {
			return true
		}
	}
	return false
}

// Refund takes back what was charged for a request that came to nothing.
func (b *Book) Refund(r *Request, bill *Bill) {
	a := bill.account
	a.mu.Lock()
	defer a.mu.Unlock()
	a.advance(b.unix(r.Now))
	for i := range bill.items {
		it := &bill.items[i]
		c := it.counter
		if c == nil || c.gone || it.daily && c.lease.window.label != a.day.label {
			continue // the day is over, or nobody has used it for a minute
		}
		c.lease.spent -= it.cost(r.Price)
	}
}

// stand says where the subject stands with a charge; millis is the time by the ledger's
// clock.
func (it *item) stand(millis int64, refused bool, res *limiter.Result) {
	c := it.counter
	if !c.lease.answered && !refused {
		return // nobody knows; only who is refused by another limit comes here
	}
	s := res.Next()
	s.Plan, s.Kind, s.Refused, s.Near, s.Limit, s.Remaining = it.Plan, it.Kind, refused, it.Near, c.limit, c.remaining()
	if it.daily {
		d := &c.account.day
		s.Window = d.length()
		s.Reset = time.Duration(d.ends*1000-millis) * time.Millisecond
	}
	if refused && !it.Shadow {
		res.RefuseQuota(s)
	}
}

// remaining is what is left as far as is known here.
func (c *counter) remaining() int64 {
	l := c.lease
	return max(0, min(c.limit, l.left()+l.available))
}
