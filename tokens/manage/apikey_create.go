package manage

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollgate-authz/tollgate/tokens"
)

type createAPIKeyInput struct{ Body newAPIKey }

// newAPIKey is an API key that is to be made. The command line takes the same.
type newAPIKey struct {
	Name        string    `json:"name" minLength:"1" maxLength:"200" format:"name" doc:"For people."`
	Scopes      []string  `json:"scopes,omitempty" format:"scope" maxItems:"100" nullable:"false" doc:"What it may be used for. Left out: routes that ask for no scope." example:"[\"contacts:read\"]"`
	IPAllow     []string  `json:"ip_allow,omitempty" format:"ip-range" maxItems:"100" nullable:"false" doc:"Addresses and ranges that it may be used from. Left out: every one." example:"[\"203.0.113.0/24\"]"`
	APIs        []string  `json:"apis,omitempty" format:"api" maxItems:"100" nullable:"false" doc:"Names of APIs that it is for. Left out: all that take API keys."`
	Plan        string    `json:"plan,omitempty" format:"plan" maxLength:"128" default:"default" doc:"Plan of the configuration whose limits apply."`
	Environment string    `json:"environment,omitempty" enum:"production,sandbox" default:"production"`
	Account     string    `json:"account,omitempty" maxLength:"128" pattern:"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$" patternDescription:"letters, digits and . _ : / @ -, starting with a letter or digit" doc:"Account that it belongs to; it is made where there is none. Left out: the caller's."`
	TTL         int64     `json:"ttl,omitempty" minimum:"1" maximum:"3153600000" doc:"How many seconds it works. Left out, with expires_at: until it is deleted."`
	ExpiresAt   time.Time `json:"expires_at,omitzero" doc:"When it expires, instead of ttl."`

	prefixes []netip.Prefix
}

// TransformSchema says in the OpenAPI file what Resolve refuses.
func (*newAPIKey) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	extend(s, "not", both("ttl", "expires_at"))
	return s
}

// maxKeyLife is far beyond any plan, and within what times can be reckoned with.
const maxKeyLife = 3153600000 * time.Second

// Resolve says what is wrong beyond the types.
func (in *createAPIKeyInput) Resolve(huma.Context) (faults []error) {
	b := &in.Body
	faults = append(faultyName("body.name", b.Name, false), faultyScopes("body.scopes", b.Scopes)...)
	faults = append(faults, readIPs("body.ip_allow", b.IPAllow, &b.prefixes)...)
	return append(faults, faultyExpiry(b.TTL, b.ExpiresAt)...)
}

func (a *api) createAPIKey(ctx context.Context, by *caller, in *createAPIKeyInput) (*apiKeyAnswer, error) {
	b, now := &in.Body, a.Now()
	account, err := by.own(b.Account)
	if err != nil {
		return nil, err
	}
	if err := a.requireUsable(b, now); err != nil {
		return nil, err
	}
	if err := by.requireGrant(b.Scopes); err != nil {
		return nil, err
	}
	k := &tokens.APIKey{
		Name: b.Name, Account: account, Plan: b.Plan, Environment: tokens.Environment(b.Environment), Scopes: sortedOnce(b.Scopes),
		TrustedIPs: b.prefixes, APIs: sortedOnce(b.APIs), CreatedAt: now, ExpiresAt: second(b.ExpiresAt),
	}
	if b.TTL > 0 {
		k.ExpiresAt = now.Add(time.Duration(b.TTL) * time.Second)
	}
	opens := a.opens(k.APIs)
	// The registry may know before the store does that the account has moved.
	if moved := a.movedAt(account, opens); len(moved) == len(opens) || len(moved) > 0 && len(k.APIs) > 0 {
		return nil, conflict(movedRule + ": " + strings.Join(moved, ", "))
	}
	var value tokens.Secret
	if value, k.Hash, k.ID, err = tokens.NewAPIKey(a.Minter.Random); err != nil {
		return nil, err
	}
	switch err := a.APIKeys.CreateAPIKey(ctx, k, opens); {
	case errors.Is(err, tokens.ErrMoved):
		return nil, conflict(movedRule)
	case err != nil:
		return nil, fmt.Errorf("make an API key: %w", err)
	}
	a.follow(ctx)
	return a.answerAPIKey(k, value), nil
}

// movedRule is why no key is made (row I5).
const movedRule = "OAuth 2.0 has taken over: the account uses it where the key is for, so its API keys are refused there and no new ones are made"

// requireUsable refuses a key that would open nothing.
func (a *api) requireUsable(b *newAPIKey, now time.Time) error {
	s := a.Settings()
	if len(s.KeyAPIs) == 0 {
		return conflict("no API of the configuration takes API keys: one needs auth: api_key or auth: any")
	}
	faults := s.faultyPlan(b.Plan)
	for i, name := range b.APIs {
		if !slices.Contains(s.KeyAPIs, name) {
			faults = append(faults, fault{fmt.Sprintf("body.apis[%d]", i), "is no API that takes API keys; there are: " + strings.Join(s.KeyAPIs, ", ")})
		}
	}
	if !b.ExpiresAt.IsZero() && (!second(b.ExpiresAt).After(now) || second(b.ExpiresAt).Sub(now) > maxKeyLife) {
		faults = append(faults, fault{"body.expires_at", "must be in the future, and within 100 years"})
	}
	if faults != nil {
		return faulty(faults...)
	}
	return nil
}
