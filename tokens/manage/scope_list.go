package manage

import (
	"cmp"
	"context"
	"slices"
	"sort"

	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
)

// Route is one route of the configuration under one of its hosts.
type Route struct {
	API         string
	Name        string // its own, else its pattern
	Domain      string // host, or pattern of hosts
	Method      string // empty: every method
	Path        string // or pattern of paths
	Scopes      []string
	AnyScope    []string
	Plan        string // charged beside the client's; empty: none
	Price       quota.Micros
	Environment tokens.Environment
}

// anyMethod stands for the method in the name of a route that takes every one.
const anyMethod = "*"

// ScopeName is what a route without scopes can be asked for as: every token opens it, and
// this one says what it was made for.
func (r *Route) ScopeName() string {
	return cmp.Or(r.Method, anyMethod) + ":" + r.Domain + r.Path
}

func (r *Route) asksForNone() bool { return len(r.Scopes)+len(r.AnyScope) == 0 }

// isRouteName reports whether a scope is the name of a route that asks for none.
func (a *api) isRouteName(scope string) bool {
	routes := a.Settings().Routes
	for i := range routes {
		if r := &routes[i]; r.asksForNone() && r.ScopeName() == scope {
			return true
		}
	}
	return false
}

// Scope is a scope that can be asked for, at one endpoint where it counts (row O3).
type Scope struct {
	Name         string       `json:"name" doc:"What a token is given." example:"contacts:read"`
	Domain       string       `json:"domain" example:"api.example.com"`
	Endpoint     endpoint     `json:"endpoint"`
	API          string       `json:"api" doc:"Name of the API that the endpoint is of."`
	Route        string       `json:"route" doc:"Name of the route."`
	Requirements requirements `json:"requirements"`
}

type endpoint struct {
	Method string `json:"method" doc:"* is every method." example:"GET"`
	Path   string `json:"path" example:"/v1/contacts/{id}"`
}

// requirements are what else an endpoint asks for.
type requirements struct {
	Scopes      []string     `json:"scopes,omitempty" doc:"Scopes that are all needed beside it."`
	AnyOf       []string     `json:"any_of,omitempty" doc:"Scopes of which one is needed."`
	Plan        string       `json:"plan,omitempty" doc:"Plan that is charged beside the client's."`
	Price       quota.Micros `json:"price" doc:"What a request costs the wallet." example:"0.02"`
	Currency    string       `json:"currency" example:"EUR"`
	Environment string       `json:"environment" enum:"production,sandbox"`
}

type listScopesInput struct {
	Listing
	Account string `query:"account" maxLength:"128" doc:"Only what that account may have. Left out: the caller's, or everything for those who see all accounts."`
}

func (a *api) listScopes(_ context.Context, by *caller, in *listScopesInput) (*page[Scope], error) {
	account, err := by.reach(in.Account)
	if err != nil {
		return nil, err
	}
	all := a.scopesOf(account)
	from := sort.Search(len(all), func(i int) bool { return all[i].key() > in.after.ID })
	rest := all[from:min(len(all), from+in.Limit+1)]
	return newPage(rest, &in.Listing, func(s Scope) Scope { return s }, func(s Scope) tokens.Position { return tokens.Position{ID: s.key()} }), nil
}

// key orders scopes: by what people look for.
func (s *Scope) key() string {
	return s.Domain + "\x00" + s.Endpoint.Path + "\x00" + s.Endpoint.Method + "\x00" + s.Name
}

// scopesOf are the scopes that an account may have: those that one of its clients has,
// and those that need none. "" is every account.
func (a *api) scopesOf(account string) (list []Scope) {
	s := a.Settings()
	has := a.Registry.ScopesOf(account)
	for i := range s.Routes {
		r := &s.Routes[i]
		names := slices.Concat(r.Scopes, r.AnyScope)
		if r.asksForNone() {
			names = []string{r.ScopeName()}
		}
		for _, name := range names {
			if account != "" && !r.asksForNone() && !has[name] {
				continue
			}
			list = append(list, Scope{
				Name: name, Domain: r.Domain, Endpoint: endpoint{cmp.Or(r.Method, anyMethod), r.Path}, API: r.API, Route: r.Name,
				Requirements: requirements{without(r.Scopes, name), r.AnyScope, r.Plan, r.Price, s.Currency, string(r.Environment)},
			})
		}
	}
	slices.SortFunc(list, func(a, b Scope) int { return cmp.Compare(a.key(), b.key()) })
	return slices.CompactFunc(list, func(a, b Scope) bool { return a.key() == b.key() })
}

func without(list []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == name })
}
