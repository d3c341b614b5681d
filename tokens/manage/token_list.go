package manage

import (
	"context"
	"fmt"

	"github.com/tollgate-authz/tollgate/tokens"
)

// Usage tells what is used of the limits that tokens have of their own, as far as is
// known, in the order of the tokens.
type Usage interface {
	Used(ctx context.Context, list []*tokens.Token) ([]tokens.TokenLimits, error)
}

type listTokensInput struct {
	Listing
	Account  string `query:"account" maxLength:"128" doc:"Only tokens of that account."`
	ClientID string `query:"client_id" maxLength:"128" doc:"Only tokens of that client."`
}

func (a *api) listTokens(ctx context.Context, by *caller, in *listTokensInput) (*page[Token], error) {
	account, err := by.reach(in.Account)
	if err != nil {
		return nil, err
	}
	grants, err := a.Store.TokensPage(ctx, account, in.ClientID, in.after, in.Limit+1)
	if err != nil {
		return nil, err
	}
	now := a.Now()
	answer := newPage(grants, &in.Listing, func(g *tokens.Grant) Token { return a.describe(g, now) }, (*tokens.Grant).Position)
	return answer, a.fillUsed(ctx, grants, answer.Body.Data)
}

// fillUsed adds what is used of the limits of tokens.
func (a *api) fillUsed(ctx context.Context, grants []*tokens.Grant, shown []Token) error {
	var limited []*tokens.Token
	var places []int
	for i := range shown {
		if grants[i].Limits() != (tokens.TokenLimits{}) {
			limited, places = append(limited, a.Tokens.Held(grants[i])), append(places, i)
		}
	}
	if len(limited) == 0 {
		return nil
	}
	used, err := a.Usage.Used(ctx, limited)
	if err != nil {
		return fmt.Errorf("ask what is used of the limits of tokens: %w", err)
	}
	for i, place := range places {
		shown[place].Used = newLimits(grants[place].Limits(), used[i])
	}
	return nil
}

type TokenID struct {
	ID string `path:"id" maxLength:"128" doc:"ID of the token."`
}

func (a *api) getToken(ctx context.Context, by *caller, in *TokenID) (*tokenAnswer, error) {
	h, err := a.findToken(ctx, by, in.ID)
	if err != nil {
		return nil, err
	}
	return a.showToken(ctx, h.Grant, tokens.Pair{})
}

// findToken returns a token that the caller may know of.
func (a *api) findToken(ctx context.Context, by *caller, id string) (*tokens.Holding, error) {
	h, err := a.Store.Token(ctx, id)
	if err != nil {
		return nil, named(err, "token")
	}
	return h, a.seesToken(by, h)
}

// seesToken refuses a token of an account that the caller does not see.
func (a *api) seesToken(by *caller, h *tokens.Holding) error {
	if client := a.Registry.Client(h.Grant.Client); client == nil || !by.sees(client.Account) {
		return notFound("token")
	}
	return nil
}

// showToken is the answer with a token as it is now.
func (a *api) showToken(ctx context.Context, g *tokens.Grant, p tokens.Pair) (*tokenAnswer, error) {
	shown := []Token{a.describe(g, a.Now())}
	if err := a.fillUsed(ctx, []*tokens.Grant{g}, shown); err != nil {
		return nil, err
	}
	return a.answer(shown[0], p), nil
}
