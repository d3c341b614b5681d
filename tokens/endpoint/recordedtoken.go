package endpoint

import (
	"context"
	"slices"

	"github.com/tollgate-authz/tollgate/tokens"
)

// rotateRecorded puts another token in the place of a recorded one, whose refresh token
// was used: with what was used of its limits, and what else is on its record. As after
// any refresh, the access token before works until it expires.
func (e *endpoint) rotateRecorded(ctx context.Context, g *grant) error {
	m := tokens.Minter{Keys: e.Keys, Pepper: e.Pepper, Random: e.Random}
	counter := g.family.Counter - 1 // of the token that was used
	edit := func(h *tokens.Holding) error {
		switch {
		case h.Family == nil || h.Family.ID != g.family.ID || h.Family.Counter != counter:
			return tokens.ErrSpent
		case !h.Family.Live(g.now) || !h.Grant.RevokedAt.IsZero():
			return tokens.ErrEnded
		case slices.ContainsFunc(h.Grant.Scopes, func(s string) bool { return !slices.Contains(g.scopes, s) && slices.Contains(g.client.Scopes, s) }):
			return invalidScope.because("a recorded token keeps its scopes")
		}
		pair, err := m.Rotate(tokens.Order{
			Format: g.format(), RefreshTTL: g.settings.RefreshTTL, RefreshMax: g.settings.RefreshMaxTTL,
			Claims: tokens.Claims{Generation: g.generation, IssuedAt: g.now, TTL: h.Grant.TTL()},
		}, h, h.Grant.ExpiresAt.Sub(g.now))
		g.access, g.next = pair.Access, pair.Refresh
		return err
	}
	return e.counted(ctx, g, func(ctx context.Context) error {
		_, err := e.Records.EditToken(ctx, g.family.Token, edit)
		return err
	})
}
