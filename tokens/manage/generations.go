package manage

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/tollgate-authz/tollgate/limiter"
)

// generations is the plan of the limit of row I4, made for the settings seen last.
type generations struct{ plan atomic.Pointer[limiter.Plan] }

func (g *generations) of(perMinute int64) (*limiter.Plan, error) {
	plan := g.plan.Load()
	if plan == nil || plan.PerMinute != perMinute {
		var err error
		if plan, err = limiter.NewPlan(limiter.Plan{Name: "generations by callers", PerMinute: perMinute}); err != nil {
			return nil, fmt.Errorf("use tokens.generations_per_minute: %w", err)
		}
		g.plan.Store(plan)
	}
	return plan, nil
}

// generate makes and stores a token for a caller who has not made too many (row I4). Only
// what succeeds is counted: were failures of the store counted too, it would refuse its
// callers for a minute after it is back.
func (a *api) generate(ctx context.Context, by *caller, do func() error) error {
	plan, err := a.plan.of(a.Settings().GenerationsPerMinute)
	if err != nil {
		return err
	}
	done, err := a.takeTurn(ctx)
	if err != nil {
		return err
	}
	defer done()
	who, plans := a.Limits.Subject("generations by callers", by.client.ID), []*limiter.Plan{plan}
	var res limiter.Result
	a.Limits.Look(a.Now(), who, plans, &res)
	switch res.Verdict {
	case limiter.Allowed:
	case limiter.Full: // contract section 6: no active caller is forgotten for a new one
		return errors.New("count generations: the limiter's table is full (limits.max_memory)")
	default:
		return rateLimited(res.RetryAfter, "too many tokens were made in the last minute")
	}
	if err := do(); err != nil {
		return err
	}
	a.Limits.Take(a.Now(), who, plans, &limiter.Result{})
	return nil
}
