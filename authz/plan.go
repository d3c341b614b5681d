package authz

import (
	"strconv"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
)

// Plan is a named set of limits (contract section 6). burst, per_minute and lockout
// count for a token or API key, the others for the client over all of its tokens.
type Plan struct {
	Name  string
	Table *limiter.Plan // burst and per_minute, which are counted in memory

	PerDay        Limit
	AuthPerDay    Limit // token requests a day, beside PerDay (row D5)
	TotalRequests Limit
	PaidRequests  Limit

	// Lockout is for how long everything is refused after per_minute was exceeded; 0:
	// no longer than per_minute does itself (row V4).
	Lockout time.Duration
	// AllowUnavailable lets requests pass that cannot be counted in PerDay because the
	// ledger does not answer.
	AllowUnavailable bool
}

// Limit is an amount that a ledger keeps count of. The zero Limit is none.
type Limit struct {
	Amount int64
	Rev    int64 // see quota.Charge
}

// charges are what a request of a subject is charged to under the plan.
func (p *Plan) charges(subject []string) (list []quota.Charge) {
	for _, l := range []struct {
		kind limiter.Kind
		Limit
	}{
		{limiter.KindPerDay, p.PerDay}, {limiter.KindTotalRequests, p.TotalRequests}, {limiter.KindPaidRequests, p.PaidRequests},
	} {
		if l.Amount == 0 {
			continue
		}
		list = append(list, quota.Charge{
			ID: quota.NewLimitID(l.kind, p.Table.Name, subject...), Kind: l.kind, Plan: p.Table, Limit: l.Amount, Rev: l.Rev,
			Near: limiter.WarnAt(l.Amount, p.Table.WarnAt), Paid: l.kind == limiter.KindPaidRequests, Shadow: p.Table.Shadow,
			Allow: p.AllowUnavailable && l.kind == limiter.KindPerDay,
		})
	}
	return list
}

// DayCharges are what a token request of a client is charged to, in this order: the
// first that has something left (row D5). Of a plan without a limit for the day there
// are none.
func (p *Plan) DayCharges(client string) (list [][]quota.Charge) {
	if p.PerDay.Amount == 0 {
		return nil
	}
	subject := clientSubject(client)
	if p.AuthPerDay.Amount > 0 {
		list = append(list, []quota.Charge{{
			ID: quota.NewLimitID(limiter.KindAuthPerDay, p.Table.Name, subject...), Kind: limiter.KindAuthPerDay, Plan: p.Table,
			Limit: p.AuthPerDay.Amount, Rev: p.AuthPerDay.Rev, Shadow: p.Table.Shadow, Allow: p.AllowUnavailable,
		}})
	}
	return append(list, p.charges(subject)[:1])
}

// InMemory are the plans that count in memory: of clients, and those of routes.
func (p *Policy) InMemory() (plans []*limiter.Plan) {
	for _, plan := range p.Plans {
		plans = append(plans, plan.Table)
	}
	for _, plan := range p.routePlans[1:] {
		plans = append(plans, plan.Table)
	}
	return append(plans, ownPlan)
}

// payer is who pays for the requests of a credential, and with what: worked out once
// for an identity, which ends when records change.
//
// There is one for every token in the cache, so it is small.
type payer struct {
	policy *Policy
	who    limiter.Subject // of the limits in memory
	plan   *Plan
	own    *limiter.Plan // per_minute of the token itself; nil: none
	bill   billed        // at routes without a plan of their own
	bills  *[]billed     // by Route.bill, at routes with one; nil: there are none
}

// billAt is what is charged at a route.
func (p *payer) billAt(r *Route) *billed {
	if r.bill == 0 {
		return &p.bill
	}
	return &(*p.bills)[r.bill]
}

// ownPlan stands for the limits of one token. Which limits these are, its record says.
var ownPlan = mustPlan(limiter.Plan{Name: "token:", Label: "token"})

func mustPlan(of limiter.Plan) *limiter.Plan {
	p, err := limiter.NewPlan(of)
	if err != nil {
		panic(err)
	}
	return p
}

