package authz

import (
	"context"
	"fmt"
	"time"

	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// Step is what one step of the gate saw and said.
type Step struct {
	Name string
	Saw  string // what it looked at, in words for the operator
	Err  error  // its objection; nil: passed
}

// Explain judges a request with the gate's own steps and tells of each. It spends
// nothing: limits are looked at, not charged.
func (g *Gate) Explain(ctx context.Context, req Request) (Decision, []Step) {
	var steps []Step
	c := check{Request: req, policy: g.policy.Load(), now: g.now(), trace: &steps}
	c.ID = g.newID()
	g.judge(ctx, &c)
	return c.Decision, steps
}

// saw puts into words what a step had before it.
func (c *check) saw(step string) string {
	switch step {
	case "path":
		return c.plainPath()
	case "credential":
		if c.Authorizations > 1 {
			return fmt.Sprintf("%d Authorization headers", c.Authorizations)
		}
		switch {
		case c.apiKey != "":
			return fmt.Sprintf("an API key of %d characters", len(c.apiKey))
		case c.bearer == "":
			return "no Bearer token"
		}
		return fmt.Sprintf("a Bearer token of %d bytes", len(c.bearer))
	case "token":
		return c.sawToken()
	case "expiry":
		expires := c.Identity.Expires()
		if expires.IsZero() {
			return "it does not expire"
		}
		return fmt.Sprintf("exp %s, now %s", expires.UTC().Format(time.RFC3339), c.now.UTC().Format(time.RFC3339))
	case "revoked":
		if c.Identity.Account() == "" {
			return fmt.Sprintf("client %s is not registered", c.token.ClientID)
		}
		return fmt.Sprintf("client %s, account %s, plan %s", c.Identity.ClientID(), c.Identity.Account(), c.Identity.Plan())
	case "source":
		return c.sawSource()
	case "scope":
		return c.sawScope()
	case "lockout":
		if l := c.Identity.Lockout(c.now); l != nil {
			return "locked out since " + l.Since.UTC().Format(time.RFC3339)
		}
		return "not locked out"
	case "limits":
		return c.sawLimits()
	}
	return ""
}

func (c *check) sawToken() string {
	if c.token == nil {
		return "not verified"
	}
	if c.apiKey != "" {
		return "API key " + c.token.ID
	}
	return fmt.Sprintf("issuer %s, subject %s, token %s, audience %q", c.token.Trust.Issuer, c.token.Subject, c.token.ID, c.token.Audience)
}

func (c *check) sawSource() string {
	lists := ""
	if client := c.Identity.TrustedIPs(); len(client) > 0 {
		lists = fmt.Sprintf(", trusted %s", client)
	}
	if token := c.Identity.TokenIPs(); len(token) > 0 {
		lists += fmt.Sprintf(", trusted for this token %s", token)
	}
	if lists == "" {
		lists = ", no list of trusted ranges"
	}
	return fmt.Sprintf("source %s%s", c.Source, lists)
}

func (c *check) sawScope() string {
	if c.Route == nil {
		return fmt.Sprintf("%s %s on host %q: no route", c.Method, c.plainPath(), c.Host)
	}
	wanted := c.Route.wanted
	if c.Scopes != "" {
		wanted = c.Scopes
	}
	return fmt.Sprintf("route %q of API %s (%s) asks for %q; the token has %q", c.Route.Pattern, c.Route.API.Name, c.Route.Source, wanted, c.Identity.ScopeList)
}

func (c *check) sawLimits() string {
	text := "plan " + c.Identity.Plan()
	for i := range c.Limits.Count {
		s := &c.Limits.Standings[i]
		if s.Kind.IsMoney() {
			text += fmt.Sprintf("; %s %s left of %s", LimitName(s), quota.Micros(s.Remaining), quota.Micros(s.Limit))
			continue
		}
		text += fmt.Sprintf("; %s %d left of %d", LimitName(s), s.Remaining, s.Limit)
	}
	return text
}
