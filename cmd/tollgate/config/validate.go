package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tollgate-authz/tollgate/authz/route"
	"github.com/tollgate-authz/tollgate/tokens"
)

// validate looks at what one value cannot tell: rules between values. Its
// reasons name other values by their place and never quote one that a variable
// was filled into.
func (r *reader) validate(c *Config) {
	r.listeners(&c.Listen)
	r.certificates(c)
	if c.Tokens.AccessTTL%time.Second != 0 {
		r.fault("tokens.access_ttl", "the lifetime has a part of a second, which expires_in cannot say; write whole seconds")
	}
	if r.files && c.Keys.SigningKey != "" && r.wrote("keys.signing_key") {
		if _, err := c.ReadSigningKey(time.Time{}); err != nil {
			r.fault("keys.signing_key", "%s", strings.TrimPrefix(err.Error(), "keys.signing_key: "))
		}
	}
	r.statistics(&c.Stats)
	r.trusted(c)
	for _, name := range slices.Sorted(maps.Keys(c.Plans)) {
		if p := c.Plans[name]; p != nil {
			r.limits(c, p, join("plans", name))
		}
	}
	r.apis(c)
	r.environments(c.APIs)
	r.conflicts(c.APIs)
}

// statistics asks that coarser rows are kept for as long as finer ones: what is asked for
// is looked up in the finest first.
func (r *reader) statistics(s *Stats) {
	if s.KeepHours < s.KeepMinutes {
		r.fault("stats.keep_hours", "hours are kept for less than minutes are; write at least what keep_minutes is")
	}
	if s.KeepDays < s.KeepHours {
		r.fault("stats.keep_days", "days are kept for less than hours are; write at least what keep_hours is")
	}
}

// conflicts finds routes that no rule tells apart. The table that serves them is
// the judge.
func (r *reader) conflicts(apis []API) {
	var entries []route.Entry
	var paths []string
	for i := range apis {
		hosts := slices.Clone(apis[i].Hosts)
		for _, host := range apis[i].SandboxHosts {
			if !slices.Contains(hosts, host) { // one of both environments has its fault already
				hosts = append(hosts, host)
			}
		}
		for _, host := range hosts {
			for j := range apis[i].Routes {
				path := index(index("apis", i)+".routes", j) + ".match"
				entries = append(entries, route.Entry{Host: host, Pattern: apis[i].Routes[j].Match, Source: r.file + ":" + r.at(path).String()})
				paths = append(paths, path)
			}
		}
	}
	_, err := route.New(nil, entries)
	joined, _ := err.(interface{ Unwrap() []error })
	if joined == nil {
		return
	}
	said := map[[2]string]bool{} // two routes share several hosts, and conflict once
	for _, err := range joined.Unwrap() {
		var fault *route.EntryError
		if !errors.As(err, &fault) || fault.Other < 0 {
			continue // a host or pattern that its own place has reported
		}
		pair := [2]string{paths[fault.Index], paths[fault.Other]}
		if r.places[pair[0]].names == nil && r.places[pair[1]].names == nil && !said[pair] {
			r.fault(pair[0], "%v", fault.Err)
		}
		said[pair] = true
	}
}

// quote shows a value, or the variable that stands for it.
func (r *reader) quote(path, text string) string {
	if names := r.places[path].names; names != nil {
		return strings.Join(names, " and ")
	}
	return show(text)
}

func (r *reader) listeners(l *Listen) {
	all := []struct{ path, address string }{
		{"listen.check", l.Check}, {"listen.http", l.HTTP}, {"listen.ops", l.Ops},
	}
	for i, a := range all {
		for _, b := range all[:i] {
			if !collide(a.address, b.address) {
				continue
			}
			at, other := a.path, b.path
			if !r.wrote(at) {
				at, other = other, at
			}
			r.fault(at, "%s takes this address as well; give each its own port", other)
		}
	}
	host, _, ok := splitAddress(l.HTTP)
	if ok && !tokens.IsLoopback(host) && !l.Insecure && !r.wrote("listen.http_tls") {
		r.fault("listen.http", "plain HTTP on an address that others can reach: secrets and tokens would cross the network in the clear; listen on 127.0.0.1, name a certificate in http_tls, or write insecure: true if something in front of it speaks TLS")
	}
	if l.CheckTLS != nil && strings.HasPrefix(l.Check, "unix:") {
		r.fault("listen.check_tls", "listen.check is a socket, which crosses no network and has no name that a certificate could hold; leave check_tls out and let the mode of the socket's folder say who may connect, or listen on host:port")
	}
}

