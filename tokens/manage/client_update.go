package manage

import (
	"context"
	"net/netip"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollgate-authz/tollgate/tokens"
)

type updateClientInput struct {
	ClientID
	Matching
	Body clientChange
}

// clientChange is what is to become of a client (row I2). What is left out stays.
type clientChange struct {
	Scopes  []string  `json:"scopes,omitempty" format:"scope" minItems:"1" maxItems:"100" nullable:"false" doc:"Scopes, in place of those it has. Its tokens lose those that it loses, and gain none."`
	IPAllow *[]string `json:"ip_allow,omitempty" format:"ip-range" maxItems:"100" nullable:"false" doc:"Addresses and ranges, in place of those it has; none: every one."`
	Status  string    `json:"status,omitempty" enum:"active,suspended" doc:"suspended: its secrets and tokens are refused until it is active again."`

	Name        fixed `json:"name,omitzero" hidden:"true"`
	TokenTTL    fixed `json:"token_ttl,omitzero" hidden:"true"`
	Plan        fixed `json:"plan,omitzero" hidden:"true"`
	Environment fixed `json:"environment,omitzero" hidden:"true"`
	Alias       fixed `json:"alias,omitzero" hidden:"true"`
	Account     fixed `json:"account,omitzero" hidden:"true"`
	Format      fixed `json:"format,omitzero" hidden:"true"`
	Refresh     fixed `json:"refresh,omitzero" hidden:"true"`

	prefixes []netip.Prefix
}

// Resolve says what is wrong beyond the types.
func (in *updateClientInput) Resolve(huma.Context) (faults []error) {
	b := &in.Body
	faults = faultyFixed("is fixed when the client is made, as name and duration are: only scopes and ip_allow can be changed, and status", map[string]fixed{
		"name": b.Name, "token_ttl": b.TokenTTL, "plan": b.Plan, "environment": b.Environment,
		"alias": b.Alias, "account": b.Account, "format": b.Format, "refresh": b.Refresh,
	})
	faults = append(faults, faultyScopes("body.scopes", b.Scopes)...)
	if b.IPAllow != nil {
		faults = append(faults, readIPs("body.ip_allow", *b.IPAllow, &b.prefixes)...)
	}
	return faults
}

func (a *api) updateClient(ctx context.Context, by *caller, in *updateClientInput) (*clientAnswer, error) {
	b := &in.Body
	c, err := a.Clients.EditClient(ctx, in.ID, func(c *tokens.Client) error {
		if err := mayEditClient(by, &in.Matching, c); err != nil {
			return err
		}
		if b.Scopes != nil {
			if err := by.requireGrant(added(b.Scopes, c.Scopes)); err != nil {
				return err
			}
			c.Scopes = sortedOnce(b.Scopes)
		}
		if b.IPAllow != nil {
			c.TrustedIPs = b.prefixes
		}
		if b.Status != "" {
			c.Suspended = b.Status == suspended
		}
		return nil
	})
	if err != nil {
		return nil, named(err, "client")
	}
	a.follow(ctx)
	return answerClient(c, ""), nil
}

// mayEditClient refuses what is another's, and what somebody else has changed since.
func mayEditClient(by *caller, m *Matching, c *tokens.Client) error {
	if !by.sees(c.Account) {
		return notFound("client")
	}
	return m.require(describeClient(c).etag())
}

// added are the scopes that are not there yet.
func added(scopes, there []string) []string {
	return slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return slices.Contains(there, s) })
}

type deleteClientInput struct {
	ClientID
	Matching
}

// deleteClient ends all of its tokens, too.
func (a *api) deleteClient(ctx context.Context, by *caller, in *deleteClientInput) (*struct{}, error) {
	err := a.Clients.DeleteClient(ctx, in.ID, func(c *tokens.Client) error { return mayEditClient(by, &in.Matching, c) })
	if err != nil {
		return nil, named(err, "client")
	}
	a.follow(ctx)
	return nil, nil
}
