package endpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/tokens"
)

// clientCredentials answers the grant of RFC 6749 section 4.4.
func (e *endpoint) clientCredentials(ctx context.Context, g *grant) error {
	switch { // the cases run in order; the first objection ends the request
	case g.ends(e.authenticateClient(ctx, g)):
	case g.ends(e.requireFewGenerations(g)): // R3; spends nothing yet
	case g.ends(e.spendDay(ctx, g)): //         R3
	case g.ends(g.requireScope()): //           R2
	case g.ends(g.requireTarget()): //          not before: only clients learn which audiences there are
	case g.ends(e.startFamily(g)):
	case g.ends(e.issue(ctx, g, e.Records.AddTokens)): // R3 again, where others were faster since
	}
	return g.err
}

func (e *endpoint) requireFewGenerations(g *grant) error {
	return e.generations(e.Limits.Look, g)
}

// generations asks the limit of row I4, which counts successful requests only.
func (e *endpoint) generations(table askTable, g *grant) error {
	plan := e.plan.Load()
	if plan == nil || plan.PerMinute != g.settings.GenerationsPerMinute {
		var err error
		if plan, err = limiter.NewPlan(limiter.Plan{Name: "generations", PerMinute: g.settings.GenerationsPerMinute}); err != nil {
			return fmt.Errorf("use tokens.generations_per_minute: %w", err)
		}
		e.plan.Store(plan)
	}
	var res limiter.Result
	table(g.now, e.Limits.Subject("generations", g.client.ID), []*limiter.Plan{plan}, &res)
	switch res.Verdict {
	case limiter.Allowed:
		return nil
	case limiter.Full: // contract section 6: no active client is forgotten for a new one
		return errors.New("count generations: the limiter's table is full (limits.max_memory)")
	}
	return rateLimited.later(res.RetryAfter, "too many generations")
}

// requireScope grants what was asked for, or all when nothing was. A token with
// less than was asked for would fail later, where nobody looks for the reason.
func (g *grant) requireScope() (err error) {
	g.scopes, err = choose(g.scope, g.client.Scopes)
	return err
}

// choose returns the scopes that were asked for, all there are when none were.
func choose(asked string, from []string) ([]string, error) {
	if asked == "" {
		return from, nil
	}
	list, ok := tokens.SplitScopes(asked)
	if !ok {
		return nil, invalidScope.because("malformed scope")
	}
	for _, s := range list {
		if !slices.Contains(from, s) {
			return nil, invalidScope.because("a scope that is not there to be given")
		}
	}
	return list, nil
}

// requireTarget finds the audience (RFC 8707 section 2).
func (g *grant) requireTarget() error {
	g.audience = g.settings.Audience
	if g.resource == "" || g.resource == g.audience {
		return nil
	}
	if !slices.Contains(g.settings.APIAudiences, g.resource) {
		return invalidTarget.because("a resource that is no API's audience")
	}
	g.audience = g.resource
	return nil
}

// startFamily begins a family where a refresh token comes along.
func (e *endpoint) startFamily(g *grant) error {
	if !g.client.Refresh || !g.dialect.refreshes {
		return nil
	}
	id, err := tokens.NewFamilyID(g.format(), e.Random)
	if err != nil {
		return err
	}
	g.family = &tokens.Family{
		ID: id, Client: g.client.ID, Scopes: g.scopes, Audience: g.audience, Counter: 1,
		CreatedAt: g.now, ExpiresAt: g.now.Add(g.settings.RefreshMaxTTL),
	}
	return nil
}

// format of the client's access tokens.
func (g *grant) format() tokens.Format { return g.client.TokenFormat(g.settings.Format) }

// lifetime of the client's access tokens.
func (g *grant) lifetime() time.Duration {
	return g.client.TokenLifetime(g.settings.Format, g.settings.AccessTTL)
}
