package manage

import (
	"context"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// Secrets is where the secrets of clients are.
type Secrets interface {
	// AddSecret gives a client another secret, by its hash; those it has are refused from
	// until on.
	AddSecret(ctx context.Context, client string, hash []byte, until time.Time) (*tokens.Client, error)
	// RevokeSecret ends the secrets up to a generation, and all tokens made with them.
	RevokeSecret(ctx context.Context, client string, generation int64) (*tokens.Client, error)
}

type createSecretInput struct {
	ClientID
	Body *newSecret
}

// newSecret says how a secret is to be made.
type newSecret struct {
	Overlap int64 `json:"overlap,omitempty" minimum:"0" maximum:"31622400" doc:"How many seconds the secrets before still work. Left out: not any more."`
}

// secret is one that was made.
type secret struct {
	ClientID   string    `json:"client_id"`
	Secret     string    `json:"client_secret" doc:"The secret. It is shown this once."`
	Generation int64     `json:"generation" doc:"Counts the secrets of the client."`
	OldUntil   time.Time `json:"old_secret_until,omitzero" doc:"How long the one before works. Left out: there was none."`
}

type secretAnswer struct{ Body secret }

// createSecret leaves the tokens alone that were made with the secrets before.
func (a *api) createSecret(ctx context.Context, by *caller, in *createSecretInput) (*secretAnswer, error) {
	c, err := a.findClient(ctx, by, in.ID)
	if err != nil {
		return nil, err
	}
	value, err := tokens.NewSecret(c.Format, a.Minter.Random)
	if err != nil {
		return nil, err
	}
	until := second(a.Now())
	if in.Body != nil {
		until = until.Add(time.Duration(in.Body.Overlap) * time.Second)
	}
	if c, err = a.Secrets.AddSecret(ctx, c.ID, a.Minter.Pepper.Hash(value), until); err != nil {
		return nil, named(err, "client")
	}
	a.follow(ctx)
	made := secret{ClientID: c.ID, Secret: value.Reveal(), Generation: c.Generation}
	if len(c.Secrets) > 1 {
		made.OldUntil = second(c.Secrets[1].Until)
	}
	return &secretAnswer{made}, nil
}

// deleteSecret ends every secret of the client, and with them all of its tokens (row V2).
func (a *api) deleteSecret(ctx context.Context, by *caller, in *ClientID) (*struct{}, error) {
	c, err := a.findClient(ctx, by, in.ID)
	if err != nil {
		return nil, err
	}
	if _, err := a.Secrets.RevokeSecret(ctx, c.ID, c.Generation); err != nil {
		return nil, named(err, "client")
	}
	a.follow(ctx)
	return nil, nil
}
