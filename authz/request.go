package authz

import (
	"net/netip"
	"strings"
)

// Request is what the gate judges: the parts of a CheckRequest that matter. Its
// strings may share the memory of the message they were read from and are valid
// only while Check runs; whatever is kept must be copied.
type Request struct {
	Method string
	Host   string // as Envoy gives it: case, port and trailing dot as sent
	Path   string // :path, with the query

	Authorization  string
	Authorizations int // how many there were; more than one refuses the request

	ForwardedFor string     // x-forwarded-for, counted only with trusted hops
	Peer         netip.Addr // Envoy's source.address; zero when it is no IP address
	RequestID    string     // x-request-id, for the log
	GRPC         bool       // the caller speaks gRPC and reads grpc-status

	// What Envoy's own configuration says of the route (context_extensions).
	// It comes from the operator, not from the caller.
	RouteName   string // tollgate.route
	Scopes      string // tollgate.scopes, separated by spaces; HasScopes tells it from none
	HasScopes   bool
	Environment string // tollgate.environment
}

// plainPath is the path without its query.
func (r *Request) plainPath() string {
	path, _, _ := strings.Cut(r.Path, "?")
	return path
}

// bearer returns the token of a Bearer credential (RFC 6750 section 2.1). Another
// scheme counts as no token. sent reports whether a token was sent at all.
func (r *Request) bearer() (token string, sent bool) {
	const scheme = "Bearer"
	a := r.Authorization
	if len(a) <= len(scheme) || a[len(scheme)] != ' ' || !strings.EqualFold(a[:len(scheme)], scheme) {
		return "", false
	}
	return strings.TrimLeft(a[len(scheme):], " "), true
}

// source returns the caller's address. With hops > 0 the proxies in front of
// Envoy are believed: x-forwarded-for, without a last entry that is the peer
// itself (Envoy appends it), then the hops-th from the right. Entries further
// left were written by the caller and are not read.
//
// An entry that is no address gives the zero address, which no list trusts.
func (r *Request) source(hops int) netip.Addr {
	peer := r.Peer.Unmap()
	if hops == 0 || r.ForwardedFor == "" {
		return peer
	}
	rest := r.ForwardedFor
	first := true
	for n := hops; ; {
		var entry string
		i := strings.LastIndexByte(rest, ',')
		entry, more := rest[i+1:], i >= 0
		if more {
			rest = rest[:i]
		}
		addr := parseForwarded(strings.TrimSpace(entry))
		appended := first && addr.IsValid() && addr == peer
		first = false
		if !appended {
			if n--; n == 0 {
				return addr
			}
		}
		if !more {
			return peer // too few entries
		}
	}
}

// parseForwarded reads one entry: an address, perhaps with a port as some
// proxies write it.
func parseForwarded(s string) netip.Addr {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Unmap()
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap()
	}
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		if addr, err := netip.ParseAddr(s[1 : len(s)-1]); err == nil {
			return addr.Unmap()
		}
	}
	return netip.Addr{}
}
