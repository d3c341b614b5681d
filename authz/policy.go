package authz

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tollgate-authz/tollgate/authz/route"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
)

// API is a group of routes under some hosts.
type API struct {
	Name         string
	Hosts        []string // host patterns, production
	SandboxHosts []string
	Audience     string    // accepted beside Policy.Audience; empty: none
	Open         bool      // auth: none; only the path step runs
	KeysOnly     bool      // bearer tokens are not accepted
	Keys         KeySource // where API keys are sent; zero: none are accepted
	ForwardToken bool      // the upstream sees the credential
	AllowInPath  route.Allow
	Routes       []*Route
	Source       string // where it is configured, file:line

	takes accepted // set by NewPolicy
}

// Route is one route of an API and what it asks for.
type Route struct {
	Name     string // optional, unique
	Pattern  string // of net/http.ServeMux, without host
	Scopes   []string
	AnyScope []string
	Plan     *Plan        // charged beside the client's plan, under a name of its own; nil: none
	Price    quota.Micros // of a request, in production
	Source   string       // where it is configured, file:line:column

	API *API // set by NewPolicy

	bill int // which of a payer's bills its requests are charged to; set by NewPolicy

	// wanted is what www-authenticate tells a caller whose scopes are missing.
	wanted string
}

// Label names the route in metrics, metadata and logs: its name, else its pattern.
func (r *Route) Label() string {
	if r.Name != "" {
		return r.Name
	}
	return r.Pattern
}

// PolicyConfig is what an operator decides about requests.
type PolicyConfig struct {
	APIs        []*API
	Plans       map[string]*Plan
	Audience    string         // tokens.audience
	DefaultZone *time.Location // in which days begin, of accounts without a zone of their own; nil: UTC
	TrustedHops int
	Enforce     bool // false: decide and report, but let everything pass
}

// Policy is a PolicyConfig made ready for requests. It does not change; a reload
// makes a new one.
type Policy struct {
	PolicyConfig
	table  *route.Table
	routes []hostRoute       // by the table's entry index
	hosts  []hostPolicy      // by the table's host index
	named  map[string]*Route // by Route.Name

	apiAudiences map[string]bool // that some API has as its own
	routePlans   []*Plan         // of routes, each once; the first is nil: none
	priced       bool            // some route has a price
	keyHeaders   []string        // in which some API takes keys
}

// hostRoute is one route under one host pattern.
type hostRoute struct {
	route       *Route
	environment tokens.Environment
}

// hostPolicy is what a host says of a request whose route is unknown.
type hostPolicy struct {
	pattern     string
	environment tokens.Environment
	audiences   []string // of its APIs, so that a missing route looks like a forbidden one
	hidesToken  bool     // one of its APIs does not forward the credential
	takes       accepted // what any of its APIs accepts
}

// NewPolicy compiles the configuration. The error joins every fault.
func NewPolicy(c PolicyConfig) (*Policy, error) {
	p := &Policy{PolicyConfig: c, named: map[string]*Route{}, apiAudiences: map[string]bool{}, routePlans: []*Plan{nil}}
	var hosts []string // also those of APIs without routes: the best host alone decides
	var entries []route.Entry
	var faults []error
	for _, api := range c.APIs {
		if api.Audience != "" {
			p.apiAudiences[api.Audience] = true
		}
		if name := api.Keys.Header; name != "" && !slices.Contains(p.keyHeaders, name) {
			p.keyHeaders = append(p.keyHeaders, name)
		}
		api.takes = newAccepted(api)
		for _, r := range api.Routes {
			r.API = api
			p.addPlan(r)
			r.wanted = strings.Join(append(slices.Clone(r.Scopes), r.AnyScope...), " ")
			if r.Name == "" {
				continue
			}
			if other := p.named[r.Name]; other != nil {
				faults = append(faults, fmt.Errorf("%s: the name %q is taken by the route at %s; names are unique", r.Source, r.Name, other.Source))
			}
			p.named[r.Name] = r
		}
		for _, env := range []tokens.Environment{tokens.Production, tokens.Sandbox} {
			for _, host := range api.hosts(env) {
				hosts = append(hosts, host)
				for _, r := range api.Routes {
					entries = append(entries, route.Entry{Host: host, Pattern: r.Pattern, Source: r.Source})
					p.routes = append(p.routes, hostRoute{r, env})
				}
			}
		}
	}
	table, err := route.New(hosts, entries)
	if err != nil {
		return nil, errors.Join(append(faults, err)...)
	}
	p.table = table
	faults = append(faults, p.describeHosts()...)
	return p, errors.Join(faults...)
}

