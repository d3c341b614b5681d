package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
	"github.com/tollgate-authz/tollgate/tokens"
	"github.com/tollgate-authz/tollgate/tokens/sqlite"
)

func (a *app) clientSuspend() *cobra.Command {
	return a.suspend("suspend", "Refuse a client's secrets and tokens until it is resumed", true)
}

func (a *app) clientResume() *cobra.Command {
	return a.suspend("resume", "Accept a suspended client's secrets and tokens again", false)
}

func (a *app) suspend(use, short string, suspended bool) *cobra.Command {
	return a.outputFlag(&cobra.Command{
		Use: use + " CLIENT", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withStore(cmd.Context(), func(_ *config.Config, _ secrets, db *sqlite.DB) error {
				client, err := db.EditClient(cmd.Context(), args[0], func(c *tokens.Client) error {
					c.Suspended = suspended
					return nil
				})
				if err != nil {
					return err
				}
				return a.printClient(client)
			})
		},
	})
}

func (a *app) clientSecret() *cobra.Command {
	return group("secret", "Rotate or revoke a client's secret", a.secretRotate(), a.secretRevoke())
}

// secretView is a secret as commands print it.
type secretView struct {
	ClientID   string `json:"client_id"`
	Secret     string `json:"client_secret,omitempty"`
	Generation int64  `json:"generation"`
	OldUntil   string `json:"old_secret_until,omitempty"`
}

func (a *app) secretRotate() *cobra.Command {
	var overlap time.Duration
	c := a.outputFlag(&cobra.Command{
		Use: "rotate CLIENT", Short: "Give a client a new secret; prints it, this once", Args: cobra.ExactArgs(1),
		Long: `Give a client a new secret and print it, this once. The old one works for the time
of --overlap, without it not any more. Tokens made with the old one stay valid: to
end them, revoke it.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if overlap < 0 {
				return usageError{errors.New("--overlap is negative: a time such as 24h is needed")}
			}
			return a.withStore(cmd.Context(), func(_ *config.Config, s secrets, db *sqlite.DB) error {
				client, err := db.Client(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				secret, err := tokens.NewSecret(client.Format, rand.Reader)
				if err != nil {
					return err
				}
				until := time.Now().Add(overlap)
				if client, err = db.AddSecret(cmd.Context(), client.ID, s.pepper.Hash(secret), until); err != nil {
					return err
				}
				if a.wantJSON() {
					return a.printJSON(secretView{client.ID, secret.Reveal(), client.Generation, until.UTC().Format(time.RFC3339)})
				}
				a.printf("client_id:     %s\nclient_secret: %s\n", client.ID, secret.Reveal())
				_, _ = fmt.Fprintln(a.err, "The secret is shown this once: keep it now.")
				return nil
			})
		},
	})
	c.Flags().DurationVar(&overlap, "overlap", 0, "how long the old secret still works (`DURATION`)")
	return c
}

func (a *app) secretRevoke() *cobra.Command {
	var generation int64
	c := a.outputFlag(&cobra.Command{
		Use: "revoke CLIENT", Short: "End a client's secret and every token made with it and before", Args: cobra.ExactArgs(1),
		Long: `End a client's secret and every token that was made with it, or with a secret before
it. The client has no secret then, until it gets one by: client secret rotate.
With --generation an older secret is ended, and those before it.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withStore(cmd.Context(), func(_ *config.Config, _ secrets, db *sqlite.DB) error {
				client, err := db.Client(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if !cmd.Flags().Changed("generation") {
					generation = client.Generation
				}
				if client, err = db.RevokeSecret(cmd.Context(), client.ID, generation); err != nil {
					return err
				}
				if a.wantJSON() {
					return a.printJSON(secretView{ClientID: client.ID, Generation: generation})
				}
				a.printf("revoked the secret of generation %d of %s; tokens made with it and before are refused from now on\n", generation, client.ID)
				return nil
			})
		},
	})
	c.Flags().Int64Var(&generation, "generation", 0, "`NUMBER` of the secret, 1 for the first (default: the newest)")
	return c
}
