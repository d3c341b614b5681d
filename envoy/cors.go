package envoy

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const corsFilterName = "envoy.filters.http.cors"

// preflightAge is how long a browser keeps the answer to a preflight: Chromium's
// upper bound.
const preflightAge = 2 * time.Hour

// exposedHeaders are those of tollgate's answers that a page may read.
var exposedHeaders = []string{
	"RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate",
	"x-tollgate-code", "x-tollgate-decision", "x-tollgate-warning",
}

func parseCORS(entries []CORS) ([]CORS, error) {
	var faults faults
	var out []CORS
	owner := map[string]bool{}
	for _, entry := range entries {
		if len(entry.Hosts) == 0 {
			faults.addf("CORS %q: for which hosts? * is any", entry.AllowOrigins)
		}
		hosts := make([]string, 0, len(entry.Hosts))
		for _, host := range entry.Hosts {
			h := strings.ToLower(host)
			switch {
			case !isHostPattern(h):
				faults.addf("CORS host %q: want a name without port, *.suffix or *", host)
			case owner[h]:
				faults.addf("CORS host %q: stands twice: name each host once", host)
			}
			owner[h] = true
			hosts = append(hosts, h)
		}
		for _, origin := range entry.AllowOrigins {
			if why := originFault(origin); why != "" {
				faults.addf("CORS origin %q: %s", origin, why)
			}
		}
		headers := make([]string, 0, len(entry.AllowHeaders))
		for _, name := range entry.AllowHeaders {
			h := strings.ToLower(name)
			if !headerName.MatchString(h) {
				faults.addf("CORS header %q: is not a header name that this front lets pass: letters, digits and - are", name)
			}
			headers = append(headers, h)
		}
		out = append(out, CORS{Hosts: hosts, AllowOrigins: entry.AllowOrigins, AllowHeaders: headers})
	}
	return out, faults.join()
}

func isHostPattern(host string) bool {
	return host == "*" || !strings.HasSuffix(host, ".") && isPlainHost(strings.TrimPrefix(host, "*."))
}

var ipv6Host = regexp.MustCompile(`^\[[0-9a-f:.]+\]$`)

func isPlainHost(host string) bool {
	return isHostName(host) || ipv4Host.MatchString(host) || ipv6Host.MatchString(host)
}

var ipv4Host = regexp.MustCompile(`^\d{1,3}(\.\d{1,3}){3}$`)

// originFault compares with how a browser writes an origin (RFC 6454 §6.2): a
// policy spelled otherwise would never match, and nobody would know why.
func originFault(origin string) string {
	if origin == "*" {
		return ""
	}
	u, err := url.Parse(origin)
	switch {
	case err != nil || u.Scheme == "" || u.Host == "":
		return "want scheme and host like https://app.example.com, or *"
	case strings.Contains(origin, "*"):
		return "patterns are not supported: list the origins, or * for any"
	case u.Scheme+"://"+u.Host != origin || origin != strings.ToLower(origin):
		return "an origin has no path, no user and no capital letters: " + strings.ToLower(u.Scheme+"://"+u.Host)
	case u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80":
		return "browsers leave the default port out: " + u.Scheme + "://" + u.Hostname()
	}
	return ""
}

// corsFilter stands before ext_authz: a preflight carries no credentials, so it
// has to be answered without a check, and the headers it adds to the answers
// have to be on refusals too, else a page cannot tell a 401 from a network fault.
func corsFilter() (*hcmv3.HttpFilter, error) {
	return httpFilter(corsFilterName, &corsv3.Cors{})
}

func (p parsed) corsPolicy(entry CORS) *corsv3.CorsPolicy {
	policy := &corsv3.CorsPolicy{
		AllowMethods:  "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
		AllowHeaders:  strings.Join(slices.Concat([]string{"authorization", "content-type"}, p.APIKeyHeaders, entry.AllowHeaders), ", "),
		ExposeHeaders: strings.Join(exposedHeaders, ", "),
		MaxAge:        seconds(preflightAge),
		// Cookies are not how callers identify themselves here, and any
		// origin with credentials would be an open door.
		AllowCredentials: wrapperspb.Bool(false),
	}
	for _, origin := range entry.AllowOrigins {
		policy.AllowOriginStringMatch = append(policy.AllowOriginStringMatch, exactly(origin))
	}
	return policy
}

func exactly(s string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: s}}
}
