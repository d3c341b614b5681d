package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tollgate-authz/tollgate/authz"
	"github.com/tollgate-authz/tollgate/authz/route"
	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/tokens"
)

// loadConfig reads the configuration file; its faults are one error, a line each.
func (a *app) loadConfig() (*config.Config, *authz.Policy, error) {
	c, faults := config.Load(a.configFile, a.getenv)
	if len(faults) > 0 {
		return nil, nil, faults
	}
	p, err := newPolicy(c)
	if err != nil {
		return nil, nil, err
	}
	return c, p, nil
}

// awaitConfig is loadConfig for a process that may be told to stop meanwhile: a file
// can be a pipe that nobody writes to.
func (a *app) awaitConfig(ctx context.Context) (*config.Config, *authz.Policy, error) {
	type loaded struct {
		c   *config.Config
		p   *authz.Policy
		err error
	}
	done := make(chan loaded, 1)
	go func() {
		c, p, err := a.loadConfig()
		done <- loaded{c, p, err}
	}()
	select {
	case l := <-done:
		return l.c, l.p, l.err
	case <-ctx.Done():
		return nil, nil, fmt.Errorf("stopped while reading %s: %w", a.configFile, context.Cause(ctx))
	}
}

// newPolicy turns the configuration into what the gate goes by. Its error names
// what the file reader cannot see: routes and hosts that contradict each other.
func newPolicy(c *config.Config) (*authz.Policy, error) {
	plans := make(map[string]*limiter.Plan, len(c.Plans))
	var faults []error
	for name, p := range c.Plans {
		var burst limiter.Burst
		if p.Burst != nil {
			burst = limiter.Burst{Rate: p.Burst.Rate, Size: p.Burst.Size}
		}
		plan, err := limiter.NewPlan(limiter.Plan{Name: name, Burst: burst, PerMinute: p.PerMinute, Shadow: p.Shadow})
		if err != nil {
			faults = append(faults, fmt.Errorf("plans.%s: %w", name, err))
		}
		plans[name] = plan
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	policy := authz.PolicyConfig{
		Plans: plans, Audience: c.Tokens.Audience, TrustedHops: c.ClientIP.TrustedHops, Enforce: c.Enforce,
	}
	routePlans, err := newRoutePlans(plans)
	if err != nil {
		return nil, err
	}
	for i := range c.APIs {
		policy.APIs = append(policy.APIs, newAPI(&c.APIs[i], routePlans))
	}
	return authz.NewPolicy(policy)
}

// newRoutePlans makes the plans that routes charge in addition. Counters belong to
// a plan's name; these have another, so that a client whose own plan is the
// route's too is charged in both.
func newRoutePlans(plans map[string]*limiter.Plan) (map[string]*limiter.Plan, error) {
	ofRoutes := make(map[string]*limiter.Plan, len(plans))
	for name, p := range plans {
		plan, err := limiter.NewPlan(limiter.Plan{Name: "route:" + name, Burst: p.Burst, PerMinute: p.PerMinute, Shadow: p.Shadow})
		if err != nil {
			return nil, err
		}
		ofRoutes[name] = plan
	}
	return ofRoutes, nil
}

func newAPI(c *config.API, routePlans map[string]*limiter.Plan) *authz.API {
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
			Name: r.Name, Pattern: r.Match, Scopes: r.Scopes, AnyScope: r.AnyScope, Plan: routePlans[r.Plan], PlanName: r.Plan, Source: r.Source,
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