// clientSubject names a client of ours, keySubject an API key, foreignSubject a client of
// another issuer. The ledger knows them by these names, which must not change.
func clientSubject(client string) []string { return []string{"client", client} }
func keySubject(id string) []string        { return []string{"api key", id} }
func foreignSubject(issuer, client string) []string {
	return []string{"foreign client", issuer, client}
}
func tokenSubject(id string) []string    { return []string{"token", id} }
func walletSubject(name string) []string { return []string{"account", name} }

// subjectOf is who the limits of a plan count for.
func subjectOf(id *tokens.Identity) []string {
	switch {
	case id.Key != nil:
		return keySubject(id.Key.ID)
	case id.Client != nil:
		return clientSubject(id.Client.ID)
	}
	return foreignSubject(id.Issuer(), id.ClientID())
}

// charges are all that requests of an identity are charged to at routes with a plan.
func (p *Policy) charges(id *tokens.Identity, plan, route *Plan) (bill quota.BillID, list []quota.Charge) {
	subject := subjectOf(id)
	names := append([]string{plan.Name, ""}, subject...)
	list = plan.charges(subject)
	if route != nil {
		list = append(list, route.charges(subject)...)
		names[1] = route.Name
	}
	own := ownCharges(id, plan.Table.WarnAt)
	list = append(list, own...)
	if p.priced && id.Environment() == tokens.Production {
		list = append(list, walletCharge(id.Account(), id.AccountRecord(), plan.Table.WarnAt))
	}
	if len(own) > 0 {
		return quota.BillID{}, list // of nobody else
	}
	return quota.NewBillID(names...), list
}

// OwnCharges are the limits of the token itself that a ledger keeps.
func OwnCharges(id *tokens.Identity) []quota.Charge { return ownCharges(id, 0) }

// OwnMinute is the per_minute of the token itself, nil where it has none.
func OwnMinute(id *tokens.Identity) *limiter.Plan { return ownMinute(id, 0) }

func ownCharges(id *tokens.Identity, warnAt float64) (list []quota.Charge) {
	limits, rev := id.Limits()
	for _, l := range []struct {
		kind   limiter.Kind
		amount int64
	}{
		{limiter.KindPerDay, limits.PerDay}, {limiter.KindTotalRequests, limits.TotalRequests},
		{limiter.KindPaidRequests, limits.PaidRequests}, {limiter.KindWalletAmount, int64(limits.WalletAmount)},
	} {
		if l.amount == 0 {
			continue
		}
		list = append(list, quota.Charge{
			ID: quota.NewLimitID(l.kind, ownPlan.Name, tokenSubject(id.TokenID())...), Kind: l.kind, Plan: ownPlan, Limit: l.amount, Rev: rev,
			Near: limiter.WarnAt(l.amount, warnAt), Paid: l.kind == limiter.KindPaidRequests,
		})
	}
	return list
}

// WalletCharge is an account's wallet; one without a record has nothing in it.
func WalletCharge(name string, account *tokens.Account) quota.Charge {
	return walletCharge(name, account, 0)
}

func walletCharge(name string, account *tokens.Account, warnAt float64) quota.Charge {
	c := quota.Charge{ID: quota.NewLimitID(limiter.KindWallet, "", walletSubject(name)...), Kind: limiter.KindWallet, Lines: true}
	if account != nil {
		c.Limit, c.Rev, c.Near = int64(account.Credit), account.CreditRev, limiter.WarnAt(int64(account.Credit), warnAt)
	}
	return c
}

// ownMinute is the per_minute of the token itself.
func ownMinute(id *tokens.Identity, warnAt float64) *limiter.Plan {
	limits, _ := id.Limits()
	if limits.PerMinute == 0 {
		return nil
	}
	p, err := limiter.NewPlan(limiter.Plan{Name: ownPlan.Name, Label: ownPlan.Label, PerMinute: limits.PerMinute, WarnAt: warnAt})
	if err != nil { // the records do not take such a limit
		panic("per_minute of a token is " + strconv.FormatInt(limits.PerMinute, 10))
	}
	return p
}
