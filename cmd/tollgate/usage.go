package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tollgate-authz/tollgate/authz"
	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
)

func (a *app) usageCommand() *cobra.Command {
	return group("usage", "Show how far limits are used", a.usageShow())
}

// usageQuestion names one of them.
type usageQuestion struct {
	Client  string `json:"client,omitempty"`
	Token   string `json:"token,omitempty"`
	Account string `json:"account,omitempty"`
}

// usageAnswer is how far somebody has used the limits that apply.
type usageAnswer struct {
	Subject  usageSubject `json:"subject"`
	Counters string       `json:"counters"` // "live", or "unknown" when no serve runs
	Limits   []usedLimit  `json:"limits"`
	Lockout  *lockoutView `json:"lockout"` // of a token or API key
}

type usageSubject struct {
	Kind    string `json:"kind"` // client, token, API key or account
	ID      string `json:"id"`
	Name    string `json:"name,omitempty"`
	Client  string `json:"client_id,omitempty"`
	Account string `json:"account"`
	Plan    string `json:"plan,omitempty"`
}

// usedLimit is one limit. Numbers are of requests; money is decimal text.
type usedLimit struct {
	Limit    string `json:"limit"`
	Of       any    `json:"of"`
	Used     any    `json:"used"`      // or "unknown"
	Left     any    `json:"left"`      // or "unknown"
	ResetsAt string `json:"resets_at"` // or "never", or "unknown"
	Shadow   bool   `json:"shadow,omitempty"`
	// Of limits that the ledger keeps: what processes hold of what is left, and may have
	// spent without having told; how much of that those hold that were lost.
	Leased   any  `json:"leased,omitempty"`
	Stranded any  `json:"stranded,omitempty"`
	Leases   *int `json:"leases,omitempty"`
}

const unknown = "unknown"

func (a *app) usageShow() *cobra.Command {
	var q usageQuestion
	c := a.outputFlag(&cobra.Command{
		Use: "show --client CLIENT | --token TOKEN | --account ACCOUNT", Short: "Show how far limits are used, and when they begin anew", Args: cobra.NoArgs,
		Long: `Show every limit that applies to a client, to a token or API key, or to an account; of
limits that some routes have in addition, those that were used. A token is named by its
text, by "-" for standard input, or, where it is recorded, by its ID.

Processes take a little of a limit ahead, a lease, and spend it in memory: "leased" is
what they hold beyond what they have told, "stranded" what of that those hold that were
lost. Only a running serve knows what is left; without one it is "unknown".`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := q.check(a); err != nil {
				return err
			}
			c, err := a.recordsConfig()
			if err != nil {
				return err
			}
			u, err := using.ask(cmd.Context(), c, &q)
			if err != nil {
				return err
			}
			if a.wantJSON() {
				return a.printJSON(u)
			}
			return a.printUsage(u)
		},
	})
	c.Flags().StringVar(&q.Client, "client", "", "`CLIENT`, its ID or alias")
	c.Flags().StringVar(&q.Token, "token", "", "`TOKEN` or API key, itself or its ID")
	c.Flags().StringVar(&q.Account, "account", "", "`ACCOUNT`, its name")
	return c
}

// check asks for one subject, and reads a token from standard input where that is said.
func (q *usageQuestion) check(a *app) (err error) {
	named := 0
	for _, name := range []string{q.Client, q.Token, q.Account} {
		if name != "" {
			named++
		}
	}
	if named != 1 {
		return usageError{errors.New("one of --client, --token and --account is needed")}
	}
	if q.Token != "" {
		q.Token, err = a.readToken(q.Token)
	}
	return err
}

