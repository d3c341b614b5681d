package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/tokens"
)

// grant is one token request on its way through the phases.
type grant struct {
	credentials
	now      time.Time
	settings Settings
	source   netip.Addr
	event    *Event

	client   *tokens.Client // from phase 3 on
	scopes   []string       // from phase 6 on
	audience string         // from phase 7 on
	token    tokens.AccessToken

	err error
}

// clientCredentials answers the grant of RFC 6749 section 4.4, in the order of
// contract section 4. Phase 1, whether the request is well formed, is over: it
// belongs to the dialect.
func (e *endpoint) clientCredentials(ctx context.Context, g *grant) error {
	switch { // the cases run in order; the first objection ends the request
	case g.ends(e.requireFewFailures(g)): //     2. before the client is looked up, so that a guesser costs little
	case g.ends(e.authenticate(ctx, g)): //      3. R1; a deleted client is an unknown one
	case g.ends(g.requireSource()): //           4. R4
	case g.ends(e.requireFewGenerations(g)): //  5. R3; spends nothing yet
	case g.ends(g.requireScope()): //            6. R2
	case g.ends(g.requireTarget()): //           7. not before: only clients learn which audiences there are
	case g.ends(e.issue(g)): //                  8. R3 again, where others were faster since phase 5
	}
	return g.err
}

func (g *grant) ends(err error) bool {
	g.err = err
	return err != nil
}

func (e *endpoint) requireFewFailures(g *grant) error {
	if wait := e.failures.look(g.now, g.source, g.id); wait > 0 {
		return rateLimited.later(wait, "too many failures from this source")
	}
	return nil
}

// lookUpTimeout bounds the wait for the store: a caller who waits longer has
// mostly gone.
const lookUpTimeout = 5 * time.Second

// authenticate compares the secret, in constant time and with the same work
// whether or not there is such a client.
func (e *endpoint) authenticate(ctx context.Context, g *grant) error {
	client, err := e.find(ctx, g.id)
	if err != nil {
		return err
	}
	var hash []byte
	cause := "unknown client"
	if client != nil {
		hash, cause = client.SecretHash, "wrong secret"
		g.event.Client = client.ID
	}
	if !e.Pepper.Matches(g.secret, hash) {
		if wait := e.failures.charge(g.now, g.source, g.id); wait > 0 {
			return rateLimited.later(wait, "too many failures from this source")
		}
		return invalidClient.because(cause)
	}
	g.client = client
	return nil
}

// find returns nil when there is no such client. What cannot be an ID or an alias
// is not looked for.
func (e *endpoint) find(ctx context.Context, id string) (*tokens.Client, error) {
	if len(id) > 128 || strings.ContainsFunc(id, notInName) {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	client, err := e.Clients.Client(ctx, id)
	if err != nil && !errors.Is(err, tokens.ErrNotFound) {
		return nil, fmt.Errorf("look up a client: %w", err)
	}
	if err != nil {
		return nil, nil
	}
	return client, nil
}

// notInName reports whether no ID and no alias has the character.
func notInName(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_', r == '.':
		return false
	}
	return true
}

func (g *grant) requireSource() error {
	if !g.client.TrustsSource(g.source) {
		return restricted.because("source outside the trusted addresses")
	}
	return nil
}

func (e *endpoint) requireFewGenerations(g *grant) error {
	return e.generations(e.Limits.Look, g)
}

// generations asks the limit of row I4, which counts successful requests only.
func (e *endpoint) generations(table func(time.Time, limiter.Subject, []*limiter.Plan, *limiter.Result), g *grant) error {
	plan := e.plan.Load()
	if plan == nil || plan.PerMinute != g.settings.GenerationsPerMinute {
		var err error
		if plan, err = limiter.NewPlan("generations", limiter.Burst{}, g.settings.GenerationsPerMinute); err != nil {
			return fmt.Errorf("use tokens.generations_per_minute: %w", err)
		}
		e.plan.Store(plan)
	}
	var res limiter.Result
	table(g.now, e.Limits.Subject("generations", g.client.ID), []*limiter.Plan{plan}, &res)
	switch res.Verdict {
	case limiter.Allowed:
		return nil
	case limiter.Full: // contract section 6: no active client is forgotten for a new one
		return errors.New("count generations: the limiter's table is full (limits.max_memory)")
	}
	return rateLimited.later(res.RetryAfter, "too many generations")
}

// requireScope grants what was asked for, or all when nothing was. A token with
// less than was asked for would fail later, where nobody looks for the reason.
func (g *grant) requireScope() error {
	if g.scope == "" {
		g.scopes = g.client.Scopes
		return nil
	}
	asked, ok := tokens.SplitScopes(g.scope)
	if !ok {
		return invalidScope.because("malformed scope")
	}
	for _, s := range asked {
		if !slices.Contains(g.client.Scopes, s) {
			return invalidScope.because("a scope that the client does not have")
		}
	}
	g.scopes = asked
	return nil
}

// requireTarget finds the audience (RFC 8707 section 2).
func (g *grant) requireTarget() error {
	g.audience = g.settings.Audience
	if g.resource == "" || g.resource == g.audience {
		return nil
	}
	if !slices.Contains(g.settings.APIAudiences, g.resource) {
		return invalidTarget.because("a resource that is no API's audience")
	}
	g.audience = g.resource
	return nil
}

func (e *endpoint) issue(g *grant) error {
	issuer := e.Issuer()
	if issuer == nil {
		return errors.New("there is no signing key yet")
	}
	ttl := g.client.TokenTTL
	if ttl == 0 {
		ttl = g.settings.AccessTTL
	}
	if err := e.generations(e.Limits.Take, g); err != nil {
		return err
	}
	var err error
	g.token, err = issuer.Issue(g.client, g.audience, g.scopes, ttl, g.now)
	return err
}
