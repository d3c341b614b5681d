package route

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// maxHost is the longest name that DNS can hold (RFC 1035 §2.3.4). Hosts of
// requests are folded to lower case in a buffer of this size on the stack.
const maxHost = 253

// ValidHost says what is wrong with a configured host and what would be right.
func ValidHost(pattern string) error {
	_, err := CanonicalHost(pattern)
	return err
}

// CanonicalHost returns the form of a configured host that Table.Hosts lists: in
// lower case and without a trailing dot. Two spellings of one host have one
// canonical form.
func CanonicalHost(pattern string) (string, error) {
	if pattern == "*" {
		return pattern, nil
	}
	name, wild := strings.CutPrefix(pattern, "*.")
	if err := hostMistake(pattern, name, wild); err != nil {
		return "", err
	}
	var buf [maxHost]byte
	n, ok := fold(&buf, name)
	if !ok || n == 0 {
		return "", fmt.Errorf("%q is not a host: letters, digits, \"-\" and \"_\" in labels between dots, %d bytes at most, like api.example.com", pattern, maxHost)
	}
	if wild {
		return "*." + string(buf[:n]), nil
	}
	return string(buf[:n]), nil
}

// hostMistake recognises what people write instead of a host.
func hostMistake(pattern, name string, wild bool) error {
	_, afterScheme, hasScheme := strings.Cut(pattern, "://")
	addr, _ := netip.ParseAddr(strings.Trim(name, "[]"))
	isIPv6 := addr.Is6()
	colon := strings.LastIndexByte(pattern, ':')
	switch {
	case pattern == "":
		return errors.New("the host is empty; write a name like api.example.com, *.example.com, or * for every host")
	case hasScheme:
		return fmt.Errorf("%q: a host has no scheme; write %q", pattern, afterScheme)
	case strings.Contains(pattern, "/"):
		return fmt.Errorf("%q: a host has no path; write %q", pattern, pattern[:strings.IndexByte(pattern, '/')])
	case isIPv6 && (wild || addr.Zone() != "" || !strings.HasPrefix(name, "[") || !strings.HasSuffix(name, "]")):
		return fmt.Errorf("%q: an IPv6 host stands in brackets and has neither wildcard nor zone; write \"[%s]\"", pattern, addr.WithZone(""))
	case !isIPv6 && colon > strings.IndexByte(pattern, ']'):
		return fmt.Errorf("%q: hosts are compared without their port; write %q", pattern, pattern[:colon])
	case strings.Contains(name, "*"):
		return fmt.Errorf("%q: \"*\" stands alone or for whole labels at the front; write *.example.com", pattern)
	case !isIPv6 && strings.HasPrefix(name, "["):
		return fmt.Errorf("%q: brackets hold an IPv6 address; write one like \"[::1]\"", pattern)
	case strings.ContainsFunc(name, func(r rune) bool { return r >= 0x80 }):
		return fmt.Errorf("%q: write an internationalised name in its ASCII form, like xn--bcher-kva.example", pattern)
	}
	return nil
}

// bare cuts the port off the host of a request, and reports whether what
// follows the colon is one. Colons inside the brackets of an IPv6 literal are not
// looked at (RFC 3986 §3.2.2).
func bare(host string) (string, bool) {
	colon := strings.LastIndexByte(host, ':')
	if colon <= strings.IndexByte(host, ']') {
		return host, true
	}
	for _, c := range []byte(host[colon+1:]) {
		if c < '0' || c > '9' {
			return "", false
		}
	}
	return host[:colon], true
}

// fold writes a host without port into buf, in lower case and without its
// trailing dot, and reports whether it is one. Userinfo, escapes, empty labels
// and other bytes that a name cannot have are refused: as a name that nobody has
// configured, "api.example.com:x" or "a@api.example.com" would fall to "*" and
// its scopes, while an upstream may still read api.example.com.
func fold(buf *[maxHost]byte, host string) (int, bool) {
	if host == "" {
		return 0, true // HTTP/1.0 has no host: only "*" matches it
	}
	if host[0] == '[' {
		return foldIPv6(buf, host)
	}
	if host[len(host)-1] == '.' {
		host = host[:len(host)-1]
	}
	if len(host) > len(buf) {
		return 0, false
	}
	last := byte('.')
	for i := range len(host) {
		c := lower(host[i])
		switch {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_':
		case c == '.' && last != '.':
		default:
			return 0, false
		}
		buf[i], last = c, c
	}
	return len(host), last != '.'
}

func foldIPv6(buf *[maxHost]byte, host string) (int, bool) {
	n := len(host)
	if n > len(buf) || n < len("[::]") || host[n-1] != ']' {
		return 0, false
	}
	buf[0], buf[n-1] = '[', ']'
	for i := 1; i < n-1; i++ {
		c := lower(host[i])
		if !isHex(c) && c != ':' && c != '.' {
			return 0, false
		}
		buf[i] = c
	}
	return n, true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