var using = inquiry[usageQuestion, *usageAnswer]{"/usage", func(ctx context.Context, n *node, q *usageQuestion, live bool) (u *usageAnswer, err error) {
	u = &usageAnswer{Counters: "live", Limits: []usedLimit{}}
	if !live {
		u.Counters = unknown
		if q.Token != "" {
			n.awaitKeys(ctx)
		}
	}
	now := n.now()
	switch {
	case q.Token != "":
		err = n.usageOfToken(ctx, u, q.Token, now, live)
	case q.Client != "":
		err = n.usageOfClient(ctx, u, q.Client, now, live)
	default:
		err = n.usageOfAccount(ctx, u, q.Account, now, live)
	}
	return u, err
}}

func (n *node) usageOfToken(ctx context.Context, u *usageAnswer, name string, now time.Time, live bool) error {
	t, err := n.findToken(ctx, name, now)
	if err != nil {
		return err
	}
	id := t.Identity()
	u.Subject = usageSubject{Kind: "token", ID: id.TokenID(), Client: id.ClientID(), Account: id.Account(), Plan: id.Plan()}
	switch {
	case id.Key != nil:
		u.Subject.Kind, u.Subject.Client, u.Subject.Name = "API key", "", id.Key.Name
	case id.Grant != nil && id.Grant.Terms != nil:
		u.Subject.Name = id.Grant.Terms.Name
	}
	u.Lockout = describeLockout(id.Lockout(now))
	limits, err := n.gate.Policy().LimitsOf(id)
	if err != nil {
		return err
	}
	u.Limits, err = n.usedLimits(ctx, id, &limits, now, live)
	return err
}

// findToken returns the token or API key that is named by its text or its ID.
func (n *node) findToken(ctx context.Context, name string, now time.Time) (*tokens.Token, error) {
	if t := n.verifier.Recorded(name); t != nil {
		return t, nil
	}
	if t := n.registry.APIKey(name); t != nil {
		return t, nil
	}
	if t, err := n.verifier.VerifyAPIKey(name); err == nil {
		return t, nil
	}
	t, err := n.verifier.Verify(ctx, name, now)
	if errors.Is(err, tokens.ErrInvalid) {
		return nil, fmt.Errorf("no token or API key of that ID is recorded, and as a token: %w", err)
	}
	return t, err
}

func (n *node) usageOfClient(ctx context.Context, u *usageAnswer, name string, now time.Time, live bool) error {
	c := n.registry.Client(name)
	if c == nil {
		return fmt.Errorf("client %q: %w", name, tokens.ErrNotFound)
	}
	u.Subject = usageSubject{Kind: "client", ID: c.ID, Name: c.Name, Account: c.Account, Plan: c.Plan}
	account := n.registry.Account(c.Account)
	limits, err := n.gate.Policy().ClientLimits(c, account)
	if err != nil {
		return err
	}
	u.Limits, err = n.ledgerLimits(ctx, c.Account, account, &limits, now, live)
	return err
}

func (n *node) usageOfAccount(ctx context.Context, u *usageAnswer, name string, now time.Time, live bool) (err error) {
	account := n.registry.Account(name)
	if account == nil {
		return fmt.Errorf("account %q: %w", name, tokens.ErrNotFound)
	}
	u.Subject = usageSubject{Kind: "account", ID: name, Account: name}
	u.Limits, err = n.ledgerLimits(ctx, name, account, &authz.Limits{Charges: []quota.Charge{authz.WalletCharge(name, account)}}, now, live)
	return err
}

// usedLimits are those of a token or API key: in memory, then in the ledger.
func (n *node) usedLimits(ctx context.Context, id *tokens.Identity, limits *authz.Limits, now time.Time, live bool) ([]usedLimit, error) {
	zone := n.gate.Policy().Zone(id.AccountRecord())
	who := n.limits.Subject(id.Issuer(), id.TokenID())
	var used []usedLimit
	look := func(plan *limiter.Plan, always bool) {
		var res limiter.Result
		n.limits.Look(now, who, []*limiter.Plan{plan}, &res)
		for _, s := range res.All() {
			if always || live && s.Remaining < s.Limit {
				used = append(used, describeStanding(&s, now.In(zone), live))
			}
		}
	}
	for _, plan := range limits.Tables {
		look(plan, true)
	}
	for _, plan := range limits.RouteTables {
		look(plan, false)
	}
	kept, err := n.ledgerLimits(ctx, id.Account(), id.AccountRecord(), limits, now, live)
	return append(used, kept...), err
}

