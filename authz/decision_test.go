package authz

import (
	"net/netip"
	"testing"

	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
)

// TestO5_DecisionsSayWhatTheyWereAbout: statistics go by it.
func TestO5_DecisionsSayWhatTheyWereAbout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *PolicyConfig) {
		c.TrustedHops = 1
		c.APIs[0].Hosts = append(c.APIs[0].Hosts, "*.Example.org")
		c.APIs[0].Routes[0].Price = 20_000
	})
	w.change(t, tokens.Changes{Accounts: map[string]*tokens.Account{"acme": {Name: "acme", Credit: 1_000_000, CreditRev: 1}}})
	go w.book.Run(t.Context())
	bearer := w.token(t, "contacts:read")
	for _, tt := range []struct {
		host, path, bearer, forwarded string
		domain, source                string
		price                         quota.Micros
	}{
		{"API.example.com:443", "/v1/contacts/7", bearer, "203.0.113.7", "api.example.com", "203.0.113.7", 20_000},
		{"a.b.example.org", "/v1/contacts/7", bearer, "", "*.example.org", "192.0.2.10", 20_000},
		{"api.example.com", "/v1/free", bearer, "1.2.3.4, 203.0.113.7", "api.example.com", "203.0.113.7", 0},
		{"sandbox.example.com", "/v1/contacts/7", bearer, "nonsense", "sandbox.example.com", "invalid IP", 20_000}, // refused: a production token
		{"api.example.com", "/v1/contacts/7", "", "", "api.example.com", "192.0.2.10", 0},
		{"api.example.com", "/nowhere", bearer, "", "api.example.com", "192.0.2.10", 0},
		{"api.example.com", "/a/../b", bearer, "", "api.example.com", "192.0.2.10", 0},
		{"stranger.example", "/", bearer, "", "", "192.0.2.10", 0},
		{"www.example.com", "/", "", "", "www.example.com", "192.0.2.10", 0},
	} {
		req := get(tt.path, tt.bearer)
		req.Host, req.ForwardedFor, req.Peer = tt.host, tt.forwarded, netip.MustParseAddr("::ffff:192.0.2.10")
		d := w.gate.Check(t.Context(), req)
		if d.Domain != tt.domain || d.Source.String() != tt.source || d.Price() != tt.price || !d.At.Equal(w.now) {
			t.Errorf("%s%s: domain %q, source %s, price %s at %s; want %q, %s, %s", tt.host, tt.path, d.Domain, d.Source, d.Price(), d.At, tt.domain, tt.source, tt.price)
		}
	}
}
