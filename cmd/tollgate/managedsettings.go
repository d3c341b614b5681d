package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
	"github.com/tollgate-authz/tollgate/tokens"
	"github.com/tollgate-authz/tollgate/tokens/endpoint"
	"github.com/tollgate-authz/tollgate/tokens/manage"
)

// newManaged is what the management API goes by.
func newManaged(c *config.Config, s *endpoint.Settings, issuer string) *manage.Settings {
	return &manage.Settings{
		Issuance: tokens.Issuance{Audience: s.Audience, AccessTTL: s.AccessTTL, RefreshTTL: s.RefreshTTL, RefreshMaxTTL: s.RefreshMaxTTL, Format: s.Format},
		Issuer:   issuer, GenerationsPerMinute: s.GenerationsPerMinute, TrustedHops: s.TrustedHops, Currency: c.Accounts.Currency,
		Plans: managedPlans(c), KeyAPIs: keyAPIs(c), Routes: managedRoutes(c),
	}
}

// managedPlans are the plans of a configuration.
func managedPlans(c *config.Config) (list []manage.Plan) {
	for _, name := range slices.Sorted(maps.Keys(c.Plans)) {
		p := c.Plans[name]
		plan := manage.Plan{
			Name: name, PerMinute: p.PerMinute, PerDay: p.PerDay, AuthPerDay: p.AuthPerDay, TotalRequests: p.TotalRequests,
			PaidRequests: p.PaidRequests, Lockout: int64(p.Lockout / time.Second), WarnAt: p.WarnAt, Shadow: p.Shadow,
		}
		if p.Burst != nil {
			plan.Burst = &manage.Burst{Rate: p.Burst.Rate, Size: p.Burst.Size}
		}
		list = append(list, plan)
	}
	return list
}

// managedRoutes are the routes of a configuration, each under each of its hosts.
func managedRoutes(c *config.Config) (list []manage.Route) {
	for i := range c.APIs {
		api := &c.APIs[i]
		if api.Auth == "none" {
			continue
		}
		for environment, hosts := range map[tokens.Environment][]string{tokens.Production: api.Hosts, tokens.Sandbox: api.SandboxHosts} {
			for _, host := range hosts {
				for _, r := range api.Routes {
					method, path, ok := strings.Cut(r.Match, " ")
					if !ok {
						method, path = "", r.Match
					}
					price := r.Price
					if environment == tokens.Sandbox {
						price = 0 // row O7
					}
					list = append(list, manage.Route{
						API: api.Name, Name: cmp.Or(r.Name, r.Match), Domain: host, Method: method, Path: strings.TrimSpace(path),
						Scopes: r.Scopes, AnyScope: r.AnyScope, Plan: r.Plan, Price: price, Environment: environment,
					})
				}
			}
		}
	}
	return list
}
