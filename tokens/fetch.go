package tokens

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tollgate-authz/tollgate/tokens/strictjson"
)

// fetchTimeout bounds one fetch from the first byte out to the last byte in, so
// that an issuer that sends a byte a second is an issuer that is down.
const fetchTimeout = 5 * time.Second

// NewFetchClient makes the HTTP client for key sets. It follows no redirect,
// uses no proxy and no compression (a bomb would unpack in our memory), and
// looks at the address that is really dialled: a name that resolves to a cloud's
// metadata address must not be asked.
func NewFetchClient() *http.Client {
	dialer := &net.Dialer{Timeout: fetchTimeout, ControlContext: refuseOddAddresses}
	return &http.Client{
		Timeout: fetchTimeout,
		Transport: &http.Transport{
			DialContext: dialer.DialContext, DisableCompression: true, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: fetchTimeout, MaxResponseHeaderBytes: 32 << 10, IdleConnTimeout: time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// refuseOddAddresses refuses what no issuer can have, by the address that is
// really dialled. Private addresses stay allowed where the operator named the
// issuer: identity providers inside a mesh or a cluster are common. What an issuer
// points at on another host must be public, or it could make us knock at doors
// inside the network; names that resolve to one address when looked at and to
// another when dialled do not help it.
func refuseOddAddresses(ctx context.Context, _, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %s: %w", address, err)
	}
	a := ap.Addr().Unmap()
	if a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || !a.IsValid() {
		return fmt.Errorf("address %s is link-local, multicast or unspecified: no issuer lives there", a)
	}
	if ctx.Value(discovered{}) != nil && (a.IsPrivate() || a.IsLoopback() || carrierGrade.Contains(a)) {
		return fmt.Errorf("the discovered jwks_uri is at the private address %s: name it as jwks_uri in the configuration if it is right", a)
	}
	return nil
}

// discovered marks the context of a fetch whose address the operator never saw.
type discovered struct{}

// carrierGrade is shared address space (RFC 6598), private in effect.
var carrierGrade = netip.MustParsePrefix("100.64.0.0/10")

// CheckFetchURL says what is wrong with an address to fetch keys from: https is
// needed, plain http only on this machine.
func CheckFetchURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return fmt.Errorf("%q is no URL: https://host/path is needed", raw)
	case u.User != nil || u.Fragment != "":
		return fmt.Errorf("%q: no user and no fragment may stand in it", raw)
	case u.Scheme == "https", u.Scheme == "http" && IsLoopback(u.Hostname()):
		return nil
	}
	return fmt.Errorf("%q: https is needed (http only for this machine), or a jwks_file", raw)
}

// IsLoopback reports whether a host of a URL or listener is this machine.
func IsLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

// fetchKeySet returns the key set document of an issuer, and its max-age (0: not
// said).
func fetchKeySet(ctx context.Context, client *http.Client, issuer, uri string) ([]byte, time.Duration, error) {
	if uri == "" {
		found, elsewhere, err := discover(ctx, client, issuer)
		if err != nil {
			return nil, 0, err
		}
		if uri = found; elsewhere {
			ctx = context.WithValue(ctx, discovered{}, true)
		}
	}
	return fetch(ctx, client, uri)
}

// discover finds the jwks_uri in the issuer's metadata: OpenID Connect Discovery
// 1.0 section 4, then RFC 8414 section 3. It also says whether that is on another
// host than the issuer.
func discover(ctx context.Context, client *http.Client, issuer string) (uri string, elsewhere bool, err error) {
	u, err := url.Parse(issuer)
	if err != nil {
		return "", false, fmt.Errorf("discovery: %w", err)
	}
	path := strings.TrimSuffix(u.Path, "/")
	var failures []error
	for _, at := range []string{path + "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server" + path} {
		where := *u
		where.Path = at
		doc, _, err := fetch(ctx, client, where.String())
		if err == nil {
			if uri, err = readDiscovery(doc, issuer); err == nil {
				elsewhere, err = checkDiscovered(u, uri)
				return uri, elsewhere, err
			}
		}
		failures = append(failures, fmt.Errorf("discovery at %s: %w", where.String(), err))
	}
	return "", false, errors.Join(failures...)
}

func readDiscovery(doc []byte, issuer string) (string, error) {
	meta, err := strictjson.Parse(doc, maxDepth)
	if err != nil {
		return "", fmt.Errorf("not strict JSON: %w", err)
	}
	if named := meta.Get("issuer"); named == nil || named.Text != issuer {
		return "", errors.New("it names another issuer (RFC 8414 section 3.3)")
	}
	uri := meta.Get("jwks_uri")
	if uri == nil || uri.Kind != strictjson.String {
		return "", errors.New("it has no jwks_uri")
	}
	return uri.Text, nil
}

// checkDiscovered judges a jwks_uri that the operator never saw, and says whether
// it is on another host than the issuer's.
func checkDiscovered(issuer *url.URL, raw string) (elsewhere bool, err error) {
	if err := CheckFetchURL(raw); err != nil {
		return false, fmt.Errorf("discovered jwks_uri: %w", err)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return false, err
	}
	return u.Hostname() != issuer.Hostname(), nil
}

// fetch reads one JSON document of at most MaxKeySetBytes.
func fetch(ctx context.Context, client *http.Client, from string) ([]byte, time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("%s answered %d", from, resp.StatusCode)
	}
	doc, err := io.ReadAll(io.LimitReader(resp.Body, MaxKeySetBytes+1))
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", from, err)
	}
	if len(doc) > MaxKeySetBytes {
		return nil, 0, fmt.Errorf("%s is over %d bytes", from, MaxKeySetBytes)
	}
	if !json.Valid(doc) {
		return nil, 0, fmt.Errorf("%s is no JSON", from)
	}
	return doc, maxAge(resp.Header.Get("Cache-Control")), nil
}

// maxAge reads max-age out of a Cache-Control header (RFC 9111 section 5.2.2.1).
func maxAge(cacheControl string) time.Duration {
	for directive := range strings.SplitSeq(cacheControl, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if strings.EqualFold(name, "max-age") {
			if seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				return time.Duration(seconds) * time.Second
			}
		}
	}
	return 0
}
