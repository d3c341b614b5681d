package tokens

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// Client is one OAuth 2.0 client: a credential and what it may do. A *Client is
// never changed once published; an edit publishes a new one.
type Client struct {
	ID          string
	Name        string
	Alias       string // may stand for the ID at the token endpoints; empty: none (row V1)
	Account     string
	Plan        string
	Environment Environment
	Scopes      []string       // what its tokens may carry, sorted
	TrustedIPs  []netip.Prefix // where it may be used from; empty: anywhere (row I10)
	TokenTTL    time.Duration  // lifetime of its access tokens; 0: the configuration's
	Format      Format         // of its access tokens; empty: the configuration's
	Refresh     bool           // refresh tokens come with its access tokens
	Suspended   bool           // its tokens and its secrets are refused until it is resumed
	Secrets     []ClientSecret // that have not ended, the newest first; none once the last was revoked
	Generation  int64          // of the newest secret that was ever made; the first is 1
	Ended       int64          // tokens made with a secret of this generation or before are refused (row V2)
	CreatedAt   time.Time
}

// ClientSecret is one secret of a client. There are several while a rotation lets
// the old one be used for a while.
type ClientSecret struct {
	Generation int64     // counts the client's secrets; tokens carry that of the one they were made with
	Hash       []byte    // HMAC-SHA-256, see Pepper
	Until      time.Time // from then on it is refused; zero: no end
}

// Format is what an access token looks like.
type Format string

// The formats. Only JWTs can be verified by others, and need no record here.
const (
	JWT     Format = "jwt"
	Opaque  Format = "opaque"
	Classic Format = "classic" // 24 characters; the client's ID and secret are short too (row D2)
)

// ClassicTTL is the lifetime of classic access tokens unless the client has one
// of its own (row D3).
const ClassicTTL = time.Hour

// DefaultAccount owns the clients that were made without naming one.
const DefaultAccount = "default"

var (
	aliasForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{2,62}$`)
	wordForm  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}$`)
)

// Validate says everything that is wrong with a client that someone wants to store.
func (c *Client) Validate() []error {
	var f faults
	f.name(c.Name)
	if c.Alias != "" && !aliasForm.MatchString(c.Alias) {
		f.add("alias %q: 3 to 63 of a-z 0-9 . _ - are allowed, starting with a letter or digit", c.Alias)
	}
	f.account(c.Account)
	f.environment(c.Environment)
	if len(c.Scopes) == 0 {
		f.add("no scope: a client needs at least one, or none of its requests could pass a route that asks for one")
	}
	f.scopes(c.Scopes)
	f.trustedIPs(c.TrustedIPs)
	if c.TokenTTL < 0 || c.TokenTTL > MaxLifetime || c.TokenTTL%time.Second != 0 {
		f.add("token lifetime %s: whole seconds up to %s are allowed", c.TokenTTL, MaxLifetime)
	}
	switch c.Format {
	case "", JWT, Opaque, Classic:
	default:
		f.add("format %q is unknown: jwt, opaque or classic", c.Format)
	}
	return f
}

// faults gathers what is wrong with a record.
type faults []error

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Errorf(format, args...)) }

func (f *faults) name(name string) {
	if strings.TrimSpace(name) == "" || utf8.RuneCountInString(name) > 200 || hasControl(name) {
		f.add("name %q: 1 to 200 printable characters are needed", name)
	}
}

func (f *faults) account(account string) {
	if !wordForm.MatchString(account) {
		f.add("account %q: up to 128 of letters, digits and . _ : / @ - are allowed", account)
	}
}

func (f *faults) environment(e Environment) {
	if e != Production && e != Sandbox {
		f.add("environment %q is unknown: production or sandbox", e)
	}
}

func (f *faults) scopes(scopes []string) {
	for _, s := range scopes {
		if !ValidScope(s) {
			f.add("scope %q: visible ASCII without space, quote and backslash is allowed (RFC 6749 section 3.3)", s)
		}
	}
}

func (f *faults) trustedIPs(list []netip.Prefix) {
	for _, p := range list {
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
			f.add("trusted IP %s is not as ParseTrustedIP makes them", p)
		}
	}
}

func (f *faults) lifetime(from, until time.Time) {
	if !until.After(from) {
		f.add("it would expire at %s, before it is made", until.UTC().Format(time.RFC3339))
	} else if ttl := until.Sub(from); ttl > MaxLifetime {
		f.add("lifetime %s: at most %s are allowed", ttl, MaxLifetime)
	}
}

// Secret returns the generation of the client's secret that this is, 0 when it is
// none. A nil client, and one without secrets, cost the same work as any other.
func (c *Client) Secret(p *Pepper, secret Secret, now time.Time) (generation int64) {
	hash := p.Hash(secret)
	if c == nil {
		_ = same(hash, hash)
		return 0
	}
	for i := range c.Secrets {
		s := &c.Secrets[i]
		if same(hash, s.Hash) && (s.Until.IsZero() || now.Before(s.Until)) {
			generation = s.Generation
		}
	}
	return generation
}
