package tokens

import (
	"net/http"
	"net/netip"
	"strings"
)

// ForwardedSource returns the address that a request came from (contract
// section 3). peer is whoever opened the connection. With hops > 0 the proxies in
// front are believed: forwardedFor, the value of x-forwarded-for, without a last
// entry that is the peer itself (Envoy appends it), then the hops-th from the
// right. Entries further left were written by the caller and are not read. With
// too few entries it is the peer.
//
// An entry that is no address gives the zero address, which no list trusts.
func ForwardedSource(peer netip.Addr, forwardedFor string, hops int) netip.Addr {
	peer = plain(peer)
	if hops == 0 || forwardedFor == "" {
		return peer
	}
	rest := forwardedFor
	first := true
	for n := hops; ; {
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

// plain is an address as it is compared: IPv4-mapped IPv6 is IPv4, and a zone,
// which is free text, is dropped before it reaches a log.
func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// parseForwarded reads one entry: an address, perhaps with a port as some
// proxies write it.
func parseForwarded(s string) netip.Addr {
	if addr, err := netip.ParseAddr(s); err == nil {
		return plain(addr)
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return plain(ap.Addr())
	}
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		if addr, err := netip.ParseAddr(s[1 : len(s)-1]); err == nil {
			return plain(addr)
		}
	}
	return netip.Addr{}
}

// RequestSource returns the address that a request came from, believing as many proxies
// in front of the HTTP service as client_ip.http_trusted_hops says. It is the zero
// address where there is none to be had, such as over a Unix socket.
func RequestSource(r *http.Request, hops int) netip.Addr {
	var peer netip.Addr
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		peer = ap.Addr()
	}
	// Several lines of a header are one list (RFC 9110 section 5.3).
	forwarded := strings.Join(r.Header["X-Forwarded-For"], ",")
	return ForwardedSource(peer, forwarded, hops)
}
