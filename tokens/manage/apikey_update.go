package manage

import (
	"context"
	"net/netip"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollgate-authz/tollgate/tokens"
)

type updateAPIKeyInput struct {
	APIKeyID
	Matching
	Body apiKeyChange
}

// apiKeyChange is what is to become of an API key. What is left out stays.
type apiKeyChange struct {
	Scopes  *[]string `json:"scopes,omitempty" format:"scope" maxItems:"100" nullable:"false" doc:"Scopes, in place of those it has."`
	IPAllow *[]string `json:"ip_allow,omitempty" format:"ip-range" maxItems:"100" nullable:"false" doc:"Addresses and ranges, in place of those it has; none: every one."`

	Name        fixed `json:"name,omitzero" hidden:"true"`
	APIs        fixed `json:"apis,omitzero" hidden:"true"`
	Plan        fixed `json:"plan,omitzero" hidden:"true"`
	Environment fixed `json:"environment,omitzero" hidden:"true"`
	Account     fixed `json:"account,omitzero" hidden:"true"`
	TTL         fixed `json:"ttl,omitzero" hidden:"true"`
	ExpiresAt   fixed `json:"expires_at,omitzero" hidden:"true"`

	prefixes []netip.Prefix
}

// Resolve says what is wrong beyond the types.
func (in *updateAPIKeyInput) Resolve(huma.Context) (faults []error) {
	b := &in.Body
	faults = faultyFixed("is fixed when the key is made: only scopes and ip_allow can be changed", map[string]fixed{
		"name": b.Name, "apis": b.APIs, "plan": b.Plan, "environment": b.Environment, "account": b.Account, "ttl": b.TTL, "expires_at": b.ExpiresAt,
	})
	if b.Scopes != nil {
		faults = append(faults, faultyScopes("body.scopes", *b.Scopes)...)
	}
	if b.IPAllow != nil {
		faults = append(faults, readIPs("body.ip_allow", *b.IPAllow, &b.prefixes)...)
	}
	return faults
}

func (a *api) updateAPIKey(ctx context.Context, by *caller, in *updateAPIKeyInput) (*apiKeyAnswer, error) {
	b := &in.Body
	k, err := a.APIKeys.EditAPIKey(ctx, in.ID, func(k *tokens.APIKey) error {
		if err := a.mayEditAPIKey(by, &in.Matching, k); err != nil {
			return err
		}
		if b.Scopes != nil {
			if err := by.requireGrant(added(*b.Scopes, k.Scopes)); err != nil {
				return err
			}
			k.Scopes = sortedOnce(*b.Scopes)
		}
		if b.IPAllow != nil {
			k.TrustedIPs = b.prefixes
		}
		return nil
	})
	if err != nil {
		return nil, named(err, "API key")
	}
	a.follow(ctx)
	return a.answerAPIKey(k, ""), nil
}

// mayEditAPIKey refuses what is another's, and what somebody else has changed since.
func (a *api) mayEditAPIKey(by *caller, m *Matching, k *tokens.APIKey) error {
	if !by.sees(k.Account) {
		return notFound("API key")
	}
	return m.require(a.describeAPIKey(k).etag())
}

type deleteAPIKeyInput struct {
	APIKeyID
	Matching
}

func (a *api) deleteAPIKey(ctx context.Context, by *caller, in *deleteAPIKeyInput) (*struct{}, error) {
	err := a.APIKeys.DeleteAPIKey(ctx, in.ID, func(k *tokens.APIKey) error { return a.mayEditAPIKey(by, &in.Matching, k) })
	if err != nil {
		return nil, named(err, "API key")
	}
	a.follow(ctx)
	return nil, nil
}
