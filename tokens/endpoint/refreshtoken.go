package endpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// refreshToken answers the grant of RFC 6749 section 6 (row D4): each use gives a new
// pair of tokens, and the refresh token that was used is spent.
func (e *endpoint) refreshToken(ctx context.Context, g *grant) error {
	switch { // the cases run in order; the first objection ends the request
	case g.ends(e.authenticateClient(ctx, g)):
	case g.ends(e.requireFewGenerations(g)):
	case g.ends(e.spendDay(ctx, g)):
	case g.ends(e.requireFamily(ctx, g)): // invalid_grant; a token that was used before ends the family
	case g.ends(g.requireFamilyScope()):
	case g.ends(g.requireSameTarget()):
	case g.ends(e.rotate(ctx, g)): // of any number at once, one succeeds
	}
	return g.err
}

// requireFamily finds the family of which this is the most recent refresh token.
func (e *endpoint) requireFamily(ctx context.Context, g *grant) error {
	id, counter, ours := e.Pepper.ReadRefreshToken(g.refresh)
	if !ours {
		return g.withoutRefresh(nil, invalidGrant.because("not a refresh token of ours"))
	}
	f, err := e.Records.Family(ctx, id)
	if err == nil || errors.Is(err, tokens.ErrNotFound) {
		if no := g.withoutRefresh(f, nil); no != nil {
			return no
		}
	}
	switch {
	case errors.Is(err, tokens.ErrNotFound):
		return invalidGrant.because("the refresh token's family is gone")
	case err != nil:
		return fmt.Errorf("look up a refresh token: %w", err)
	case f.Client != g.client.ID:
		return invalidGrant.because("a refresh token of another client")
	case !f.Live(g.now):
		return invalidGrant.because("the refresh token has expired or ended")
	case f.Generation <= g.client.Ended:
		return invalidGrant.because("the secret it was made with has been revoked")
	case counter < f.Counter:
		return e.endReused(ctx, g, f)
	case counter > f.Counter: // the store was restored from a backup
		return invalidGrant.because("a refresh token that the store does not know yet")
	case tokens.LastRefresh(f.ID, counter):
		return invalidGrant.because("the family has no more refresh tokens")
	}
	g.family = f
	return nil
}

// withoutRefresh refuses a client that has no refresh tokens, but for those of recorded
// tokens, which every client's have.
func (g *grant) withoutRefresh(f *tokens.Family, otherwise error) error {
	if !g.client.Refresh && (f == nil || f.Client != g.client.ID || f.Token == "") {
		return unauthorized.because("a client without refresh tokens")
	}
	return otherwise
}

// endReused ends a family of which a spent refresh token was used: somebody has
// stolen it, or the one after it (RFC 9700 section 4.14.2). Requests that were under
// way when it was spent are one caller's who asks twice, and end nothing.
func (e *endpoint) endReused(ctx context.Context, g *grant, f *tokens.Family) error {
	if g.now.Before(f.RotatedAt) || e.rotations.during(f.ID, g.now) {
		return invalidGrant.because("a refresh token used twice at once")
	}
	if err := e.Records.EndFamily(ctx, f.ID); err != nil {
		return fmt.Errorf("end the family of a refresh token that was used before: %w", err)
	}
	return invalidGrant.because("a refresh token that was used before; its family is ended")
}

// requireFamilyScope narrows the scope, if that was asked for. The refresh token keeps
// its own (RFC 6749 section 6). What the client has lost is not given again. A recorded
// token may be for nothing but routes that ask for no scope: its client has none of those.
func (g *grant) requireFamilyScope() (err error) {
	left := scopesLeft(g.family, g.client)
	if len(left) == 0 && g.family.Token == "" {
		return invalidScope.because("the client has lost every scope of this refresh token")
	}
	g.scopes, err = choose(g.scope, left)
	return err
}

// scopesLeft are those of the family that its client still has.
func scopesLeft(f *tokens.Family, c *tokens.Client) []string {
	return slices.DeleteFunc(slices.Clone(f.Scopes), func(s string) bool { return !slices.Contains(c.Scopes, s) })
}

func (g *grant) requireSameTarget() error {
	if g.audience = g.family.Audience; g.resource != "" && g.resource != g.audience {
		return anotherTarget.because("not the resource of this refresh token")
	}
	return nil
}

func (e *endpoint) rotate(ctx context.Context, g *grant) error {
	next := *g.family
	next.Counter++
	g.family = &next
	e.rotations.begin(next.ID)
	defer func() { e.rotations.end(next.ID, e.Now()) }()
	var err error
	if next.Token != "" {
		err = e.rotateRecorded(ctx, g)
	} else {
		err = e.issue(ctx, g, e.Records.RotateFamily)
	}
	switch {
	case errors.Is(err, tokens.ErrSpent): // it was not yet when this request began
		return invalidGrant.because("a refresh token used twice at once")
	case errors.Is(err, tokens.ErrEnded), errors.Is(err, tokens.ErrNotFound):
		return invalidGrant.because("the refresh token has expired or ended")
	}
	return err
}

// rotations remembers when families were rotated here: up to the moment at which
// the others could know. It is bounded by the rate of rotations and forgets what is
// older than any request.
type rotations struct {
	mu       sync.Mutex
	families map[string]*rotation
	swept    time.Time
}

type rotation struct {
	running int
	ended   time.Time
}

func (r *rotations) begin(family string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.families == nil {
		r.families = map[string]*rotation{}
	}
	if r.families[family] == nil {
		r.families[family] = &rotation{}
	}
	r.families[family].running++
}

func (r *rotations) end(family string, now time.Time) {
	const longest = 4 * storeTimeout // a request's whole time
	r.mu.Lock()
	defer r.mu.Unlock()
	r.families[family].running--
	r.families[family].ended = now
	if now.Sub(r.swept) < longest {
		return
	}
	r.swept = now
	for id, one := range r.families {
		if one.running == 0 && now.Sub(one.ended) > longest {
			delete(r.families, id)
		}
	}
}

// during reports whether the family was being rotated when a request began, or later.
func (r *rotations) during(family string, began time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.families[family]
	return one != nil && (one.running > 0 || began.Before(one.ended))
}