// collide reports whether two listeners cannot both have their address.
func collide(a, b string) bool {
	hostA, portA, okA := splitAddress(a)
	hostB, portB, okB := splitAddress(b)
	if !okA || !okB {
		return false // a socket, or broken
	}
	if strings.EqualFold(hostA, "localhost") {
		hostA = "127.0.0.1"
	}
	if strings.EqualFold(hostB, "localhost") {
		hostB = "127.0.0.1"
	}
	return portA == portB && portA != "0" && (hostA == hostB || isEvery(hostA) || isEvery(hostB))
}

func (r *reader) trusted(c *Config) {
	first, asked := map[string]int{}, 0
	for i := range c.Trust {
		t, path := &c.Trust[i], index("trust", i)
		asks := r.wrote(path + ".introspection")
		if asks {
			asked++
		}
		if asks && asked > tokens.MaxIntrospectors {
			r.fault(path+".introspection", "an opaque token would be asked about at more than %d issuers, which cannot all answer while Envoy waits; leave introspection out where the tokens are JWTs", tokens.MaxIntrospectors)
		}
		switch j, twice := first[t.Issuer]; {
		case t.Issuer == "":
		case t.Issuer == c.Issuer:
			r.fault(path+".issuer", "this is tollgate's own issuer, whose tokens are accepted anyway; leave the entry out, or change issuer")
		case twice:
			r.fault(path+".issuer", "this issuer is trusted already, at %s; write one entry for it", r.at(index("trust", j)+".issuer"))
		default:
			first[t.Issuer] = i
		}
		hasURI, hasFile := r.wrote(path+".jwks_uri"), r.wrote(path+".jwks_file")
		switch {
		case hasURI && hasFile:
			r.fault(path+".jwks_file", "jwks_uri says already where the keys are; leave one of them out")
		case !hasURI && !hasFile && !asks && (tokens.CheckFetchURL(t.Issuer) != nil || strings.Contains(t.Issuer, "?")):
			r.fault(path+".issuer", "without jwks_uri and jwks_file the keys are looked for below the issuer, which must then be a URL with https (http only for this machine); write where the keys are")
		case hasFile && r.files && t.JWKSFile != "":
			if _, err := readKeys(t.JWKSFile); err != nil {
				r.fault(path+".jwks_file", "%v; write a file with a JSON Web Key Set", err)
			}
		}
		r.plan(c, path+".plan", t.Plan)
	}
}

// plan asks that a plan exists.
func (r *reader) plan(c *Config, path, name string) {
	if _, exists := c.Plans[name]; exists || name == "" || r.places["plans"].broken {
		return
	}
	names := slices.Sorted(maps.Keys(c.Plans))
	reason := fmt.Sprintf("there is no plan %s; the plans are %s", r.quote(path, name), strings.Join(names, ", "))
	if guess := nearest(name, names); guess != "" && r.places[path].names == nil {
		reason += fmt.Sprintf("; did you mean %q?", guess)
	}
	r.fault(path, "%s", reason)
}

// maxRefill is the longest that a bucket may take from empty to full.
const maxRefill = 366 * 24 * time.Hour

// limits looks at the keys of a plan that say something of another. Without that one
// they do nothing, and their author believes that they do.
func (r *reader) limits(c *Config, p *Plan, path string) {
	if p.Burst != nil {
		r.refill(p.Burst, path+".burst")
	}
	if p.Lockout%time.Second != 0 {
		r.fault(path+".lockout", "the time has a part of a second, which retry-after cannot say; write whole seconds")
	}
	if p.Lockout > 0 && !r.wrote(path+".per_minute") {
		r.fault(path+".lockout", "a lockout begins when per_minute is exceeded, and the plan has none; write per_minute, or leave lockout out")
	}
	if p.OnUnavailable == "allow" && !r.wrote(path+".per_day") {
		r.fault(path+".on_unavailable", "it is about per_day, which the plan does not have; write per_day, or leave on_unavailable out")
	}
	if p.AuthPerDay > 0 && p.PerDay == 0 {
		c.warn(path + ".auth_per_day: token requests are not limited, because the plan has no per_day beside which they would count")
	}
	// No fault: the limits that tokens have of their own are warned of as well.
	if p.WarnAt > 0 && p.Burst == nil && p.PerMinute+p.PerDay+p.AuthPerDay+p.TotalRequests+p.PaidRequests == 0 {
		c.warn(path + ".warn_at: the plan has no limit to warn of")
	}
}

