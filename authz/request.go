package authz

import (
	"net/netip"
	"strings"

	"github.com/tollgate-authz/tollgate/tokens"
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

	// APIKeys are the headers that Gate.KeyHeaders names, every one that was sent.
	APIKeys []Header

	ForwardedFor string     // x-forwarded-for, counted only with trusted hops
	Peer         netip.Addr // Envoy's source.address; zero when it is no IP address
	RequestID    string     // x-request-id, for the log
	GRPC         bool       // the caller speaks gRPC and reads grpc-status

	// What Envoy's own configuration says of the route (context_extensions).
	// It comes from the operator, not from the caller.
	RouteName   string // tollgate.route
	Scopes      string // tollgate.scopes, separated by spaces; empty: the table's
	Environment string // tollgate.environment
}

// Header is one header of a request.
type Header struct {
	Name  string // lower case
	Value string
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

// source returns the caller's address; hops proxies in front of Envoy are believed.
func (r *Request) source(hops int) netip.Addr {
	return tokens.ForwardedSource(r.Peer, r.ForwardedFor, hops)
}
