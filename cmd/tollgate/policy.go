package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tollgate-authz/tollgate/authz"
	"github.com/tollgate-authz/tollgate/authz/route"
	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/tokens"
)

// loadConfig reads the configuration file; its faults are one error, a line each.
func (a *app) loadConfig() (*config.Config, error) {
	c, faults := config.Load(a.configFile, a.getenv)
	if len(faults) > 0 {
		return nil, faults
	}
	if _, err := newPolicy(c, nil); err != nil {
		return nil, err
	}
	return c, nil
}

// awaitConfig is loadConfig for a process that may be told to stop meanwhile: a file
// can be a pipe that nobody writes to.
func (a *app) awaitConfig(ctx context.Context) (*config.Config, error) {
	type loaded struct {
		c   *config.Config
		err error
	}
	done := make(chan loaded, 1)
	go func() {
		c, err := a.loadConfig()
		done <- loaded{c, err}
	}()
	select {
	case l := <-done:
		return l.c, l.err
	case <-ctx.Done():
		return nil, fmt.Errorf("stopped while reading %s: %w", a.configFile, context.Cause(ctx))
	}
}

// newPolicy turns the configuration into what the gate goes by. Its error names
// what the file reader cannot see: routes and hosts that contradict each other. revs
// are the revisions of the limits that a ledger keeps, by the names that ledgerLimits
// gives them.
func newPolicy(c *config.Config, revs map[string]int64) (*authz.Policy, error) {
	plans, routePlans := make(map[string]*authz.Plan, len(c.Plans)), make(map[string]*authz.Plan, len(c.Plans))
	var faults []error
	for name, p := range c.Plans {
		var err error
		if plans[name], err = newPlan(name, p, revs, false); err != nil {
			faults = append(faults, fmt.Errorf("plans.%s: %w", name, err))
			continue
		}
		if routePlans[name], err = newPlan(name, p, revs, true); err != nil {
			faults = append(faults, fmt.Errorf("plans.%s: %w", name, err))
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	policy := authz.PolicyConfig{
		Plans: plans, Audience: c.Tokens.Audience, TrustedHops: c.ClientIP.TrustedHops, Enforce: c.Enforce,
	}
	var err error
	if policy.DefaultZone, err = time.LoadLocation(c.Accounts.DefaultZone); err != nil {
		return nil, fmt.Errorf("accounts.default_zone: %w", err)
	}
	for i := range c.APIs {
		policy.APIs = append(policy.APIs, newAPI(&c.APIs[i], routePlans))
	}
	return authz.NewPolicy(policy)
}

// newPlan makes a plan, of clients, or of the routes that charge it in addition.
// Counters belong to a plan's name; those of routes have another, so that a client
// whose own plan is the route's too is charged in both.
func newPlan(name string, p *config.Plan, revs map[string]int64, ofRoute bool) (*authz.Plan, error) {
	table := limiter.Plan{Name: name, PerMinute: p.PerMinute, Shadow: p.Shadow, WarnAt: p.WarnAt}
	if ofRoute {
		table.Name, table.Label = "route:"+name, name
	}
	if p.Burst != nil {
		table.Burst = limiter.Burst{Rate: p.Burst.Rate, Size: p.Burst.Size}
	}
	plan := &authz.Plan{Name: name, Lockout: p.Lockout, AllowUnavailable: p.OnUnavailable == "allow"}
	var err error
	if plan.Table, err = limiter.NewPlan(table); err != nil {
		return nil, err
	}
	limit := func(kind limiter.Kind, amount int64) authz.Limit {
		return authz.Limit{Amount: amount, Rev: revs[limitName(name, kind)]}
	}
	plan.PerDay = limit(limiter.KindPerDay, p.PerDay)
	plan.AuthPerDay = limit(limiter.KindAuthPerDay, p.AuthPerDay)
	plan.TotalRequests = limit(limiter.KindTotalRequests, p.TotalRequests)
	plan.PaidRequests = limit(limiter.KindPaidRequests, p.PaidRequests)
	return plan, nil
}

// limitName is under which name the store counts the revisions of a plan's limit.
func limitName(plan string, kind limiter.Kind) string { return plan + "." + kind.String() }

// ledgerLimits are the limits of all plans that a ledger keeps.
func ledgerLimits(c *config.Config) map[string]int64 {
	limits := map[string]int64{}
	for name, p := range c.Plans {
		for kind, amount := range map[limiter.Kind]int64{
			limiter.KindPerDay: p.PerDay, limiter.KindAuthPerDay: p.AuthPerDay,
			limiter.KindTotalRequests: p.TotalRequests, limiter.KindPaidRequests: p.PaidRequests,
		} {
			if amount > 0 {
				limits[limitName(name, kind)] = amount
			}
		}
	}
	return limits
}

func newAPI(c *config.API, routePlans map[string]*authz.Plan) *authz.API {
	api := &authz.API{
		Name: c.Name, Hosts: c.Hosts, SandboxHosts: c.SandboxHosts, Audience: c.Audience,
		Open: c.Auth == "none", KeysOnly: c.Auth == "api_key", ForwardToken: c.ForwardToken, Source: c.Source,
		AllowInPath: route.Allow{Semicolon: slices.Contains(c.AllowInPath, ";"), EncodedSlash: slices.Contains(c.AllowInPath, "%2f")},
	}
	if c.TakesAPIKeys() {
		api.Keys = authz.KeySource{Header: c.APIKey.Header, Query: c.APIKey.Query}
	}
	for _, r := range c.Routes {
		api.Routes = append(api.Routes, &authz.Route{
			Name: r.Name, Pattern: r.Match, Scopes: r.Scopes, AnyScope: r.AnyScope, Plan: routePlans[r.Plan], Price: r.Price, Source: r.Source,
		})
	}
	return api
}

// foreignTrust is an issuer of the configuration, with its keys.
func foreignTrust(c *config.Trust, keys tokens.KeySource) *tokens.Trust {
	return &tokens.Trust{
		Issuer: c.Issuer, Keys: keys, Audiences: c.Audiences, Algorithms: c.Algorithms, Types: c.Typ, Leeway: c.Leeway,
		ScopeClaim: c.ScopeClaim, ClientClaim: c.ClientClaim, Account: c.Account, Plan: c.Plan,
		Environment: tokens.Environment(c.Environment),
	}
}
