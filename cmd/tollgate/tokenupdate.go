package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/tollgate-authz/tollgate/tokens"
)

// tokenEdit is what token update takes.
type tokenEdit struct {
	limits   []string
	scopes   []string
	ips      []string
	anywhere bool
	ttl      time.Duration
	rotate   bool
	overlap  time.Duration

	newLimits limitEdit
	newIPs    *[]netip.Prefix
}

func (a *app) tokenUpdate() *cobra.Command {
	var e tokenEdit
	c := a.outputFlag(&cobra.Command{
		Use: "update ID", Short: "Change a recorded token, or rotate it", Args: cobra.ExactArgs(1),
		Long: `Change a recorded token; token list shows their IDs. What is not named stays. Limits that
are 0 are taken away; what was used of a limit counts under the new one.

--rotate prints another token, which takes the place of this one with what was used of
its limits, and another refresh token.

KIND is ` + limitKinds + `.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := e.check(cmd); err != nil {
				return usageError{err}
			}
			var view tokenView
			err := a.onRecords(cmd.Context(), func(n *node) (err error) {
				view, err = n.updateToken(cmd.Context(), args[0], &e)
				return err
			})
			if err != nil {
				return err
			}
			switch {
			case a.wantJSON():
				return a.printJSON(view)
			case e.rotate:
				a.printf("id:            %s\ntoken:         %s\nrefresh_token: %s\n", view.ID, view.Token, view.RefreshToken)
				_, _ = fmt.Fprintln(a.err, "The tokens are shown this once: keep them now.")
				return nil
			}
			return recordedTable.print(a, []tokenView{view})
		},
	})
	flags := c.Flags()
	flags.StringSliceVar(&e.limits, "limit", nil, "`KIND=AMOUNT`; several, or separated by commas")
	flags.StringSliceVar(&e.scopes, "scope", nil, "`SCOPE` in place of those it has; several, or separated by commas")
	flags.StringSliceVar(&e.ips, "ip", nil, "trusted address or range (`CIDR`) in place of those it has")
	flags.BoolVar(&e.anywhere, "anywhere", false, "trust every address that its client trusts")
	flags.DurationVar(&e.ttl, "ttl", 0, "lifetime from now on (`DURATION`)")
	flags.BoolVar(&e.rotate, "rotate", false, "print another token in place of this one")
	flags.DurationVar(&e.overlap, "overlap", 0, "how long a rotated token still works (`DURATION`)")
	return c
}

// check reads what the flags say.
func (e *tokenEdit) check(cmd *cobra.Command) (err error) {
	changed := cmd.Flags().Changed
	if e.newLimits, err = parseLimits(e.limits); err != nil {
		return err
	}
	if changed("ip") || e.anywhere {
		prefixes, err := parseIPs(e.ips)
		if err != nil {
			return err
		}
		e.newIPs = &prefixes
	}
	e.scopes = tidyScopes(e.scopes)
	switch {
	case changed("ip") && len(e.ips) == 0:
		return errors.New("--ip is empty: an address or range is needed; say --anywhere to trust every address that its client trusts")
	case e.anywhere && len(e.ips) > 0:
		return errors.New("--anywhere and --ip contradict each other")
	case changed("scope") && len(e.scopes) == 0:
		return errors.New("--scope is empty: a scope is needed")
	case changed("ttl") && (e.ttl <= 0 || e.ttl%time.Second != 0):
		return fmt.Errorf("--ttl %s: whole seconds, such as 12h, are needed", e.ttl)
	case e.overlap < 0, e.overlap > 0 && !e.rotate:
		return errors.New("--overlap is how long a rotated token still works, such as 1m: it needs --rotate")
	case len(e.newLimits) == 0 && e.newIPs == nil && len(e.scopes) == 0 && e.ttl == 0 && !e.rotate:
		return errors.New("nothing to change: give --limit, such as --limit per_day=1000, --scope, --ip, --anywhere, --ttl or --rotate")
	}
	return nil
}

func (n *node) updateToken(ctx context.Context, id string, e *tokenEdit) (tokenView, error) {
	var pair tokens.Pair
	_, err := n.store.EditToken(ctx, id, func(h *tokens.Holding) (err error) {
		pair, err = n.editToken(h, e)
		return err
	})
	if errors.Is(err, tokens.ErrNotFound) {
		return tokenView{}, fmt.Errorf("no token of the ID %q is recorded: token list shows those that are", id)
	}
	if err != nil {
		return tokenView{}, err
	}
	view, err := n.showRecorded(ctx, id)
	return view.with(pair), err
}

func (n *node) editToken(h *tokens.Holding, e *tokenEdit) (pair tokens.Pair, err error) {
	client, g := n.registry.Client(h.Grant.Client), h.Grant
	if client == nil {
		return pair, fmt.Errorf("the client of the token: %w", tokens.ErrNotFound)
	}
	if err := h.Ended(client); err != nil {
		return pair, fmt.Errorf("the token cannot be changed any more: %w", err)
	}
	if len(e.scopes) > 0 {
		if err := requireScopes(client, e.scopes); err != nil {
			return pair, err
		}
		g.Scopes = e.scopes
	}
	limits, now := g.Limits(), n.now().Truncate(time.Second)
	e.newLimits.apply(&limits)
	g.SetLimits(limits)
	if e.newIPs != nil {
		g.SetTrustedIPs(*e.newIPs)
	}
	if e.ttl > 0 {
		g.SetTTL(now, e.ttl)
	}
	h.Bind()
	if !e.rotate {
		return pair, nil
	}
	order := n.managed.Load().Order(client, n.now())
	order.Claims.TTL = g.TTL()
	return n.minter().Rotate(order, h, e.overlap)
}
