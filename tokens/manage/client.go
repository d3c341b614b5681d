package manage

import (
	"context"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// Clients is where clients are. What names one is its ID or its alias. Errors are those of
// package tokens, such as ErrNotFound, ErrAliasTaken and ErrIDTaken; those of edit and
// check are returned, and nothing is changed then.
type Clients interface {
	Client(ctx context.Context, idOrAlias string) (*tokens.Client, error)
	ClientsPage(ctx context.Context, account string, after tokens.Position, limit int) ([]*tokens.Client, error)
	CreateClient(ctx context.Context, c *tokens.Client) error
	EditClient(ctx context.Context, idOrAlias string, edit func(*tokens.Client) error) (*tokens.Client, error)
	DeleteClient(ctx context.Context, idOrAlias string, check func(*tokens.Client) error) error
}

// Client is a client: a credential and what its tokens may do (row I2).
type Client struct {
	ID          string    `json:"id" doc:"Its ID."`
	ClientID    string    `json:"client_id" doc:"Its ID, in the word of the token endpoint."`
	Name        string    `json:"name" doc:"For people."`
	Alias       string    `json:"alias,omitempty" doc:"May stand for its ID, here and at the token endpoint. Left out: none."`
	Account     string    `json:"account" doc:"Account that it belongs to."`
	Environment string    `json:"environment" enum:"production,sandbox"`
	Plan        string    `json:"plan" doc:"Plan whose limits apply."`
	Scopes      []string  `json:"scopes" nullable:"false" doc:"What its tokens may carry."`
	IPAllow     []string  `json:"ip_allow" nullable:"false" doc:"Addresses that it may be used from; none: every one."`
	TokenTTL    int64     `json:"token_ttl,omitempty" doc:"Lifetime of its tokens, in seconds. Left out: as configured."`
	Format      string    `json:"format,omitempty" enum:"jwt,opaque,classic" doc:"What its tokens look like. Left out: as configured."`
	Refresh     bool      `json:"refresh" doc:"Refresh tokens come with its tokens."`
	Status      string    `json:"status" enum:"active,suspended,without_secret" doc:"suspended: its secrets and tokens are refused. without_secret: the last one was revoked; it needs a new one."`
	CreatedAt   time.Time `json:"created_at"`
}

// clientPair is a client, and its secret where it was just made.
type clientPair struct {
	Client
	Secret string `json:"client_secret,omitempty" doc:"Its secret. It is shown this once."`
}

// clientAnswer is the answer with one.
type clientAnswer struct {
	ETag string `header:"ETag"`
	Body clientPair
}

// The statuses of clients, API keys and users.
const (
	active        = "active"
	suspended     = "suspended"
	expired       = "expired"
	withoutSecret = "without_secret"
)

func describeClient(c *tokens.Client) Client {
	v := Client{
		ID: c.ID, ClientID: c.ID, Name: c.Name, Alias: c.Alias, Account: c.Account, Environment: string(c.Environment), Plan: c.Plan,
		Scopes: append([]string{}, c.Scopes...), IPAllow: texts(c.TrustedIPs), TokenTTL: int64(c.TokenTTL / time.Second),
		Format: string(c.Format), Refresh: c.Refresh, Status: active, CreatedAt: second(c.CreatedAt),
	}
	switch {
	case c.Suspended:
		v.Status = suspended
	case len(c.Secrets) == 0:
		v.Status = withoutSecret
	}
	return v
}

// etag is that of what of a client a PATCH can change.
func (c Client) etag() string {
	if c.Status == withoutSecret {
		c.Status = active
	}
	return etagOf(c)
}

func answerClient(c *tokens.Client, secret tokens.Secret) *clientAnswer {
	v := describeClient(c)
	return &clientAnswer{v.etag(), clientPair{v, secret.Reveal()}}
}

type listClientsInput struct {
	Listing
	Account string `query:"account" maxLength:"128" doc:"Only clients of that account."`
}

func (a *api) listClients(ctx context.Context, by *caller, in *listClientsInput) (*page[Client], error) {
	account, err := by.reach(in.Account)
	if err != nil {
		return nil, err
	}
	list, err := a.Clients.ClientsPage(ctx, account, in.after, in.Limit+1)
	if err != nil {
		return nil, err
	}
	return newPage(list, &in.Listing, describeClient, (*tokens.Client).Position), nil
}

// ClientID names a client in a path.
type ClientID struct {
	ID string `path:"id" maxLength:"128" doc:"ID or alias of the client."`
}

func (a *api) getClient(ctx context.Context, by *caller, in *ClientID) (*clientAnswer, error) {
	c, err := a.findClient(ctx, by, in.ID)
	if err != nil {
		return nil, err
	}
	return answerClient(c, ""), nil
}

// findClient returns a client that the caller may know of.
func (a *api) findClient(ctx context.Context, by *caller, id string) (*tokens.Client, error) {
	c, err := a.Clients.Client(ctx, id)
	if err != nil {
		return nil, named(err, "client")
	}
	if !by.sees(c.Account) {
		return nil, notFound("client")
	}
	return c, nil
}
