package manage

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollgate-authz/tollgate/tokens"
)

type updateTokenInput struct {
	TokenID
	Matching
	Body tokenChange
}

// tokenChange is what is to become of a token (row O2). What is left out stays.
type tokenChange struct {
	Scopes       []string     `json:"scopes,omitempty" format:"scope" minItems:"1" maxItems:"100" nullable:"false" doc:"Scopes, in place of those it has."`
	TTL          int64        `json:"ttl,omitempty" minimum:"1" maximum:"31622400" doc:"Lifetime in seconds, from now on."`
	Limits       limitsChange `json:"limits,omitzero" doc:"Limits to be set; null takes one away. What was used counts on."`
	IPAllow      *[]string    `json:"ip_allow,omitempty" format:"ip-range" maxItems:"100" nullable:"false" doc:"Addresses and ranges, in place of those it has; none: every one that its client may be used from."`
	RefreshToken string       `json:"refresh_token,omitempty" minLength:"1" maxLength:"8192" doc:"Rotates the token: a new pair takes the place of the one that this is of. An old one is refused."`
	Rotate       bool         `json:"rotate,omitempty" doc:"Rotates the token without its refresh token."`
	Overlap      int64        `json:"overlap,omitempty" minimum:"0" maximum:"31622400" doc:"How many seconds a rotated token still works."`

	prefixes []netip.Prefix
}

// TransformSchema says in the OpenAPI file what Resolve refuses.
func (*tokenChange) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	rotate := both("rotate")
	rotate["properties"] = map[string]any{"rotate": map[string]any{"const": true}}
	overlap := both("overlap")
	overlap["properties"] = map[string]any{"overlap": map[string]any{"minimum": 1}}
	overlap["not"] = map[string]any{"anyOf": []any{both("refresh_token"), rotate}}
	twice := both("refresh_token", "rotate")
	twice["properties"] = rotate["properties"]
	extend(s, "not", map[string]any{"anyOf": []any{twice, overlap}})
	return s
}

// limitsChange are limits to be set or taken away.
type limitsChange struct {
	TotalRequests change[int64]     `json:"total_requests,omitzero" minimum:"1" maximum:"1000000000000"`
	PaidRequests  change[int64]     `json:"paid_requests,omitzero" minimum:"1" maximum:"1000000000000"`
	WalletAmount  change[someMoney] `json:"wallet_amount,omitzero"`
	PerMinute     change[int64]     `json:"per_minute,omitzero" minimum:"1" maximum:"2147483647"`
	PerDay        change[int64]     `json:"per_day,omitzero" minimum:"1" maximum:"1000000000000"`
}

func (c *limitsChange) apply(l *tokens.TokenLimits) {
	c.TotalRequests.apply(&l.TotalRequests)
	c.PaidRequests.apply(&l.PaidRequests)
	c.WalletAmount.apply((*someMoney)(&l.WalletAmount))
	c.PerMinute.apply(&l.PerMinute)
	c.PerDay.apply(&l.PerDay)
}

// Resolve says what is wrong beyond the types.
func (in *updateTokenInput) Resolve(huma.Context) (faults []error) {
	b := &in.Body
	faults = faultyScopes("body.scopes", b.Scopes)
	if b.IPAllow != nil {
		faults = append(faults, readIPs("body.ip_allow", *b.IPAllow, &b.prefixes)...)
	}
	if b.RefreshToken != "" && b.Rotate {
		faults = append(faults, wrong("body.rotate", "is sent beside refresh_token: one of them is needed"))
	}
	if b.Overlap != 0 && !b.rotates() {
		faults = append(faults, wrong("body.overlap", "says how long the token before works: rotate or refresh_token is needed"))
	}
	return faults
}

func (b *tokenChange) rotates() bool { return b.RefreshToken != "" || b.Rotate }

func (a *api) updateToken(ctx context.Context, by *caller, in *updateTokenInput) (*tokenAnswer, error) {
	var pair tokens.Pair
	var h *tokens.Holding
	edit := func() (err error) {
		h, err = a.Store.EditToken(ctx, in.ID, func(h *tokens.Holding) (err error) {
			pair, err = a.editToken(by, in, h, second(a.Now()))
			return err
		})
		return err
	}
	var err error
	if in.Body.rotates() {
		err = a.generate(ctx, by, edit)
	} else {
		err = edit()
	}
	if err != nil {
		return nil, named(err, "token")
	}
	a.follow(ctx)
	return a.showToken(ctx, h.Grant, pair)
}