func (r *reader) refill(b *Burst, path string) {
	if b.Rate > 0 && float64(b.Size)/b.Rate > maxRefill.Seconds() {
		r.fault(path+".size", "a bucket of this size needs more than a year to fill at this rate; write a smaller size or a higher rate")
	}
}

func (r *reader) apis(c *Config) {
	apis, routes := map[string]string{}, map[string]string{}
	for i := range c.APIs {
		a, path := &c.APIs[i], index("apis", i)
		r.name(apis, a.Name, path+".name", "an API")
		if len(a.Hosts)+len(a.SandboxHosts) == 0 && !r.places[path+".sandbox_hosts"].broken {
			r.fault(path+".hosts", "the API has no host; write at least one in hosts or sandbox_hosts")
		}
		if k := path + ".api_key"; a.APIKey != nil && *a.APIKey == (APIKey{}) && !r.places[k+".header"].broken && !r.places[k+".query"].broken {
			r.fault(k, "it names no place; write header: x-api-key, or query: api_key, or both")
		}
		for j := range a.Routes {
			r.route(c, a, &a.Routes[j], index(path+".routes", j))
			r.name(routes, a.Routes[j].Name, index(path+".routes", j)+".name", "a route")
		}
	}
}

// name asks that a name is unique. taken holds the paths of those before it.
func (r *reader) name(taken map[string]string, name, path, what string) {
	if name == "" {
		return
	}
	if other, twice := taken[name]; twice {
		r.fault(path, "%s has this name already, at %s; names are unique", what, r.at(other))
		return
	}
	taken[name] = path
}

func (r *reader) route(c *Config, a *API, rt *Route, path string) {
	r.plan(c, path+".plan", rt.Plan)
	escapes := strings.ToLower(rt.Match)
	semicolon := strings.Contains(escapes, ";") || strings.Contains(escapes, "%3b")
	if semicolon && !slices.Contains(a.AllowInPath, ";") {
		r.fault(path+".match", `no request can match: paths with a semicolon are refused before routes are looked up; add ";" to the API's allow_in_path`)
	}
	if strings.Contains(escapes, "%2f") && !slices.Contains(a.AllowInPath, "%2f") {
		r.fault(path+".match", `no request can match: paths with %%2f are refused before routes are looked up; add "%%2f" to the API's allow_in_path`)
	}
	if a.Auth != "none" {
		return
	}
	// Silence would leave the author believing that the route is protected.
	for _, key := range []string{"scopes", "any_scope", "plan", "price"} {
		if r.wrote(path + "." + key) {
			r.fault(path+"."+key, "the API has auth: none, so that nobody is asked for it; leave the key out, or write auth: oauth2")
		}
	}
}

// environments refuses a host that is production and sandbox at once: which
// tokens it takes would be a matter of order.
func (r *reader) environments(apis []API) {
	type use struct{ environment, path string }
	first := map[string]use{}
	for i := range apis {
		for _, list := range []struct {
			environment, path string
			hosts             []string
		}{
			{"production", index("apis", i) + ".hosts", apis[i].Hosts},
			{"sandbox", index("apis", i) + ".sandbox_hosts", apis[i].SandboxHosts},
		} {
			for j, host := range list.hosts {
				other, found := first[host]
				switch {
				case host == "":
				case !found:
					first[host] = use{list.environment, index(list.path, j)}
				case other.environment != list.environment:
					r.fault(index(list.path, j), "this host is of %s here and of %s at %s; a host has one environment", list.environment, other.environment, r.at(other.path))
				}
			}
		}
	}
}
