package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tollgate-authz/tollgate/tokens"
)

func (a *app) lockoutCommand() *cobra.Command {
	return group("lockout", "List and lift lockouts", a.lockoutList(), a.lockoutLift())
}

// lockoutView is a lockout as commands print it.
type lockoutView struct {
	ID       string `json:"id"`     // of the token or API key
	Issuer   string `json:"issuer"` // of the token; empty: an API key
	ClientID string `json:"client_id"`
	Account  string `json:"account"`
	Plan     string `json:"plan"`
	Since    string `json:"since"`
	Until    string `json:"until"`
}

func describeLockout(l *tokens.Lockout) *lockoutView {
	if l == nil {
		return nil
	}
	return &lockoutView{l.Token, l.Issuer, l.Client, l.Account, l.Plan, l.Since.UTC().Format(time.RFC3339), l.Until.UTC().Format(time.RFC3339)}
}

// lockoutTable shows lockouts.
var lockoutTable = table[*lockoutView]{
	"TOKEN ID\tCLIENT\tACCOUNT\tPLAN\tSINCE\tUNTIL\tISSUER",
	func(v *lockoutView) []string {
		return []string{v.ID, v.ClientID, v.Account, v.Plan, v.Since, v.Until, cmp.Or(v.Issuer, "(API key)")}
	},
}

func (a *app) lockoutList() *cobra.Command {
	return a.outputFlag(&cobra.Command{
		Use: "list", Short: "List the tokens and API keys that are locked out", Args: cobra.NoArgs,
		Long: `List the tokens and API keys that are refused because they exceeded their per_minute,
the oldest lockout first. Lockouts of a minute or less are known to the serve that
made them only: without a running serve they are not shown.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.recordsConfig()
			if err != nil {
				return err
			}
			views, err := listingLockouts.ask(cmd.Context(), c, &struct{}{})
			if err != nil {
				return err
			}
			return lockoutTable.print(a, views)
		},
	})
}

var listingLockouts = inquiry[struct{}, []*lockoutView]{"/lockouts", func(_ context.Context, n *node, _ *struct{}, _ bool) ([]*lockoutView, error) {
	views := []*lockoutView{}
	for _, l := range n.registry.Lockouts(n.now()) {
		views = append(views, describeLockout(l))
	}
	return views, nil
}}

// liftQuestion names a lockout.
type liftQuestion struct {
	Token  string  `json:"token"`
	Issuer *string `json:"issuer"` // nil: whichever it is
}

func (a *app) lockoutLift() *cobra.Command {
	var issuer string
	c := a.outputFlag(&cobra.Command{
		Use: "lift ID", Short: "Accept a token or API key again that is locked out", Args: cobra.ExactArgs(1),
		Long: `Accept a token or API key again that is locked out; lockout list shows their IDs. What
it had used of its per_minute is forgotten by the running serve.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.recordsConfig()
			if err != nil {
				return err
			}
			if err := requireStore(c); err != nil {
				return err
			}
			q := &liftQuestion{Token: args[0]}
			if cmd.Flags().Changed("issuer") {
				q.Issuer = &issuer
			}
			lifted, err := lifting.ask(cmd.Context(), c, q)
			if err != nil {
				return err
			}
			if a.wantJSON() {
				return a.printJSON(lifted)
			}
			a.printf("lifted the lockout of %s; it would have lasted until %s\n", lifted.ID, lifted.Until)
			return nil
		},
	})
	c.Flags().StringVar(&issuer, "issuer", "", "`ISSUER` of the token, empty for an API key; needed where an ID is locked out for several")
	return c
}

var lifting = inquiry[liftQuestion, *lockoutView]{"/lift", func(ctx context.Context, n *node, q *liftQuestion, _ bool) (*lockoutView, error) {
	l, err := q.find(n.registry.Lockouts(n.now()))
	if err != nil {
		return nil, err
	}
	return describeLockout(l), n.lift(ctx, l.ID())
}}

// find returns the one lockout that is meant.
func (q *liftQuestion) find(all []*tokens.Lockout) (*tokens.Lockout, error) {
	all = slices.DeleteFunc(all, func(l *tokens.Lockout) bool {
		return l.Token != q.Token || q.Issuer != nil && l.Issuer != *q.Issuer
	})
	switch len(all) {
	case 1:
		return all[0], nil
	case 0:
		return nil, fmt.Errorf("no token or API key of the ID %q is locked out: lockout list shows those that are", q.Token)
	}
	var issuers []string
	for _, l := range all {
		issuers = append(issuers, fmt.Sprintf("--issuer=%q", l.Issuer))
	}
	return nil, fmt.Errorf("several tokens have the ID %q: say which by %s", q.Token, strings.Join(issuers, " or "))
}

// lift ends a lockout, here and in the store.
func (n *node) lift(ctx context.Context, id tokens.LockoutID) error {
	n.liftMu.Lock()
	defer n.liftMu.Unlock()
	// Those that are short, and one that still waits to be stored, are not there.
	if err := n.store.DeleteLockout(ctx, id); err != nil && !errors.Is(err, tokens.ErrNotFound) {
		return err
	}
	n.registry.Unlock(id)
	n.limits.Forgive(n.now(), n.limits.Subject(id.Issuer, id.Token), n.gate.Policy().InMemory())
	// A poll that has read the store before puts it in force again; this one is after it.
	return n.registry.Refresh(ctx, n.now())
}
