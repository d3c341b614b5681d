package quota

import (
	"context"
	"fmt"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
)

// Detail is where a subject stands with one limit, for people.
type Detail struct {
	Charge
	Limit int64     // in force; it may be newer than that of the charge
	Used  int64     // as far as is known here: by this process, and what others have told
	Left  int64     // for this process and everybody
	Reset time.Time // of a limit of the day, and how long the day is
	Day   time.Duration
	// Leases that are open, what they hold beyond Used, and how much of that is in
	// leases of processes that died or cannot reach the ledger.
	Leases           int
	Leased, Stranded int64
	Here             int64 // of Leased: held by this process
}

// Inspect asks the ledger where the subjects of a bill stand. It spends nothing.
func (b *Book) Inspect(ctx context.Context, now time.Time, bill *Bill) ([]Detail, error) {
	a := bill.account
	a.mu.Lock()
	a.advance(b.unix(now))
	cells := make([]CellID, len(bill.items))
	for i := range bill.items {
		cells[i] = CellID{Limit: bill.items[i].ID, Window: a.window(&bill.items[i].Charge).label}
	}
	a.mu.Unlock()
	usages, err := b.Ledger.Usage(ctx, cells)
	if err != nil {
		return nil, fmt.Errorf("ask the ledger: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	details := make([]Detail, len(bill.items))
	for i := range bill.items {
		details[i] = bill.items[i].detail(a, cells[i], usages[i])
	}
	return details, nil
}

// detail puts together what the ledger says and what it does not know yet.
func (it *item) detail(a *account, cell CellID, u Usage) Detail {
	d := Detail{Charge: it.Charge, Limit: it.Charge.Limit, Used: u.Spent, Leases: u.Leases, Leased: u.Leased, Stranded: u.Stranded}
	d.Left = d.Limit - u.Spent - u.Leased
	if c := a.counters[it.ID]; c != nil && c.lease.cell == cell {
		l := c.lease
		untold := l.spent - l.told
		d.Limit = c.limit
		d.Here = max(0, l.left())
		d.Used += untold
		d.Leased = max(0, d.Leased-untold)
		d.Left = d.Limit - u.Spent - u.Leased + l.left()
	}
	d.Left = max(0, d.Left)
	if it.Daily() {
		d.Reset, d.Day = time.Unix(a.day.ends, 0).In(a.zone), a.day.length()
	}
	return d
}

// Look says what Spend would, as far as memory and the ledger tell, and spends nothing.
func (b *Book) Look(ctx context.Context, r *Request, bill *Bill, res *limiter.Result, memory func(spend bool)) error {
	memory(false)
	details, err := b.Inspect(ctx, r.Now, bill)
	if err != nil {
		if res.Verdict == limiter.Allowed {
			res.Verdict = limiter.Unavailable
		}
		return err
	}
	for i := range details {
		d := &details[i]
		cost := d.cost(r.Price)
		if cost == 0 {
			continue
		}
		s := limiter.Standing{Plan: d.Plan, Kind: d.Kind, Limit: d.Limit, Remaining: d.Left, Near: d.Near, Refused: d.Left < cost}
		if d.Daily() {
			s.Window, s.Reset = d.Day, d.Reset.Sub(r.Now)
		}
		res.Add(s)
		switch {
		case !s.Refused && d.Here < cost && !d.Allow && !d.Shadow && b.Away():
			if res.Verdict == limiter.Allowed {
				res.Verdict = limiter.Unavailable
			}
		case !s.Refused:
		case d.Shadow:
			res.Shadowed = true
		default:
			res.RefuseQuota(&s)
		}
	}
	return nil
}

// Held is what all leases here have left, by kind of limit.
func (b *Book) Held() map[limiter.Kind]int64 {
	held := map[limiter.Kind]int64{}
	b.accountsMu.RLock()
	defer b.accountsMu.RUnlock()
	for _, a := range b.accounts {
		a.mu.Lock()
		for _, c := range a.counters {
			held[c.charge.Kind] += max(0, c.lease.left())
		}
		a.mu.Unlock()
	}
	return held
}
