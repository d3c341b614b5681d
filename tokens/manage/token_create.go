package manage

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
)

type createTokenInput struct{ Body newToken }

// newToken is a token that is to be made (row O1).
type newToken struct {
	Name        string         `json:"name,omitempty" maxLength:"200" format:"name" doc:"For people."`
	Scopes      []string       `json:"scopes" format:"scope" minItems:"1" maxItems:"100" nullable:"false" doc:"What it may be used for: scopes of the caller, or METHOD:host/path of a route that asks for none." example:"[\"contacts:read\"]"`
	ClientID    string         `json:"client_id,omitempty" maxLength:"128" doc:"Client that it is of. Left out: the caller's."`
	TTL         int64          `json:"ttl,omitempty" minimum:"1" maximum:"31622400" doc:"Lifetime in seconds. Left out, with expires_at: as other tokens of the client."`
	ExpiresAt   time.Time      `json:"expires_at,omitzero" doc:"When it expires, instead of ttl."`
	Limits      newTokenLimits `json:"limits,omitzero" doc:"Limits of its own, beside those of its client."`
	IPAllow     []string       `json:"ip_allow,omitempty" format:"ip-range" maxItems:"100" nullable:"false" doc:"Addresses and ranges that it may be used from, of those that its client may be used from. Left out: all of these." example:"[\"203.0.113.0/24\"]"`
	Environment string         `json:"environment,omitempty" enum:"production,sandbox" doc:"sandbox: a token for the sandbox, of a client of production. Left out: the client's."`

	prefixes []netip.Prefix
}

// TransformSchema says in the OpenAPI file what Resolve refuses.
func (*newToken) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	extend(s, "not", both("ttl", "expires_at"))
	return s
}

// newTokenLimits are limits to be set; each may be left out.
type newTokenLimits struct {
	TotalRequests int64     `json:"total_requests,omitempty" minimum:"1" maximum:"1000000000000" doc:"Requests in all."`
	PaidRequests  int64     `json:"paid_requests,omitempty" minimum:"1" maximum:"1000000000000" doc:"Requests of routes with a price, in all."`
	PerMinute     int64     `json:"per_minute,omitempty" minimum:"1" maximum:"2147483647" doc:"Requests in a sliding minute."`
	PerDay        int64     `json:"per_day,omitempty" minimum:"1" maximum:"1000000000000" doc:"Requests in a calendar day of the account's time zone."`
	WalletAmount  someMoney `json:"wallet_amount,omitempty" doc:"Money of its account's wallet, in all."`
}

func (l *newTokenLimits) limits() tokens.TokenLimits {
	return tokens.TokenLimits{
		TotalRequests: l.TotalRequests, PaidRequests: l.PaidRequests, PerMinute: l.PerMinute, PerDay: l.PerDay, WalletAmount: quota.Micros(l.WalletAmount),
	}
}

// Resolve says what is wrong beyond the types.
func (in *createTokenInput) Resolve(huma.Context) (faults []error) {
	b := &in.Body
	faults = append(faults, faultyName("body.name", b.Name, false)...)
	faults = append(faults, faultyScopes("body.scopes", b.Scopes)...)
	faults = append(faults, readIPs("body.ip_allow", b.IPAllow, &b.prefixes)...)
	return append(faults, faultyExpiry(b.TTL, b.ExpiresAt)...)
}

// faultyName says what is wrong with a name for people.
func faultyName(location, name string, needed bool) []error {
	switch {
	case name == "" && !needed:
		return nil
	case strings.TrimSpace(name) == "", strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }):
		return []error{wrong(location, "1 to 200 printable characters are needed")}
	}
	return nil
}

func faultyScopes(location string, scopes []string) (faults []error) {
	for i, s := range scopes {
		if !tokens.ValidScope(s) {
			faults = append(faults, wrong(fmt.Sprintf("%s[%d]", location, i), "up to 256 visible ASCII characters without space, quote and backslash are needed (RFC 6749 section 3.3)"))
		}
	}
	return faults
}

// faultyExpiry refuses two words for when something expires.
func faultyExpiry(ttl int64, at time.Time) []error {
	if ttl == 0 || at.IsZero() {
		return nil
	}
	return []error{wrong("body.expires_at", "is sent beside ttl: one of them is needed")}
}

