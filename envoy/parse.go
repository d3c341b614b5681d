package envoy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// parsed is a Front that holds no mistakes: its defaults are filled in, its
// names are in lower case and its addresses are split.
type parsed struct {
	Front
	listen, admin          netip.AddrPort
	upstream, check, token target
}

// target is what a cluster connects to.
type target struct {
	host string // IP address or DNS name; empty for a socket in the file system
	port uint32
	pipe string
}

func (t target) isDNS() bool {
	_, err := netip.ParseAddr(t.host)
	return t.pipe == "" && err != nil
}

// Validate tells everything that is wrong with the Front at once.
func (f Front) Validate() error {
	_, err := f.parse()
	return err
}

func (f Front) parse() (parsed, error) {
	p, err := f.parseFilter()
	var faults faults
	faults.add(err)

	if f.Node == "" {
		p.Node = DefaultNode
	}
	p.listen, err = parseListen("listen", f.Listen, "0.0.0.0:8080")
	faults.add(err)

	if f.Admin == "" {
		p.Admin = DefaultAdmin
	}
	p.admin, err = parseListen("admin", p.Admin, DefaultAdmin)
	faults.add(err)
	if err == nil && !p.admin.Addr().IsLoopback() {
		faults.addf("admin %q: whoever reaches the admin interface may stop Envoy and read its configuration: use a loopback address like %s", p.Admin, DefaultAdmin)
	}
	if p.listen.IsValid() && p.listen == p.admin && p.listen.Port() != 0 {
		faults.addf("admin %q: is the address that listen has: use another port", p.Admin)
	}

	p.upstream, err = parseHostPort("upstream", f.Upstream, "127.0.0.1:3000")
	faults.add(err)
	if err == nil && f.Upstream == f.Listen {
		faults.addf("upstream %q: is the address that listen has, so Envoy would call itself: name the service to protect", f.Upstream)
	}

	if f.TokenEndpoint != "" {
		p.token, err = parseHostPort("token endpoint", f.TokenEndpoint, "127.0.0.1:8180")
		faults.add(err)
		faults.add(f.TokenEndpointTLS.validate("token endpoint TLS", p.token))
	} else if f.TokenEndpointTLS != nil {
		faults.addf("token endpoint TLS: there is no token endpoint: name one or leave this out")
	}

	p.CORS, err = parseCORS(f.CORS)
	faults.add(err)
	return p, faults.join()
}

// parseFilter looks at what the ext_authz filter and its cluster need, and at
// nothing else.
func (f Front) parseFilter() (parsed, error) {
	p := parsed{Front: f}
	var faults faults
	var err error
	p.check, err = parseCheck(f.Check)
	faults.add(err)
	faults.add(f.CheckTLS.validate("check TLS", p.check))
	p.APIKeyHeaders, err = parseKeyHeaders(f.APIKeyHeaders)
	faults.add(err)
	return p, faults.join()
}

// parseListen reads an address to bind, which Envoy wants as numbers.
func parseListen(what, address, example string) (netip.AddrPort, error) {
	if address == "" {
		return netip.AddrPort{}, fmt.Errorf("%s: missing: an address like %s", what, example)
	}
	addr, err := netip.ParseAddrPort(address)
	if err != nil || addr.Addr().Zone() != "" {
		return netip.AddrPort{}, fmt.Errorf("%s %q: want an IP address and a port, like %s", what, address, example)
	}
	return addr, nil
}

func parseCheck(address string) (target, error) {
	pipe, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return parseHostPort("check", address, "127.0.0.1:9191 or unix:/run/tollgate.sock")
	}
	if !path.IsAbs(pipe) || path.Clean(pipe) != pipe || pipe == "/" {
		return target{}, fmt.Errorf("check %q: want an absolute path without . or .., like unix:/run/tollgate.sock", address)
	}
	if len(pipe) > maxSocketPath {
		return target{}, fmt.Errorf("check %q: the path is %d bytes long, a socket's may have %d", address, len(pipe), maxSocketPath)
	}
	return target{pipe: pipe}, nil
}

