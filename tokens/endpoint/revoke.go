package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/tollgate-authz/tollgate/tokens"
)

const pathRevoke = "/oauth2/revoke"

// revoke answers RFC 7009: when it has answered, the token is refused. The answer to a
// token that is unknown, has expired or is another client's is the same (section
// 2.2): there is nothing of the caller's that could still be used.
func (e *endpoint) revoke(r *http.Request, ev *Event) (answer, error) {
	g, err := e.begin(oauth2Token, r, ev)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := storeContext(r)
	defer cancel()
	switch {
	case g.ends(e.authenticateClient(ctx, g)):
	case g.ends(e.revokeToken(ctx, g)):
	}
	return answer{status: http.StatusOK}, g.err
}

// revokeToken finds out by itself what kind of token it is: token_type_hint is no
// more than a hint.
func (e *endpoint) revokeToken(ctx context.Context, g *grant) error {
	if id, _, ours := e.Pepper.ReadRefreshToken(g.token); ours {
		f, err := e.Records.Family(ctx, id)
		switch {
		case errors.Is(err, tokens.ErrNotFound):
			return nil
		case err != nil:
			return fmt.Errorf("look up a refresh token: %w", err)
		case f.Client != g.client.ID:
			return nil
		}
		return e.Records.EndFamily(ctx, id)
	}
	t, err := e.verifyOwn(ctx, g)
	switch {
	case errors.Is(err, tokens.ErrInvalid):
		return nil
	case err != nil:
		return fmt.Errorf("read the token to be revoked: %w", err)
	case t.ClientID != g.client.ID, t.Identity().Expired(g.now):
		return nil
	case endedForGood(t.Identity()): // who asks again and again need not make us write each time
		return nil
	}
	return e.Records.RevokeToken(ctx, t.Record())
}

// verifyOwn reads a token that was issued here, perhaps a moment ago by another process.
// Other issuers are not told of it.
func (e *endpoint) verifyOwn(ctx context.Context, g *grant) (*tokens.Token, error) {
	t, err := e.Tokens.VerifyOwn(ctx, g.token.Reveal(), g.now)
	if !errors.Is(err, tokens.ErrInvalid) {
		return t, err
	}
	if err := e.Records.Follow(ctx); err != nil {
		return nil, fmt.Errorf("look for a token issued elsewhere: %w", err)
	}
	return e.Tokens.VerifyOwn(ctx, g.token.Reveal(), g.now)
}

// endedForGood leaves out suspension, which ends: the token must not come back with
// its client.
func endedForGood(id *tokens.Identity) bool {
	return id.Ended != nil && (id.Client == nil || !id.Client.Suspended)
}
