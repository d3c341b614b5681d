package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tollgate-authz/tollgate/tokens"
)

// tokenView is a recorded token as commands print it, in the words of contract section 5.
type tokenView struct {
	ID          string     `json:"id"`
	Token       string     `json:"token,omitempty"`
	Name        string     `json:"name"`
	Scopes      []string   `json:"scopes"`
	ClientID    string     `json:"client_id"`
	Account     string     `json:"account"`
	Environment string     `json:"environment"`
	CreatedAt   string     `json:"created_at"`
	ExpiresAt   string     `json:"expires_at"`
	TTL         int64      `json:"ttl"`
	Limits      limitsView `json:"limits"`
	TrustedIPs  []string   `json:"ip_allow"`
	Status      string     `json:"status"`
}

func describeToken(t *tokens.Token, now time.Time) tokenView {
	id := t.Identity()
	limits, _ := id.Limits()
	v := tokenView{
		ID: t.ID, Scopes: append([]string{}, t.Scopes...), ClientID: t.ClientID, Account: id.Account(), Environment: string(id.Environment()),
		CreatedAt: stamp(t.Issued), ExpiresAt: stamp(t.Expires), TTL: int64(t.Expires.Sub(t.Issued).Seconds()),
		Limits: describeLimits(limits), TrustedIPs: prefixTexts(id.TokenIPs()), Status: "active",
	}
	if id.Grant != nil && id.Grant.Terms != nil {
		v.Name = id.Grant.Terms.Name
	}
	switch {
	case t.Expired(now):
		v.Status = "expired"
	case id.Client != nil && id.Client.Suspended:
		v.Status = "suspended" // for as long as its client is
	case id.Ended != nil:
		v.Status = "revoked"
	case id.Lockout(now) != nil:
		v.Status = "locked"
	}
	return v
}

// recordedTable shows recorded tokens.
var recordedTable = table[tokenView]{
	"ID\tNAME\tCLIENT\tSTATUS\tLIMITS\tTRUSTED IPS\tEXPIRES",
	func(v tokenView) []string {
		return []string{v.ID, v.Name, v.ClientID, v.Status, v.Limits.text(), orAnywhere(v.TrustedIPs), v.ExpiresAt}
	},
}

func (a *app) tokenList() *cobra.Command {
	return a.outputFlag(&cobra.Command{
		Use: "list", Short: "List the recorded tokens that have not expired", Args: cobra.NoArgs,
		Long: `List the tokens that are recorded and have not expired, the oldest first: those of
token create, opaque and classic ones, and JWTs that were revoked. Of other JWTs there
is no record.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.recordsConfig()
			if err != nil {
				return err
			}
			views, err := listingTokens.ask(cmd.Context(), c, &struct{}{})
			if err != nil {
				return err
			}
			return recordedTable.print(a, views)
		},
	})
}

var listingTokens = inquiry[struct{}, []tokenView]{"/tokens", func(_ context.Context, n *node, _ *struct{}, _ bool) ([]tokenView, error) {
	views := []tokenView{}
	for _, t := range n.verifier.AllRecorded(n.now()) {
		views = append(views, describeToken(t, n.now()))
	}
	return views, nil
}}

func (a *app) tokenUpdate() *cobra.Command {
	var limits []string
	c := a.outputFlag(&cobra.Command{
		Use: "update ID --limit KIND=AMOUNT", Short: "Change the limits of a recorded token", Args: cobra.ExactArgs(1),
		Long: `Change the limits of a recorded token; token list shows their IDs. Limits that are not
named stay, 0 takes one away. What was used of a limit counts under the new one.

KIND is ` + limitKinds + `.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			edit, err := parseLimits(limits)
			if err != nil {
				return usageError{err}
			}
			if len(edit) == 0 {
				return usageError{errors.New("nothing to change: give --limit, such as --limit per_day=1000")}
			}
			c, err := a.recordsConfig()
			if err != nil {
				return err
			}
			if err := requireStore(c); err != nil {
				return err
			}
			var view tokenView
			err = withNode(cmd.Context(), c, func(n *node) (err error) {
				view, err = n.updateToken(cmd.Context(), args[0], edit)
				return err
			})
			if err != nil {
				return err
			}
			a.follow(cmd.Context(), c)
			if a.wantJSON() {
				return a.printJSON(view)
			}
			return recordedTable.print(a, []tokenView{view})
		},
	})
	c.Flags().StringSliceVar(&limits, "limit", nil, "`KIND=AMOUNT`; several, or separated by commas")
	return c
}

func (n *node) updateToken(ctx context.Context, id string, edit limitEdit) (tokenView, error) {
	_, err := n.store.UpdateTokenLimits(ctx, id, edit.apply)
	if errors.Is(err, tokens.ErrNotFound) {
		return tokenView{}, fmt.Errorf("no token of the ID %q is recorded: token list shows those that are", id)
	}
	if err != nil {
		return tokenView{}, err
	}
	return n.showRecorded(ctx, id)
}

// showRecorded describes a token that was stored a moment ago.
func (n *node) showRecorded(ctx context.Context, id string) (v tokenView, err error) {
	if err := n.registry.Refresh(ctx, n.now()); err != nil {
		return v, err
	}
	t := n.verifier.Recorded(id)
	if t == nil {
		return v, fmt.Errorf("the token %s has just been deleted", id)
	}
	return describeToken(t, n.now()), nil
}
