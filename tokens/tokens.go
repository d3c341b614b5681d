// Package tokens is the vocabulary of credentials: clients, users, tokens, issuers and
// keys. It verifies JWTs, keeps the keys of trusted issuers fresh, signs our own
// tokens and knows the clients they belong to.
//
// It does not decide about requests (package authz does), count them (package
// limiter) or speak HTTP to callers (package tokens/endpoint). The Check path
// touches memory only: whatever has to be fetched is fetched beside it.
package tokens

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
)

// Environment keeps sandbox and production apart (row O7).
type Environment string

// The two environments. A token of one is refused by the other.
const (
	Production Environment = "production"
	Sandbox    Environment = "sandbox"
)

// ParseEnvironment reads an environment's name; empty means production.
func ParseEnvironment(s string) (Environment, error) {
	switch s {
	case "", string(Production):
		return Production, nil
	case string(Sandbox):
		return Sandbox, nil
	}
	return "", fmt.Errorf("environment %q is unknown: production or sandbox", s)
}

// TrustsSource reports whether the client may be used from that address. Without
// a list every address is trusted; with one, an unknown address is not.
func (c *Client) TrustsSource(addr netip.Addr) bool { return Trusts(c.TrustedIPs, addr) }

// Trusts reports whether a list of trusted addresses holds addr. IPv4-mapped
// IPv6 is IPv4 (contract section 3).
func Trusts(list []netip.Prefix, addr netip.Addr) bool {
	if len(list) == 0 {
		return true
	}
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// ParseTrustedIP reads "203.0.113.7" or "203.0.113.0/24", IPv4 or IPv6. Bits
// beyond the prefix length must be zero: "10.0.0.1/8" is more likely a slip than
// a wish to trust sixteen million addresses.
func ParseTrustedIP(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		addr, err := netip.ParseAddr(s)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("trusted IP %q: an address such as 203.0.113.7 or a range such as 203.0.113.0/24 is needed", s)
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("trusted IP %q: an address such as 203.0.113.7 or a range such as 203.0.113.0/24 is needed", s)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("trusted IP %q has bits beyond its length: %s is the range, %s/%d the one address", s, p.Masked(), p.Addr(), p.Addr().BitLen())
	}
	return p, nil
}

// ValidScope reports whether s is one scope-token of RFC 6749 section 3.3.
func ValidScope(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == '"' || c == '\\' || c > '~' {
			return false
		}
	}
	return s != "" && len(s) <= 256
}

// SplitScopes splits a scope parameter on single spaces and reports whether it
// was well formed. Duplicates are dropped, the order is kept.
func SplitScopes(s string) ([]string, bool) { return tidyScopes(strings.Split(s, " ")) }

func tidyScopes(list []string) ([]string, bool) {
	scopes := make([]string, 0, len(list))
	for _, part := range list {
		if !ValidScope(part) {
			return nil, false
		}
		if !slices.Contains(scopes, part) {
			scopes = append(scopes, part)
		}
	}
	return scopes, true
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || 0x7f <= r && r < 0xa0 || r == 0x2028 || r == 0x2029 })
}

// Secret is a text that must never be printed: client secrets, tokens, keys. It
// prints as <secret> with every verb, in JSON and in structured logs.
type Secret string

// Reveal returns the text itself. Each call is a place to check for leaks.
func (s Secret) Reveal() string { return string(s) }

func (Secret) String() string               { return "<secret>" }
func (Secret) GoString() string             { return "<secret>" }
func (Secret) LogValue() slog.Value         { return slog.StringValue("<secret>") }
func (Secret) MarshalText() ([]byte, error) { return []byte("<secret>"), nil }

// Format keeps %x, %q and their like from printing the text.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("<secret>")) }
