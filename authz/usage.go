package authz

import (
	"fmt"

	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
)

// Limits are all limits that apply to somebody, wherever the requests go: for people
// who ask how far they are used.
type Limits struct {
	Charges []quota.Charge  // that a ledger keeps
	Tables  []*limiter.Plan // that are counted in memory, for one token or API key

	// The same, of plans that only requests to some routes are charged to.
	RouteCharges []quota.Charge
	RouteTables  []*limiter.Plan
}

// LimitsOf are those of a token or API key.
func (p *Policy) LimitsOf(id *tokens.Identity) (l Limits, err error) {
	plan := p.Plans[id.Plan()]
	if plan == nil {
		return l, fmt.Errorf("plan %q of client %s is not configured", id.Plan(), id.ClientID())
	}
	_, l.Charges = p.charges(id, plan, nil)
	l.Tables = []*limiter.Plan{plan.Table}
	if own := ownMinute(id, plan.Table.WarnAt); own != nil {
		l.Tables = append(l.Tables, own)
	}
	p.addRoutes(&l, subjectOf(id))
	for _, route := range p.routePlans[1:] {
		l.RouteTables = append(l.RouteTables, route.Table)
	}
	return l, nil
}

// ClientLimits are those of a client, over all of its tokens. account may be nil: there
// is no record of it.
func (p *Policy) ClientLimits(c *tokens.Client, account *tokens.Account) (l Limits, err error) {
	plan := p.Plans[c.Plan]
	if plan == nil {
		return l, fmt.Errorf("plan %q of client %s is not configured", c.Plan, c.ID)
	}
	l.Charges = plan.charges(clientSubject(c.ID))
	if days := plan.DayCharges(c.ID); len(days) > 1 {
		l.Charges = append(l.Charges, days[0]...) // the last is per_day, which is there
	}
	if p.priced && c.Environment == tokens.Production {
		l.Charges = append(l.Charges, WalletCharge(c.Account, account))
	}
	p.addRoutes(&l, clientSubject(c.ID))
	return l, nil
}

func (p *Policy) addRoutes(l *Limits, subject []string) {
	for _, route := range p.routePlans[1:] { // the first is nil: of routes without one
		l.RouteCharges = append(l.RouteCharges, route.charges(subject)...)
	}
}
