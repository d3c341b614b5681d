package authz

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tollgate-authz/tollgate/authz/deny"
	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
)

// billed is a bill that is made when it is first needed.
type billed = atomic.Pointer[quota.Bill]

// findPayer works out who pays, or remembers it.
func (g *Gate) findPayer(c *check) (*payer, error) {
	id := c.Identity
	if p, ok := id.Memo.Load().(*payer); ok && p.policy == c.policy {
		return p, nil
	}
	plan := c.policy.Plans[id.Plan()]
	if plan == nil {
		return nil, fmt.Errorf("plan %q of client %s is not configured", id.Plan(), id.ClientID())
	}
	p := &payer{
		policy: c.policy, plan: plan, who: g.limits.Subject(id.Issuer(), id.TokenID()), own: ownMinute(id, plan.Table.WarnAt),
	}
	if n := len(c.policy.routePlans); n > 1 {
		bills := make([]billed, n)
		p.bills = &bills
	}
	id.Memo.Store(p)
	return p, nil
}

// bill is what the requests of a payer at a route are charged to in the ledger.
func (g *Gate) bill(p *payer, c *check) *quota.Bill {
	known := p.billAt(c.Route)
	if bill := known.Load(); bill != nil {
		return bill
	}
	name, charges := c.policy.charges(c.Identity, p.plan, c.Route.Plan)
	bill := g.quotas.Bill(name, c.Identity.Account(), c.policy.Zone(c.Identity.AccountRecord()), charges)
	known.Store(bill)
	return bill
}

// Zone is the time zone in which an account's days begin.
func (p *Policy) Zone(a *tokens.Account) *time.Location {
	if a != nil && a.Zone != "" {
		if zone, err := time.LoadLocation(a.Zone); err == nil { // else it is of a machine that knows more zones
			return zone
		}
	}
	if p.DefaultZone != nil {
		return p.DefaultZone
	}
	return time.UTC
}

// rejectLocked refuses a token or API key that is locked out (row V4).
func (g *Gate) rejectLocked(c *check) (err error) {
	l := c.Identity.Lockout(c.now)
	if l == nil {
		return nil
	}
	if c.payer, err = g.findPayer(c); err != nil {
		return err
	}
	g.takeMemory(c, false) // to tell where the caller stands
	r, rest := g.charged(c), l.Until.Sub(c.now)
	g.quotas.Stand(&r, g.bill(c.payer, c), &c.Limits)
	for i := range c.Limits.Count {
		if s := &c.Limits.Standings[i]; s.Kind == limiter.KindPerMinute && s.Reset < rest {
			s.Remaining, s.Reset = 0, rest // whatever this process has counted: it began elsewhere, or before a restart
		}
	}
	c.Limits.RetryAfter = max(c.Limits.RetryAfter, rest)
	return deny.RateLimited.Because("locked out until %s", l.Until.UTC().Format(time.RFC3339))
}

// takeMemory asks the limits in memory, and charges them if it is to spend.
func (g *Gate) takeMemory(c *check, spend bool) {
	var plans [3]*limiter.Plan
	n := 1
	plans[0] = c.payer.plan.Table
	if c.Route.Plan != nil {
		plans[n] = c.Route.Plan.Table
		n++
	}
	if c.payer.own != nil {
		plans[n] = c.payer.own
		n++
	}
	if spend {
		g.limits.Take(c.now, c.payer.who, plans[:n], &c.Limits)
	} else {
		g.limits.Look(c.now, c.payer.who, plans[:n], &c.Limits)
	}
}

// spend charges every limit that applies: of the client's plan, of the route's beside
// it, of the token itself, and the account's wallet. All are charged or none.
func (g *Gate) spend(ctx context.Context, c *check) (err error) {
	if c.payer, err = g.findPayer(c); err != nil {
		return err
	}
	bill, r := g.bill(c.payer, c), g.charged(c)
	switch {
	case c.trace != nil:
		if err := g.quotas.Look(ctx, &r, bill, &c.Limits, func(bool) { g.takeMemory(c, false) }); err != nil {
			return err
		}
	case bill.Len() == 0:
		g.takeMemory(c, true)
	default:
		g.quotas.Spend(ctx, &r, bill, &c.Limits, func(spend bool) { g.takeMemory(c, spend) })
	}
	if c.trace == nil {
		g.report(c, &r)
	}
	switch c.Limits.Verdict {
	case limiter.Allowed:
		return nil
	case limiter.RefusedBurst:
		return deny.BurstLimited.Because("%s is used up", c.refusing())
	case limiter.RefusedMinute:
		g.lockOut(c)
		return deny.RateLimited.Because("%s is used up", c.refusing())
	case limiter.RefusedQuota:
		return deny.RateLimited.Because("%s is used up", c.refusing())
	case limiter.Unavailable:
		return errors.New("the ledger of quotas does not answer, and what was taken from it before is spent")
	}
	return errors.New("the tables of limits are full of active tokens: raise limits.max_memory")
}

// charged is what a request costs.
func (g *Gate) charged(c *check) quota.Request {
	return quota.Request{Now: c.now, What: c.Route.Label(), Price: c.Price()}
}

// refusing names the limits that refuse.
func (c *check) refusing() (names string) {
	for i := range c.Limits.Count {
		s := &c.Limits.Standings[i]
		if !s.Refused || s.InShadow() {
			continue
		}
		if names != "" {
			names += ", "
		}
		names += LimitName(s)
	}
	return names
}

// lockOut begins the lockout of a plan whose per_minute was exceeded. Requests that are
// refused meanwhile do not extend it.
func (g *Gate) lockOut(c *check) {
	var longest time.Duration
	var name string // of the plan
	for i := range c.Limits.Count {
		s := &c.Limits.Standings[i]
		if !s.Refused || s.InShadow() || s.Kind != limiter.KindPerMinute {
			continue
		}
		for _, plan := range [...]*Plan{c.payer.plan, c.Route.Plan} {
			if plan != nil && s.Plan == plan.Table && plan.Lockout > longest {
				longest, name = plan.Lockout, plan.Name
			}
		}
	}
	if longest == 0 || c.trace != nil || !c.policy.Enforce {
		return
	}
	id := c.Identity
	c.Limits.RetryAfter = max(c.Limits.RetryAfter, longest)
	g.locked(tokens.Lockout{
		Issuer: id.Issuer(), Token: id.TokenID(), Client: id.ClientID(), Account: id.Account(), Plan: name,
		Since: c.now, Until: c.now.Add(longest),
	})
}
