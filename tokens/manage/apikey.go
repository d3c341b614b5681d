package manage

import (
	"context"
	"slices"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// APIKeys is where API keys are. Errors are those of package tokens, such as ErrNotFound
// and ErrMoved; those of edit and check are returned, and nothing is changed then.
type APIKeys interface {
	APIKey(ctx context.Context, id string) (*tokens.APIKey, error)
	APIKeysPage(ctx context.Context, account string, after tokens.Position, limit int) ([]*tokens.APIKey, error)
	// CreateAPIKey stores a key for the APIs that it would open.
	CreateAPIKey(ctx context.Context, k *tokens.APIKey, opens []string) error
	EditAPIKey(ctx context.Context, id string, edit func(*tokens.APIKey) error) (*tokens.APIKey, error)
	DeleteAPIKey(ctx context.Context, id string, check func(*tokens.APIKey) error) error
}

// APIKey is an API key (row I5).
type APIKey struct {
	ID          string    `json:"id" doc:"Its ID, which is not the key."`
	Name        string    `json:"name" doc:"For people."`
	Account     string    `json:"account" doc:"Account that it belongs to."`
	Environment string    `json:"environment" enum:"production,sandbox"`
	Plan        string    `json:"plan" doc:"Plan whose limits apply."`
	Scopes      []string  `json:"scopes" nullable:"false" doc:"What it may be used for."`
	IPAllow     []string  `json:"ip_allow" nullable:"false" doc:"Addresses that it may be used from; none: every one."`
	APIs        []string  `json:"apis" nullable:"false" doc:"APIs that it is for; none: all that take API keys."`
	RefusedAt   []string  `json:"refused_at" nullable:"false" doc:"APIs, of those that it is for, at which it is refused because its account uses OAuth 2.0 there."`
	CreatedAt   time.Time `json:"created_at"`
	ExpiresAt   time.Time `json:"expires_at,omitzero" doc:"Left out: it works until it is deleted."`
	Status      string    `json:"status" enum:"active,expired"`
}

// apiKeyPair is an API key, and its value where it was just made.
type apiKeyPair struct {
	APIKey
	Value string `json:"api_key,omitempty" doc:"The key. It is shown this once."`
}

// apiKeyAnswer is the answer with one.
type apiKeyAnswer struct {
	ETag string `header:"ETag"`
	Body apiKeyPair
}

func (a *api) describeAPIKey(k *tokens.APIKey) APIKey {
	v := APIKey{
		ID: k.ID, Name: k.Name, Account: k.Account, Environment: string(k.Environment), Plan: k.Plan,
		Scopes: append([]string{}, k.Scopes...), IPAllow: texts(k.TrustedIPs), APIs: append([]string{}, k.APIs...),
		RefusedAt: append([]string{}, a.movedAt(k.Account, a.opens(k.APIs))...), CreatedAt: second(k.CreatedAt), Status: active,
	}
	if !k.ExpiresAt.IsZero() {
		v.ExpiresAt = second(k.ExpiresAt)
		if !a.Now().Before(k.ExpiresAt) {
			v.Status = expired
		}
	}
	return v
}

// etag is that of what of an API key a PATCH can change.
func (k APIKey) etag() string {
	k.RefusedAt, k.Status = nil, ""
	return etagOf(k)
}

// opens are the APIs that a key opens which is for the named ones.
func (a *api) opens(named []string) []string {
	if len(named) > 0 {
		return named
	}
	return a.Settings().KeyAPIs
}

// movedAt are those of the APIs at which an account uses OAuth 2.0.
func (a *api) movedAt(account string, apis []string) []string {
	return slices.DeleteFunc(slices.Clone(apis), func(name string) bool { return !a.Registry.Moved(account, name) })
}

func (a *api) answerAPIKey(k *tokens.APIKey, value tokens.Secret) *apiKeyAnswer {
	v := a.describeAPIKey(k)
	return &apiKeyAnswer{v.etag(), apiKeyPair{v, value.Reveal()}}
}

type listAPIKeysInput struct {
	Listing
	Account string `query:"account" maxLength:"128" doc:"Only API keys of that account."`
}

func (a *api) listAPIKeys(ctx context.Context, by *caller, in *listAPIKeysInput) (*page[APIKey], error) {
	account, err := by.reach(in.Account)
	if err != nil {
		return nil, err
	}
	list, err := a.APIKeys.APIKeysPage(ctx, account, in.after, in.Limit+1)
	if err != nil {
		return nil, err
	}
	return newPage(list, &in.Listing, a.describeAPIKey, (*tokens.APIKey).Position), nil
}

// APIKeyID names an API key in a path.
type APIKeyID struct {
	ID string `path:"id" maxLength:"128" doc:"ID of the API key."`
}

func (a *api) getAPIKey(ctx context.Context, by *caller, in *APIKeyID) (*apiKeyAnswer, error) {
	k, err := a.APIKeys.APIKey(ctx, in.ID)
	switch {
	case err != nil:
		return nil, named(err, "API key")
	case !by.sees(k.Account):
		return nil, notFound("API key")
	}
	return a.answerAPIKey(k, ""), nil
}
