package endpoint

import (
	"context"

	"github.com/tollgate-authz/tollgate/tokens"
)

// issue makes the tokens of a request that was granted, counts them, and has what of
// them must be known stored before anybody sees them. A JWT without a refresh token
// beside it writes nothing at all.
func (e *endpoint) issue(ctx context.Context, g *grant, store func(context.Context, *tokens.Family, *tokens.Grant) error) error {
	claims := tokens.Claims{
		Client: g.client.ID, Audience: g.audience, Scopes: g.scopes, Generation: g.generation, IssuedAt: g.now, TTL: g.lifetime(),
	}
	if f := g.family; f != nil {
		claims.Family = f.ID
		f.Generation, f.RotatedAt = g.generation, g.now
		f.IdleUntil, f.TokensUntil = g.now.Add(g.settings.RefreshTTL), g.now.Add(claims.TTL)
		var err error
		if g.next, err = e.Pepper.RefreshToken(f.ID, f.Counter); err != nil {
			return err
		}
	}
	access, record, err := e.Keys.Mint(g.format(), claims, nil, e.Random)
	if err != nil {
		return err
	}
	g.access = access
	if g.family == nil && record == nil {
		done, err := e.turns.take(ctx, g.client.ID)
		if err != nil {
			return err
		}
		defer done()
		return e.generations(e.Limits.Take, g)
	}
	return e.counted(ctx, g, func(ctx context.Context) error { return store(ctx, g.family, record) })
}

// counted stores what was made for a request, and counts it.
func (e *endpoint) counted(ctx context.Context, g *grant, store func(context.Context) error) error {
	done, err := e.turns.take(ctx, g.client.ID)
	if err != nil {
		return err
	}
	defer done()
	// Only what succeeds is counted (row I4): were failures of the store counted too,
	// it would refuse its clients for a minute after it is back.
	if err := e.generations(e.Limits.Look, g); err != nil {
		return err
	}
	if err := store(ctx); err != nil {
		return err
	}
	// It is this client's turn: the limit is as it was. Should another client have
	// taken the last room in the table, this one token is not counted, for what it
	// was bought with is spent.
	_ = e.generations(e.Limits.Take, g)
	return nil
}
