package endpoint

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/tollgate-authz/tollgate/tokens"
)

// source returns the address that a request came from, believing as many proxies
// in front of this endpoint as client_ip.http_trusted_hops says. It is the zero
// address where there is none to be had, such as over a Unix socket.
func source(r *http.Request, hops int) netip.Addr {
	var peer netip.Addr
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		peer = ap.Addr()
	}
	// Several lines of a header are one list (RFC 9110 section 5.3).
	forwarded := strings.Join(r.Header["X-Forwarded-For"], ",")
	return tokens.ForwardedSource(peer, forwarded, hops)
}