// editToken makes the change, or none of it.
func (a *api) editToken(by *caller, in *updateTokenInput, h *tokens.Holding, now time.Time) (pair tokens.Pair, err error) {
	b, g := &in.Body, h.Grant
	if err := a.seesToken(by, h); err != nil {
		return pair, err
	}
	shown := a.describe(g, now)
	if err := in.Matching.require(shown.etag()); err != nil {
		return pair, err
	}
	client, err := a.clientFor(by, g.Client)
	if err != nil {
		return pair, err
	}
	if err := by.mayTouch(tokens.Environment(shown.Environment)); err != nil {
		return pair, err
	}
	if err := requireAlive(h, client, now, b.rotates()); err != nil {
		return pair, err
	}
	if b.RefreshToken != "" {
		if err := a.requireNewest(h, tokens.Secret(b.RefreshToken), now); err != nil {
			return pair, err
		}
	}
	if b.Scopes != nil {
		scopes := sortedOnce(b.Scopes)
		if err := a.mayGive(by, client, added(scopes, g.Scopes)); err != nil {
			return pair, err
		}
		g.Scopes = scopes
	}
	if b.IPAllow != nil {
		g.SetTrustedIPs(b.prefixes)
	}
	limits := g.Limits()
	b.Limits.apply(&limits)
	g.SetLimits(limits)
	if b.TTL != 0 {
		g.SetTTL(now, time.Duration(b.TTL)*time.Second)
	}
	h.Bind()
	if !b.rotates() {
		return pair, by.mayChange(g)
	}
	if err := a.mayHold(by, client, g); err != nil {
		return pair, err
	}
	issuance := a.Settings().Issuance
	order := issuance.Order(client, now)
	order.Claims.TTL = g.TTL()
	if pair, err = a.Minter.Rotate(order, h, time.Duration(b.Overlap)*time.Second); err != nil {
		return pair, err
	}
	return pair, requireReadable(pair)
}

// requireAlive refuses to change a token that has ended. One that has expired can still
// be rotated, as refresh tokens are for.
func requireAlive(h *tokens.Holding, client *tokens.Client, now time.Time, rotates bool) error {
	if err := h.Ended(client); err != nil {
		return conflict("the token has ended: " + err.Error() + "; make a new one")
	}
	if !rotates && !now.Before(h.Grant.ExpiresAt) {
		return conflict("the token has expired: rotate it, or make a new one")
	}
	return nil
}

// mayChange refuses to change a token that has, and keeps, scopes of this API that the caller
// could not grant: he would take away what an administrator has put around his own token.
func (c *caller) mayChange(g *tokens.Grant) error {
	if err := c.requireGrant(g.Scopes); err != nil {
		return lacking("a token can be changed by who could grant it its "+scopePrefix+" scopes: some are missing", problemOf(err).Scopes...)
	}
	return nil
}

// mayHold refuses to show a token that can do what its caller could not give it: a developer
// would rotate the administrator's token in his account, and be one. His having its refresh
// token changes nothing: at the token endpoint that needs the secret of its client beside it.
// What the client has lost does not count, but of scopes that this API gives a meaning to,
// which it may get back.
func (a *api) mayHold(by *caller, client *tokens.Client, g *tokens.Grant) error {
	var missing []string
	for _, s := range g.Scopes {
		lost := !slices.Contains(client.Scopes, s) && !strings.HasPrefix(s, scopePrefix)
		if !lost && !a.isRouteName(s) && !by.gives(s) {
			missing = append(missing, s)
		}
	}
	if missing != nil {
		return lacking("a token can be rotated by who could give it its scopes: some are missing", missing...)
	}
	return nil
}

// requireNewest refuses a refresh token that is not the token's most recent one. It ends
// nothing: who sends an old one here has proved by his own token who he is.
func (a *api) requireNewest(h *tokens.Holding, refresh tokens.Secret, now time.Time) error {
	family, counter, ours := a.Minter.Pepper.ReadRefreshToken(refresh)
	if f := h.Family; ours && f != nil && f.ID == family && f.Counter == counter && f.Live(now) {
		return nil
	}
	p := newProblem(http.StatusBadRequest, "Invalid refresh token")
	p.Code, p.Error_ = "R1", "invalid_grant"
	return p
}

type deleteTokenInput struct {
	TokenID
	Matching
}

func (a *api) deleteToken(ctx context.Context, by *caller, in *deleteTokenInput) (*struct{}, error) {
	now := a.Now()
	_, err := a.Store.EditToken(ctx, in.ID, func(h *tokens.Holding) error {
		if err := a.seesToken(by, h); err != nil {
			return err
		}
		shown := a.describe(h.Grant, second(now))
		if err := in.Matching.require(shown.etag()); err != nil {
			return err
		}
		if err := by.mayTouch(tokens.Environment(shown.Environment)); err != nil {
			return err
		}
		h.Bind()
		h.End(now)
		return nil
	})
	if err != nil {
		return nil, named(err, "token")
	}
	a.follow(ctx)
	return nil, nil
}