// readIPs reads addresses and ranges.
func readIPs(location string, list []string, into *[]netip.Prefix) (faults []error) {
	for i, s := range list {
		p, err := tokens.ParseTrustedIP(s)
		if err != nil { // which quotes what was sent
			faults = append(faults, wrong(fmt.Sprintf("%s[%d]", location, i), "an address such as 203.0.113.7 or a range such as 203.0.113.0/24 is needed, without bits beyond its length"))
			continue
		}
		*into = append(*into, p)
	}
	return faults
}

func (a *api) createToken(ctx context.Context, by *caller, in *createTokenInput) (*tokenAnswer, error) {
	b, now := &in.Body, second(a.Now())
	client, err := a.clientFor(by, b.ClientID)
	if err != nil {
		return nil, err
	}
	environment := tokens.Environment(b.Environment)
	switch {
	case environment == tokens.Production && client.Environment == tokens.Sandbox:
		return nil, faulty(fault{"body.environment", "must be sandbox: the client is of the sandbox"})
	case environment == "" && by.sandbox:
		environment = tokens.Sandbox
	case environment == "":
		environment = client.Environment
	}
	if err := by.mayTouch(environment); err != nil {
		return nil, err
	}
	scopes := sortedOnce(b.Scopes)
	if err := a.mayGive(by, client, scopes); err != nil {
		return nil, err
	}
	issuance := a.Settings().Issuance
	order := issuance.Order(client, now)
	order.Claims.Scopes = scopes
	order.Terms = tokens.Terms{Name: b.Name, TrustedIPs: b.prefixes, Limits: b.Limits.limits(), LivesFrom: now}
	if environment != client.Environment {
		order.Terms.Environment = environment
	}
	if b.TTL > 0 {
		order.Claims.TTL = time.Duration(b.TTL) * time.Second
	}
	if !b.ExpiresAt.IsZero() {
		if order.Claims.TTL, err = lifetimeUntil(now, b.ExpiresAt); err != nil {
			return nil, err
		}
	}
	var pair tokens.Pair
	var made *tokens.Holding
	err = a.generate(ctx, by, func() (err error) {
		if pair, made, err = a.Minter.Make(order); err != nil {
			return err
		}
		if err := requireReadable(pair); err != nil {
			return err
		}
		return a.Store.AddTokens(ctx, made.Family, made.Grant)
	})
	if err != nil {
		return nil, err
	}
	a.follow(ctx)
	return a.showToken(ctx, made.Grant, pair)
}

// requireReadable refuses a JWT that nobody would read, for its many scopes.
func requireReadable(p tokens.Pair) error {
	if len(p.Access.Bearer.Reveal()) > tokens.MaxTokenBytes {
		return faulty(fault{"body.scopes", fmt.Sprintf("are too long together: the token would be larger than %d KiB", tokens.MaxTokenBytes>>10)})
	}
	return nil
}

func lifetimeUntil(now, until time.Time) (time.Duration, error) {
	ttl := second(until).Sub(now)
	if ttl < time.Second || ttl > tokens.MaxLifetime {
		return 0, faulty(fault{"body.expires_at", fmt.Sprintf("must be in the future, and within %d hours", int(tokens.MaxLifetime.Hours()))})
	}
	return ttl, nil
}

// clientFor is the client that a token is to be of: one that could get tokens by itself.
func (a *api) clientFor(by *caller, id string) (*tokens.Client, error) {
	if id == "" {
		id = by.client.ID
	}
	client := a.Registry.Client(id)
	switch {
	case client == nil || !by.sees(client.Account):
		return nil, notFound("client")
	case client.Suspended:
		return nil, conflict("the client is suspended: its tokens would be refused")
	case client.Generation <= client.Ended:
		return nil, conflict("the client has no secret that its tokens could end with: give it one first")
	}
	return client, nil
}

// mayGive refuses scopes that the client does not have, and those that the caller lacks,
// who may be an administrator: then he lacks none.
func (a *api) mayGive(by *caller, client *tokens.Client, scopes []string) error {
	var missing []string
	for _, s := range scopes {
		if a.isRouteName(s) {
			continue
		}
		if !slices.Contains(client.Scopes, s) || !by.gives(s) {
			missing = append(missing, s)
		}
	}
	if missing != nil {
		return lacking("scopes can be given that the client has and the caller has: some are missing", missing...)
	}
	return nil
}

// gives reports whether a caller may give a token a scope: one of his own.
func (c *caller) gives(scope string) bool { return c.admin || slices.Contains(c.scopes, scope) }

// sortedOnce is a list of scopes as records have it.
func sortedOnce(scopes []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(scopes)))
}