// maxSocketPath is the room in sockaddr_un of macOS, the smaller one, without
// the final NUL.
const maxSocketPath = 103

func parseHostPort(what, address, example string) (target, error) {
	if address == "" {
		return target{}, fmt.Errorf("%s: missing: an address like %s", what, example)
	}
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return target{}, fmt.Errorf("%s %q: want host:port, like %s", what, address, example)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return target{}, fmt.Errorf("%s %q: the port must be a number from 1 to 65535", what, address)
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case err == nil && (ip.IsUnspecified() || ip.Zone() != ""):
		return target{}, fmt.Errorf("%s %q: Envoy cannot connect to this address: name the one to dial, like %s", what, address, example)
	case err != nil && !isHostName(host):
		return target{}, fmt.Errorf("%s %q: %q is neither an IP address nor a DNS name", what, address, host)
	}
	return target{host: host, port: uint32(port)}, nil
}

// label allows the underscore, which names of containers have.
var label = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)

// isHostName tells DNS names from mistakes. A last label of digits is an IPv4
// address with a typing error.
func isHostName(name string) bool {
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	last := labels[len(labels)-1]
	return len(name) <= 253 &&
		!slices.ContainsFunc(labels, func(l string) bool { return !label.MatchString(l) }) &&
		strings.Trim(last, "0123456789") != ""
}

func (t *TLS) validate(what string, to target) error {
	if t == nil {
		return nil
	}
	var faults faults
	if t.CA == "" {
		faults.addf("%s: a CA file is needed: without one any certificate would do", what)
	}
	if (t.Cert == "") != (t.Key == "") {
		faults.addf("%s: certificate and key go together: name both or neither", what)
	}
	if t.Name == "" && to.pipe != "" {
		faults.addf("%s: a Unix socket has no host name: say which name the certificate holds", what)
	}
	return faults.join()
}

// headerName is a header that can come through this front, which refuses
// underscores since x_api_key and x-api-key are one to many upstreams.
var headerName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// reservedHeaders have a meaning to HTTP, to Envoy or to tollgate: a key in one
// of them could not be read, or removing it would break the request.
var reservedHeaders = []string{
	"authorization", "connection", "content-length", "content-type", "cookie", "expect", "host", "keep-alive", "proxy-connection",
	"te", "trailer", "transfer-encoding", "upgrade", "x-forwarded-for", "x-forwarded-proto", "x-request-id",
}

func parseKeyHeaders(names []string) ([]string, error) {
	var faults faults
	var lower []string
	for _, name := range names {
		n := strings.ToLower(name)
		switch {
		case strings.Contains(n, "_"):
			faults.addf("API key header %q: Envoy refuses headers with underscores here: use -", name)
		case !headerName.MatchString(n):
			faults.addf("API key header %q: is not a header name: letters, digits and - are", name)
		case slices.Contains(reservedHeaders, n):
			faults.addf("API key header %q: has a meaning of its own: use another, like x-api-key", name)
		case strings.HasPrefix(n, "x-tollgate-") || strings.HasPrefix(n, "x-envoy-"):
			faults.addf("API key header %q: callers cannot send x-tollgate-* and x-envoy-*: use another, like x-api-key", name)
		default:
			lower = append(lower, n)
		}
	}
	slices.Sort(lower)
	lower = slices.Compact(lower)
	if tooManyKeyHeaders(lower) {
		faults.addf("API key headers %s: too many for one Envoy: let APIs share a header, or use shorter names", strings.Join(lower, ", "))
	}
	return lower, faults.join()
}

// faults collects what is wrong.
type faults []error

func (f *faults) add(err error)                   { *f = append(*f, err) }
func (f *faults) addf(format string, args ...any) { f.add(fmt.Errorf(format, args...)) }
func (f faults) join() error                      { return errors.Join(f...) }
