// Package authz decides about requests: it owns the gate, the list of steps that
// a request passes in order, and the policy they go by.
//
// It knows nothing of gRPC or Envoy's messages (package authz/extauthz does),
// and leaves the words of a refusal to package authz/deny, tokens to package
// tokens, and counting to package limiter.
package authz

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tollgate-authz/tollgate/authz/deny"
	"github.com/tollgate-authz/tollgate/authz/route"
	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
)

// Gate judges requests. It is safe for concurrent use.
type Gate struct {
	tokens *tokens.Verifier
	limits *limiter.Table
	quotas *quota.Book
	now    func() time.Time
	newID  func() ID
	moved  func(tokens.Move)
	locked func(tokens.Lockout)
	notify func(Notice)
	policy atomic.Pointer[Policy]

	notices *limiter.Notices
}

// Config is what a Gate needs. Now, NewID, Moved, LockedOut and Notify may be nil.
type Config struct {
	Policy *Policy
	Tokens *tokens.Verifier
	Limits *limiter.Table
	Quotas *quota.Book
	Now    func() time.Time
	NewID  func() ID
	// Moved is told of the first OAuth 2.0 request of an account that is allowed at an
	// API which takes API keys too (row I5). It must not wait for anything.
	Moved func(tokens.Move)
	// LockedOut is told of a token or API key that is locked out (row V4). The lockout
	// must hold when it returns, and it must not wait for anything.
	LockedOut func(tokens.Lockout)
	// Notify is told once per window of a limit that it is nearly used up, and once that
	// it is. It must not wait for anything.
	Notify func(Notice)
}

// New makes a gate.
func New(c Config) *Gate {
	g := &Gate{
		tokens: c.Tokens, limits: c.Limits, quotas: c.Quotas, now: c.Now, newID: c.NewID,
		moved: c.Moved, locked: c.LockedOut, notify: c.Notify, notices: limiter.NewNotices(maxNotices),
	}
	if g.now == nil {
		g.now = time.Now
	}
	if g.newID == nil {
		g.newID = NewID
	}
	if g.moved == nil {
		g.moved = func(tokens.Move) {}
	}
	if g.locked == nil {
		g.locked = func(tokens.Lockout) {}
	}
	if g.notify == nil {
		g.notify = func(Notice) {}
	}
	g.policy.Store(c.Policy)
	return g
}

// SetPolicy puts a new policy in force. Requests that are being judged finish
// under the old one; limiter state is kept.
func (g *Gate) SetPolicy(p *Policy) { g.policy.Store(p) }

// KeyHeaders names the headers that Request.APIKeys is to hold.
func (g *Gate) KeyHeaders() []string { return g.policy.Load().keyHeaders }

// Policy returns the policy in force.
func (g *Gate) Policy() *Policy { return g.policy.Load() }

// check is one request on its way through the steps.
type check struct {
	Request
	Decision
	policy *Policy
	match  match
	bearer string
	apiKey string
	token  *tokens.Token
	payer  *payer
	now    time.Time
	trace  *[]Step // explain only: what each step saw; limits are then looked at, not spent
}

// Check judges one request. It never panics: a fault of ours is a refusal.
func (g *Gate) Check(ctx context.Context, req Request) Decision {
	c := check{Request: req, policy: g.policy.Load(), now: g.now()}
	c.ID = g.newID()
	g.judge(ctx, &c)
	return c.Decision
}

// Steps are the names of judge's steps, in their order. An open API has only the first.
var Steps = [...]string{"path", "credential", "token", "expiry", "revoked", "source", "scope", "lockout", "limits"}

// judge runs the steps. A request is allowed only by coming to the end of the
// list, or by an API that asks for nothing.
func (g *Gate) judge(ctx context.Context, c *check) {
	defer c.recoverPanic()
	c.At, c.Source = c.now, c.source(c.policy.TrustedHops)
	g.findRoute(c)
	switch { // the cases run in order; the first objection ends the check
	case c.ends("path", requirePlainPath(c)):
	case c.isOpen():
		c.Allowed = true
	case c.ends("credential", findCredential(c)):
	case c.ends("token", g.verify(ctx, c)):
	case c.ends("expiry", rejectExpired(c)):
	case c.ends("revoked", rejectRevoked(c)):
	case c.ends("source", requireSource(c)):
	case c.ends("scope", requireScope(c)): // the route and its scopes; a missing route refuses here, not before: strangers learn nothing of the table
	case c.ends("lockout", g.rejectLocked(c)):
	case c.ends("limits", g.spend(ctx, c)): // burst, minute, day, total, paid, wallet: all are charged or none
	default:
		c.Allowed = true
		g.noteMove(c)
	}
	c.Passed = !c.Allowed && !c.policy.Enforce
}

// ends takes a step's objection, if it has one.
func (c *check) ends(step string, err error) bool {
	if c.trace != nil {
		*c.trace = append(*c.trace, Step{Name: step, Saw: c.saw(step), Err: err})
	}
	if err == nil {
		return false
	}
	c.Step, c.Cause, c.Reason = step, err, deny.Internal
	var reason *deny.Reason
	if errors.As(err, &reason) {
		c.Reason = reason
	}
	return true
}

