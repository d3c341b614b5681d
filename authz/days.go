package authz

import (
	"context"
	"errors"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
)

// Days counts token requests in the days of clients, by the gate's policy and in its
// books (row D5): each spends one of the plan's auth_per_day, and when those are used
// up one of its per_day.
type Days struct {
	Gate *Gate
	// Account returns the record of an account; nil: there is none.
	Account func(name string) *tokens.Account
}

// Spend implements endpoint.Days.
func (d Days) Spend(ctx context.Context, client *tokens.Client, now time.Time) (refund func(), wait time.Duration, err error) {
	policy := d.Gate.Policy()
	plan := policy.Plans[client.Plan]
	if plan == nil {
		return nil, 0, nil // the gate says so
	}
	for _, charges := range plan.DayCharges(client.ID) {
		bill := d.Gate.quotas.Bill(quota.NewBillID("token requests", charges[0].Kind.String(), plan.Name, client.ID), client.Account, policy.Zone(d.Account(client.Account)), charges)
		r := quota.Request{Now: now}
		var res limiter.Result
		d.Gate.quotas.Spend(ctx, &r, bill, &res, func(bool) { res = limiter.Result{Verdict: limiter.Allowed} })
		switch {
		case res.Verdict == limiter.Allowed && !res.Shadowed:
			return func() { d.Gate.quotas.Refund(&r, bill) }, 0, nil
		case res.Verdict == limiter.Allowed: // this one is used up, in shadow: the next counts the request
		case res.Verdict == limiter.RefusedQuota:
			wait = max(wait, res.RetryAfter)
		case policy.Enforce:
			return nil, 0, errors.New(res.Verdict.String())
		}
	}
	if !policy.Enforce {
		wait = 0
	}
	return nil, wait, nil
}
