package manage

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/tollgate-authz/tollgate/tokens"
)

// caller is whose token a request carries.
type caller struct {
	powers
	client  *tokens.Client
	account string
	source  netip.Addr
	sandbox bool // his token is of the sandbox
}

// authenticate finds out who calls, from where, and whether that token is still good, as
// the gate would.
func (a *api) authenticate(r *http.Request, ev *Event) (*caller, error) {
	s, now := a.Settings(), a.Now()
	source := tokens.RequestSource(r, s.TrustedHops)
	if source.IsValid() {
		ev.Source = source.String()
	}
	bearer, err := bearerOf(r)
	if err != nil {
		return nil, err
	}
	t, err := a.Tokens.VerifyOwn(r.Context(), bearer, now)
	switch {
	case errors.Is(err, tokens.ErrInvalid):
		return nil, unauthorized("R1", "the token is not one of ours, or malformed")
	case err != nil:
		return nil, fmt.Errorf("verify the caller's token: %w", err)
	}
	id := t.Identity()
	ev.Client, ev.Account = id.ClientID(), id.Account()
	switch {
	case !slices.Contains(t.Audience, s.Audience) && !slices.Contains(t.Audience, s.Issuer):
		return nil, unauthorized("R1", "the token is for another audience")
	case id.Expired(now):
		return nil, unauthorized("R5", "the token has expired")
	case id.EndedBy(now) != nil:
		return nil, unauthorized("R1", "the token has ended")
	case !tokens.Trusts(id.TrustedIPs(), source) || !tokens.Trusts(id.TokenIPs(), source):
		no := newProblem(http.StatusForbidden, "the token may not be used from this address")
		no.Code = "R4"
		return nil, no
	}
	if l := id.Lockout(now); l != nil {
		return nil, rateLimited(l.Until.Sub(now), "the token is locked out because it exceeded its per_minute")
	}
	return &caller{powersOf(id.Scopes), id.Client, id.Account(), source, id.Environment() == tokens.Sandbox}, nil
}

// bearerOf reads the one bearer token (RFC 6750 section 2.1). Tokens in the query or body
// are not read.
func bearerOf(r *http.Request) (string, error) {
	list := r.Header["Authorization"]
	if len(list) > 1 {
		return "", unauthorized("R1", "the Authorization header is sent more than once")
	}
	const scheme = "Bearer "
	if len(list) == 0 || len(list[0]) <= len(scheme) || !strings.EqualFold(list[0][:len(scheme)], scheme) {
		no := unauthorized("R1", "a bearer token is needed: Authorization: Bearer …")
		no.Error_ = "" // RFC 6750 section 3.1: nothing was sent that could be wrong
		no.header.Set("WWW-Authenticate", `Bearer realm="tollgate"`)
		return "", no
	}
	return strings.TrimLeft(list[0][len(scheme):], " "), nil
}

// require refuses a caller without a permission.
func (c *caller) require(needs permission) error {
	if c.may(needs) {
		return nil
	}
	detail := "the token lacks the scope " + string(needs)
	if needs == admin {
		detail = "only administrators may do that: the token lacks the scope " + string(admin)
	}
	return lacking(detail, string(needs))
}

// requireEnvironment keeps the sandbox apart (row O7): a token of it may look, and changes
// nothing but tokens of the sandbox, for which each operation asks mayTouch.
func (c *caller) requireEnvironment(o *operation) error {
	if c.sandbox && o.method != http.MethodGet && o.needs != tokensWrite {
		return newProblem(http.StatusForbidden, "a token of the sandbox changes nothing in production")
	}
	return nil
}

// mayTouch refuses a token of production to a caller of the sandbox.
func (c *caller) mayTouch(e tokens.Environment) error {
	if c.sandbox && e != tokens.Sandbox {
		return newProblem(http.StatusForbidden, "a token of the sandbox makes, changes and ends tokens of the sandbox only")
	}
	return nil
}

// reach is the account that a list is of: the one that was asked for, the caller's own
// where he may see no other, "" for all. Another's account is not there.
func (c *caller) reach(asked string) (string, error) {
	switch {
	case asked != "" && !c.everywhere && asked != c.account:
		return "", notFound("account")
	case asked == "" && !c.everywhere:
		return c.account, nil
	}
	return asked, nil
}

// own is the account that something is of which has one: the one that was asked for, or
// the caller's.
func (c *caller) own(asked string) (string, error) {
	if asked == "" {
		return c.account, nil
	}
	return c.reach(asked)
}

// sees reports whether the caller may know of something in an account.
func (c *caller) sees(account string) bool { return c.everywhere || account == c.account }
