package manage

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollgate-authz/tollgate/tokens"
)

type createClientInput struct{ Body newClient }

// newClient is a client that is to be made (row I1). The command line takes the same.
type newClient struct {
	Name        string   `json:"name" minLength:"1" maxLength:"200" format:"name" doc:"For people. It is fixed."`
	Scopes      []string `json:"scopes" format:"scope" minItems:"1" maxItems:"100" nullable:"false" doc:"What its tokens may carry." example:"[\"contacts:read\"]"`
	IPAllow     []string `json:"ip_allow,omitempty" format:"ip-range" maxItems:"100" nullable:"false" doc:"Addresses and ranges that it may be used from. Left out: every one." example:"[\"203.0.113.0/24\"]"`
	TokenTTL    int64    `json:"token_ttl,omitempty" minimum:"1" maximum:"31622400" doc:"Lifetime of its tokens in seconds. It is fixed. Left out: as configured."`
	Plan        string   `json:"plan,omitempty" format:"plan" maxLength:"128" default:"default" doc:"Plan of the configuration whose limits apply."`
	Environment string   `json:"environment,omitempty" enum:"production,sandbox" default:"production"`
	Alias       string   `json:"alias,omitempty" minLength:"3" maxLength:"63" pattern:"^[a-z0-9][a-z0-9._-]{2,62}$" patternDescription:"3 to 63 of a-z 0-9 . _ -, starting with a letter or digit" doc:"May stand for its ID. No other client may have it as alias or ID."`
	Account     string   `json:"account,omitempty" maxLength:"128" pattern:"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$" patternDescription:"letters, digits and . _ : / @ -, starting with a letter or digit" doc:"Account that it belongs to; it is made where there is none. Left out: the caller's."`
	Format      string   `json:"format,omitempty" enum:"jwt,opaque,classic" doc:"What its tokens look like. Left out: as configured."`
	Refresh     bool     `json:"refresh,omitempty" doc:"Give refresh tokens along with its tokens; classic clients always get them."`

	prefixes []netip.Prefix
}

// Resolve says what is wrong beyond the types.
func (in *createClientInput) Resolve(huma.Context) (faults []error) {
	b := &in.Body
	faults = append(faultyName("body.name", b.Name, false), faultyScopes("body.scopes", b.Scopes)...)
	return append(faults, readIPs("body.ip_allow", b.IPAllow, &b.prefixes)...)
}

func (a *api) createClient(ctx context.Context, by *caller, in *createClientInput) (*clientAnswer, error) {
	b := &in.Body
	account, err := by.own(b.Account)
	if err != nil {
		return nil, err
	}
	if faults := a.Settings().faultyPlan(b.Plan); faults != nil {
		return nil, faulty(faults...)
	}
	if err := by.requireGrant(b.Scopes); err != nil {
		return nil, err
	}
	format := tokens.Format(b.Format)
	id, secret, err := tokens.NewCredential(format, a.Minter.Random)
	if err != nil {
		return nil, err
	}
	c := &tokens.Client{
		ID: id, Name: b.Name, Alias: b.Alias, Account: account, Plan: b.Plan, Environment: tokens.Environment(b.Environment),
		Scopes: sortedOnce(b.Scopes), TrustedIPs: b.prefixes, TokenTTL: time.Duration(b.TokenTTL) * time.Second, Format: format,
		Refresh: b.Refresh || format == tokens.Classic, Generation: 1, CreatedAt: a.Now(),
		Secrets: []tokens.ClientSecret{{Generation: 1, Hash: a.Minter.Pepper.Hash(secret)}},
	}
	switch err := a.Clients.CreateClient(ctx, c); {
	case errors.Is(err, tokens.ErrAliasTaken):
		return nil, conflict("the alias is another client's alias or ID: take another one")
	case errors.Is(err, tokens.ErrIDTaken):
		return nil, conflict("the client ID that was drawn is taken: send the request again")
	case err != nil:
		return nil, fmt.Errorf("make a client: %w", err)
	}
	a.follow(ctx)
	return answerClient(c, secret), nil
}

// requireGrant refuses scopes that the caller may not give to others.
func (c *caller) requireGrant(scopes []string) error {
	var missing []string
	for _, s := range sortedOnce(scopes) {
		if !c.mayGrant(s) {
			missing = append(missing, s)
		}
	}
	if missing != nil {
		return lacking("nobody grants "+scopePrefix+" scopes that he lacks: some are missing", missing...)
	}
	return nil
}

// named says of what kind a record is that the store does not have.
func named(err error, kind string) error {
	if errors.Is(err, tokens.ErrNotFound) {
		return notFound(kind)
	}
	return err
}
