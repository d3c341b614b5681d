// Package envoy owns what tollgate knows about running an Envoy: the hardened
// configuration in front of one upstream, the ext_authz filter on its own for
// an Envoy that somebody else configures, and finding, checking, starting and
// stopping an Envoy binary.
//
// It does not decide about requests and does not read tollgate's own
// configuration file: a Front says everything it needs. What the Check service
// answers belongs to authz/extauthz.
package envoy

// DefaultAdmin is where Envoy's admin interface listens when Front.Admin is
// empty.
const DefaultAdmin = "127.0.0.1:9901"

// DefaultNode names an Envoy whose Front does not.
const DefaultNode = "tollgate-front"

// Front describes an Envoy listener in front of one upstream, asking tollgate
// about every request.
type Front struct {
	// Node is Envoy's node.id and node.cluster; empty: DefaultNode.
	Node string

	// Listen is the IP:port that callers reach. Port 0 lets the kernel choose:
	// Process.ListenerAddr tells which.
	Listen string

	// Admin is Envoy's admin interface; empty: DefaultAdmin. It must be a
	// loopback address, since whoever reaches it may stop Envoy and read its
	// configuration. Port 0 is allowed.
	Admin string

	// Upstream is the host:port of the service that is protected.
	Upstream string

	// UpstreamHTTP2 speaks HTTP/2 without TLS to the upstream, which gRPC
	// services need.
	UpstreamHTTP2 bool

	// Check is tollgate's Check service: host:port, or unix:/absolute/path.
	Check string

	// CheckTLS is set when the Check service has a certificate (check_tls).
	CheckTLS *TLS

	// TokenEndpoint is the host:port of tollgate's listen.http. When set,
	// /auth/token, /oauth2/*, /.well-known/oauth-authorization-server and
	// /.well-known/jwks.json go there without a check: whoever asks for a token
	// has none yet. Empty: they are paths of the upstream like any other.
	TokenEndpoint string

	// TokenEndpointTLS is set when listen.http has a certificate (http_tls).
	TokenEndpointTLS *TLS

	// TrustedHops counts the proxies in front of Envoy whose entries in
	// x-forwarded-for are believed; tollgate's client_ip.trusted_hops is the
	// same number.
	TrustedHops uint32

	// APIKeyHeaders are the headers that an API key may come in. tollgate must
	// be able to read them, and to remove them before the upstream sees them.
	APIKeyHeaders []string

	// CORS has an entry for each group of hosts that browsers may call from
	// other origins.
	CORS []CORS

	// KeepEscapedSlashes passes %2f and %5c in paths on to tollgate, which
	// refuses them except where an API has allow_in_path: ["%2f"]. Otherwise
	// Envoy answers 400 itself.
	KeepEscapedSlashes bool
}

// CORS says which origins' pages may call some hosts.
type CORS struct {
	// Hosts are matched as Envoy's virtual hosts are: exact, then the longest
	// *.suffix, then *.
	Hosts []string

	// AllowOrigins are exact origins like https://app.example.com, or * for
	// any. None at all exempts a host from the policy of a wider pattern.
	AllowOrigins []string

	// AllowHeaders are request headers that a page may send beside
	// authorization, content-type and the API key headers.
	AllowHeaders []string
}

// TLS is how Envoy verifies, and shows itself to, a listener of tollgate that
// has a certificate. All files are read by Envoy, on Envoy's machine.
type TLS struct {
	CA   string // file with the authorities that may have issued the certificate
	Name string // name or address that the certificate must hold; empty: the host that is dialled
	Cert string // Envoy's own certificate, where tollgate asks for one (client_ca)
	Key  string // its private key
}

// identityHeaders are what tollgate tells the upstream about a caller, each
// set or removed by every allowed request.
var identityHeaders = []string{
	"x-tollgate-client",
	"x-tollgate-account",
	"x-tollgate-scopes",
	"x-tollgate-token-id",
	"x-tollgate-environment",
	"x-tollgate-issuer",
	"x-tollgate-subject",
}
