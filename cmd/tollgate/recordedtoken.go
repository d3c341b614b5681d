package main

import (
	"context"
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

	RefreshToken string `json:"refresh_token,omitempty"`
}

// with adds what its holder is shown once.
func (v tokenView) with(p tokens.Pair) tokenView {
	v.Token, v.RefreshToken = p.Access.Bearer.Reveal(), p.Refresh.Reveal()
	return v
}

func describeToken(t *tokens.Token, now time.Time) tokenView {
	id := t.Identity()
	limits, _ := id.Limits()
	v := tokenView{
		ID: t.ID, Scopes: append([]string{}, t.Scopes...), ClientID: t.ClientID, Account: id.Account(), Environment: string(id.Environment()),
		CreatedAt: stamp(t.Issued), ExpiresAt: stamp(id.Expires()), TTL: int64(id.TTL().Seconds()),
		Limits: describeLimits(limits), TrustedIPs: prefixTexts(id.TokenIPs()), Status: "active",
	}
	if id.Grant != nil && id.Grant.Terms != nil {
		v.Name = id.Grant.Terms.Name
	}
	switch {
	case id.Expired(now):
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