func describeStanding(s *limiter.Standing, now time.Time, live bool) usedLimit {
	u := usedLimit{Limit: authz.LimitName(s), Of: s.Limit, Used: s.Used(), Left: s.Remaining, ResetsAt: now.Add(s.Reset).Format(time.RFC3339), Shadow: s.InShadow()}
	if !live {
		u.Used, u.Left, u.ResetsAt = unknown, unknown, unknown
	}
	return u
}

// ledgerLimits asks the ledger, and adds what this process has not told it yet.
func (n *node) ledgerLimits(ctx context.Context, name string, account *tokens.Account, limits *authz.Limits, now time.Time, live bool) ([]usedLimit, error) {
	all := append(append([]quota.Charge{}, limits.Charges...), limits.RouteCharges...)
	bill := n.quotas.Bill(quota.BillID{}, name, n.gate.Policy().Zone(account), all)
	details, err := n.quotas.Inspect(ctx, now, bill)
	if err != nil {
		return nil, err
	}
	var used []usedLimit
	for i := range details {
		if d := &details[i]; i < len(limits.Charges) || d.Used > 0 || d.Leases > 0 {
			used = append(used, describeDetail(d, live))
		}
	}
	return used, nil
}

func describeDetail(d *quota.Detail, live bool) usedLimit {
	amount := func(n int64) any { return amountOf(d.Kind, n) }
	u := usedLimit{
		Limit: authz.LimitName(&limiter.Standing{Plan: d.Plan, Kind: d.Kind}), Of: amount(d.Limit), Used: amount(d.Used), Left: amount(d.Left),
		ResetsAt: "never", Shadow: d.Shadow, Leased: amount(d.Leased), Stranded: amount(d.Stranded), Leases: &d.Leases,
	}
	if !d.Reset.IsZero() {
		u.ResetsAt = d.Reset.Format(time.RFC3339)
	}
	if !live {
		u.Left = unknown
	}
	return u
}

// usageTable shows limits.
var usageTable = table[usedLimit]{
	"LIMIT\tOF\tUSED\tLEFT\tRESETS AT\tLEASED\tSTRANDED\tLEASES",
	func(v usedLimit) []string {
		row := []string{v.Limit, fmt.Sprint(v.Of), fmt.Sprint(v.Used), fmt.Sprint(v.Left), v.ResetsAt}
		if v.Shadow {
			row[0] += " (shadow)"
		}
		if v.Leases == nil {
			return append(row, "-", "-", "-")
		}
		return append(row, fmt.Sprint(v.Leased), fmt.Sprint(v.Stranded), fmt.Sprint(*v.Leases))
	},
}

func (a *app) printUsage(u *usageAnswer) error {
	a.printf("%s %s", u.Subject.Kind, u.Subject.ID)
	for _, line := range []struct{ name, value string }{
		{"", u.Subject.Name}, {"client ", u.Subject.Client}, {"account ", u.Subject.Account}, {"plan ", u.Subject.Plan},
	} {
		if line.value != "" && line.value != u.Subject.ID {
			a.printf(", %s%s", line.name, line.value)
		}
	}
	a.printf("\n")
	if u.Counters != "live" {
		a.printf("no serve runs: used is what the ledger was told\n")
	}
	if u.Lockout != nil {
		a.printf("locked out until %s: it has exceeded the per_minute of %s\n", u.Lockout.Until, cmp.Or(u.Lockout.Plan, "its plan"))
	}
	a.printf("\n")
	return usageTable.print(a, u.Limits)
}