// addPlan numbers the plans of routes.
func (p *Policy) addPlan(r *Route) {
	p.priced = p.priced || r.Price > 0
	if r.bill = slices.Index(p.routePlans, r.Plan); r.bill < 0 {
		r.bill = len(p.routePlans)
		p.routePlans = append(p.routePlans, r.Plan)
	}
}

// hidesToken reports whether the upstream must not see the credential. An open
// API does not read credentials: what is sent there is the upstream's affair.
func (a *API) hidesToken() bool { return !a.ForwardToken && !a.Open }

func (a *API) hosts(env tokens.Environment) []string {
	if env == tokens.Sandbox {
		return a.SandboxHosts
	}
	return a.Hosts
}

// describeHosts gathers what all APIs say of each host pattern.
func (p *Policy) describeHosts() (faults []error) {
	p.hosts = make([]hostPolicy, len(p.table.Hosts()))
	for i, pattern := range p.table.Hosts() {
		h := &p.hosts[i]
		h.pattern = pattern
		var owner *API
		for _, env := range []tokens.Environment{tokens.Production, tokens.Sandbox} {
			for _, api := range p.APIs {
				if !slices.ContainsFunc(api.hosts(env), func(s string) bool { return canonical(s) == pattern }) {
					continue
				}
				if h.environment != "" && h.environment != env {
					faults = append(faults, fmt.Errorf("%s: host %q is production (%s) and sandbox at once; one host has one environment", api.Source, pattern, owner.Source))
				}
				h.environment, owner = env, api
				h.hidesToken = h.hidesToken || api.hidesToken()
				h.takes.add(api)
				if api.Audience != "" {
					h.audiences = append(h.audiences, api.Audience)
				}
			}
		}
	}
	return faults
}

// canonical is the form in which the table lists a host that it accepted.
func canonical(host string) string {
	host, _ = route.CanonicalHost(host)
	return host
}

// match is what the route table says of a request.
type match struct {
	route       *Route             // nil: none
	host        *hostPolicy        // nil: no host pattern matches
	environment tokens.Environment // of the host; "" when it is unknown
}

func (p *Policy) match(r *Request) (m match) {
	found := p.table.Match(r.Method, r.Host, r.plainPath())
	if found.Host >= 0 {
		m.host = &p.hosts[found.Host]
		m.environment = m.host.environment
	}
	switch {
	case r.RouteName != "":
		m.route = p.named[r.RouteName]
	case found.Entry >= 0:
		m.route = p.routes[found.Entry].route
	}
	if r.Environment != "" {
		m.environment = tokens.Environment(r.Environment)
	}
	if m.environment == "" && m.route != nil { // a route named by Envoy, under a host that nobody configured
		m.environment = m.route.API.environment()
	}
	return m
}

// environment is the one that an API has apart from any host.
func (a *API) environment() tokens.Environment {
	if len(a.Hosts) > 0 {
		return tokens.Production
	}
	return tokens.Sandbox
}

// accepts reports whether a token's aud fits the request: tokens.audience, or
// the API's own. Where the route is missing, any API of the host will do. The
// audiences of a foreign issuer were judged when its token was verified; but the
// audience of one API opens no other.
func (p *Policy) accepts(t *tokens.Token, m *match) bool {
	for _, audience := range t.Audience {
		if t.Trust.Audiences != nil && !slices.Contains(t.Trust.Audiences, audience) {
			continue
		}
		if audience == p.Audience || m.hasAudience(audience) || t.Trust.Audiences != nil && !p.apiAudiences[audience] {
			return true
		}
	}
	return false
}

// hasAudience reports whether the audience is the API's own.
func (m *match) hasAudience(audience string) bool {
	switch {
	case m.route != nil:
		return m.route.API.Audience == audience
	case m.host != nil:
		return slices.Contains(m.host.audiences, audience)
	}
	return false
}

// hidesToken reports whether the upstream must not see the credential.
func (m *match) hidesToken() bool {
	if m.route != nil {
		return m.route.API.hidesToken()
	}
	return m.host != nil && m.host.hidesToken
}