// recoverPanic turns a fault in any step into a refusal: an RPC error would let
// the request pass where Envoy is set to failure_mode_allow (bar B4).
func (c *check) recoverPanic() {
	if p := recover(); p != nil {
		c.Allowed, c.Reason, c.Step = false, deny.Internal, "panic"
		c.Cause = fmt.Errorf("%w: %v", ErrPanic, p)
		c.Passed = !c.policy.Enforce
	}
}

// ErrPanic marks a decision whose step panicked.
var ErrPanic = errors.New("panic")

// findRoute looks the route up early because it says which credentials are
// accepted and what may stand in the path.
func (g *Gate) findRoute(c *check) {
	c.match = c.policy.match(&c.Request)
	if c.match.host != nil {
		c.Domain = c.match.host.pattern
	}
	c.Route, c.environment, c.HideToken = c.match.route, c.match.environment, c.match.hidesToken()
	if takes := c.match.takes(); takes != nil {
		c.HideKeys, c.KeysOnly = takes.keys, !takes.bearer && len(takes.keys) > 0
	}
}

func (c *check) isOpen() bool { return c.Route != nil && c.Route.API.Open }

func requirePlainPath(c *check) error {
	var allow route.Allow
	if c.Route != nil {
		allow = c.Route.API.AllowInPath
	}
	if err := route.Plain(c.plainPath(), allow); err != nil {
		return deny.BadRequest.Because("%w", err)
	}
	return nil
}

// verify checks the credential itself, and that it is for here: its audience, and its
// environment where the host has one.
func (g *Gate) verify(ctx context.Context, c *check) error {
	if err := ctx.Err(); err != nil { // Envoy has stopped waiting
		return err
	}
	if _, err := tokens.ParseEnvironment(string(c.environment)); err != nil {
		return fmt.Errorf("context extension tollgate.environment: %w", err)
	}
	token, err := g.find(ctx, c)
	switch {
	case errors.Is(err, tokens.ErrInvalid):
		return deny.InvalidToken.Because("%w", err)
	case err != nil:
		return err
	case c.apiKey == "" && !c.policy.accepts(token, &c.match):
		return deny.InvalidToken.Because("its audience (aud) is none of this API's")
	}
	c.token, c.Identity = token, token.Identity()
	// A token whose client is gone has no environment any more.
	if e := c.Identity.Environment(); e != "" && c.environment != "" && e != c.environment {
		return deny.InvalidToken.Because("a %s token on a %s host", e, c.environment)
	}
	if c.Route != nil {
		if err := c.Identity.Admits(c.Route.API.Name); err != nil {
			return deny.InvalidToken.Because("%w", err)
		}
	}
	return nil
}

func (g *Gate) find(ctx context.Context, c *check) (*tokens.Token, error) {
	if c.apiKey != "" {
		return g.tokens.VerifyAPIKey(c.apiKey)
	}
	return g.tokens.Verify(ctx, c.bearer, c.now)
}

// rejectExpired comes before rejectRevoked: an expired token is R5, revoked or
// not.
func rejectExpired(c *check) error {
	if c.Identity.Expired(c.now) {
		return deny.Expired.Because("expired at %s", c.Identity.Expires().UTC().Format(time.RFC3339))
	}
	return nil
}

func rejectRevoked(c *check) error {
	if err := c.Identity.EndedBy(c.now); err != nil {
		return deny.InvalidToken.Because("%w", err)
	}
	return nil
}

// requireSource asks every list that is set: a token may be bound to less than its
// client is, and to nothing beyond.
func requireSource(c *check) error {
	client, token := c.Identity.TrustedIPs(), c.Identity.TokenIPs()
	if len(client)+len(token) == 0 {
		return nil
	}
	switch {
	case !tokens.Trusts(client, c.Source):
		return deny.Restricted.Because("source %s is in none of the client's trusted ranges", c.Source)
	case !tokens.Trusts(token, c.Source):
		return deny.Restricted.Because("source %s is in none of the token's trusted ranges", c.Source)
	}
	return nil
}

func requireScope(c *check) error {
	if c.Route == nil {
		return deny.Unauthorized.Because("no route for this host, method and path")
	}
	wanted, all, anyOf := c.Route.wanted, c.Route.Scopes, c.Route.AnyScope
	if c.Scopes != "" {
		var ok bool
		wanted, anyOf = c.Scopes, nil
		if all, ok = tokens.SplitScopes(c.Scopes); !ok {
			return fmt.Errorf("context extension tollgate.scopes %q is not a list of scopes", wanted)
		}
	}
	if c.Identity.HasAll(all) && c.Identity.HasAny(anyOf) {
		return nil
	}
	c.ScopeWanted = wanted
	return deny.Unauthorized.Because("the route asks for %q, the token has %q", wanted, c.Identity.ScopeList)
}
