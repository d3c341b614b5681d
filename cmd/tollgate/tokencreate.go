package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tollgate-authz/tollgate/tokens"
)

// tokenFlags are what token create takes.
type tokenFlags struct {
	client string
	scopes []string
	ttl    time.Duration
	limits []string
	ips    []string
	terms  tokens.Terms
}

func (a *app) tokenCreate() *cobra.Command {
	var f tokenFlags
	c := a.outputFlag(&cobra.Command{
		Use: "create --client CLIENT --name NAME", Short: "Create an access token with limits of its own; prints it, this once", Args: cobra.NoArgs,
		Long: `Create an access token for a client, in the client's format, and print it, this once,
with the refresh token that rotates it. Revoking the client's newest secret ends it too. Its own limits and trusted addresses
apply beside those of the client: a request must meet all of them.

KIND is ` + limitKinds + `; wallet_amount is
money, such as 10.00, that it may spend of its account's wallet.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch flags := cmd.Flags(); {
			case f.client == "":
				return usageError{errors.New("--client is needed: the ID or the alias of the client that the token is for")}
			case f.terms.Name == "":
				return usageError{errors.New("--name is needed: by it people know the token again")}
			case flags.Changed("ip") && len(f.ips) == 0:
				return usageError{errors.New("--ip is empty: an address or range is needed; leave the flag out for every address that its client trusts")}
			case flags.Changed("scope") && len(f.scopes) == 0:
				return usageError{errors.New("--scope is empty: a scope is needed; leave the flag out for all that its client has")}
			case flags.Changed("ttl") && (f.ttl <= 0 || f.ttl%time.Second != 0):
				return usageError{fmt.Errorf("--ttl %s: whole seconds, such as 12h, are needed; leave the flag out for the lifetime that its client's tokens have", f.ttl)}
			}
			return a.createToken(cmd.Context(), &f)
		},
	})
	flags := c.Flags()
	flags.StringVar(&f.client, "client", "", "`CLIENT` that the token is for, its ID or alias")
	flags.StringVar(&f.terms.Name, "name", "", "`NAME` for people")
	flags.StringSliceVar(&f.scopes, "scope", nil, "`SCOPE` that it has; several, or separated by commas (default: all that its client has)")
	flags.DurationVar(&f.ttl, "ttl", 0, "lifetime (`DURATION`; default: as other tokens of its client)")
	flags.StringSliceVar(&f.limits, "limit", nil, "`KIND=AMOUNT`; several, or separated by commas")
	flags.StringSliceVar(&f.ips, "ip", nil, "trusted address or range (`CIDR`) of those that its client trusts; none: all of them")
	return c
}

func (a *app) createToken(ctx context.Context, f *tokenFlags) (err error) {
	edit, faultyLimits := parseLimits(f.limits)
	for kind, amount := range edit {
		if amount == 0 {
			faultyLimits = errors.Join(faultyLimits, fmt.Errorf("--limit %s=0: an amount from 1 on is needed; leave it out for no limit", kind))
		}
	}
	edit.apply(&f.terms.Limits)
	var faultyIPs error
	f.terms.TrustedIPs, faultyIPs = parseIPs(f.ips)
	f.scopes = tidyScopes(f.scopes)
	if err := errors.Join(faultyLimits, faultyIPs); err != nil {
		return usageError{err}
	}
	var view tokenView
	if err := a.onRecords(ctx, func(n *node) (err error) { view, err = n.createToken(ctx, f); return err }); err != nil {
		return err
	}
	if a.wantJSON() {
		return a.printJSON(view)
	}
	a.printf("id:            %s\ntoken:         %s\nrefresh_token: %s\n", view.ID, view.Token, view.RefreshToken)
	_, _ = fmt.Fprintln(a.err, "The tokens are shown this once: keep them now.")
	return nil
}

// createToken makes a token as the token endpoint would, but for its terms.
func (n *node) createToken(ctx context.Context, f *tokenFlags) (tokenView, error) {
	client := n.registry.Client(f.client)
	if err := f.check(client); err != nil {
		return tokenView{}, err
	}
	order := n.managed.Load().Order(client, n.now())
	order.Terms, order.Claims.Scopes = f.terms, f.scopes
	if len(f.scopes) == 0 {
		order.Claims.Scopes = client.Scopes
	}
	if f.ttl > 0 {
		order.Claims.TTL = f.ttl
	}
	pair, made, err := n.minter().Make(order)
	if err != nil {
		return tokenView{}, err
	}
	if err := errors.Join(made.Grant.Validate()...); err != nil {
		return tokenView{}, usageError{err}
	}
	if err := n.store.AddTokens(ctx, made.Family, made.Grant); err != nil {
		return tokenView{}, err
	}
	view, err := n.showRecorded(ctx, made.Grant.ID)
	return view.with(pair), err
}

func (n *node) minter() *tokens.Minter {
	return &tokens.Minter{Keys: n.keys, Pepper: n.pepper, Random: rand.Reader}
}

// check asks for a client that could get such a token by itself.
func (f *tokenFlags) check(client *tokens.Client) error {
	switch {
	case client == nil:
		return fmt.Errorf("client %q: %w", f.client, tokens.ErrNotFound)
	case client.Suspended:
		return fmt.Errorf("client %s is suspended: its tokens are refused until client resume", client.ID)
	case client.Generation <= client.Ended:
		return fmt.Errorf("client %s has no secret that its tokens could end with: give it one by client secret rotate", client.ID)
	}
	return requireScopes(client, f.scopes)
}

// requireScopes asks that the client has scopes that its token is to have.
func requireScopes(client *tokens.Client, scopes []string) error {
	for _, scope := range scopes {
		if !slices.Contains(client.Scopes, scope) {
			return usageError{fmt.Errorf("--scope %s: the client %s does not have it; it has %s", scope, client.ID, strings.Join(client.Scopes, ", "))}
		}
	}
	return nil
}
