package authz

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
)

// TestLimitsAreThoseThatAreCharged: what people are shown is what the gate charges,
// under the same names.
func TestLimitsAreThoseThatAreCharged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *PolicyConfig) {
		gold := &Plan{
			Name: "gold", Table: mustPlan(limiter.Plan{Name: "gold", PerMinute: 7}), PerDay: Limit{100, 3}, AuthPerDay: Limit{6, 1},
			TotalRequests: Limit{1000, 2}, PaidRequests: Limit{50, 1},
		}
		strict := &Plan{Name: "strict", Table: mustPlan(limiter.Plan{Name: "route:strict", Label: "strict", PerMinute: 3}), PerDay: Limit{5, 1}}
		c.Plans["gold"] = gold
		c.APIs = []*API{{Name: "a", Hosts: []string{"a.example"}, Routes: []*Route{
			{Pattern: "GET /1"}, {Pattern: "GET /2", Plan: strict, Price: 20_000}, {Pattern: "GET /3", Plan: strict},
		}}}
	})
	p := w.gate.Policy()
	account := &tokens.Account{Name: "acme", Credit: 7, CreditRev: 2}
	client := *w.client
	client.Plan = "gold"
	w.change(t, tokens.Changes{Clients: map[string]*tokens.Client{client.ID: &client}, Accounts: map[string]*tokens.Account{"acme": account}})
	access, err := w.issuer.Issue(tokens.Claims{Client: client.ID, Audience: "x", Generation: 1, IssuedAt: w.now, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	token, err := w.verifier.Verify(t.Context(), access.Bearer.Reveal(), w.now)
	if err != nil {
		t.Fatal(err)
	}
	record := token.Record()
	record.Terms = &tokens.Terms{Limits: tokens.TokenLimits{PerDay: 9, PerMinute: 2, WalletAmount: 5}, LimitsRev: 4}
	w.change(t, tokens.Changes{Grants: map[string]*tokens.Grant{record.ID: record}})
	id := token.Identity()

	limits, err := p.LimitsOf(id)
	if err != nil {
		t.Fatal(err)
	}
	shown := append(slices.Clone(limits.Charges), limits.RouteCharges...)
	for i, route := range p.routePlans {
		_, charged := p.charges(id, p.Plans["gold"], route)
		for _, c := range charged {
			if !slices.ContainsFunc(shown, func(s quota.Charge) bool {
				return cmp.Equal(s, c, cmp.Comparer(func(a, b *limiter.Plan) bool { return a == b }))
			}) {
				t.Errorf("route plan %d charges %s, which is not shown", i, c.Kind)
			}
		}
	}
	names := func(list []quota.Charge) (names []string) {
		for _, c := range list {
			names = append(names, LimitName(&limiter.Standing{Plan: c.Plan, Kind: c.Kind}))
		}
		return names
	}
	if diff := cmp.Diff([]string{"per_day", "total_requests", "paid_requests", "token.per_day", "token.wallet_amount", "wallet", "strict.per_day"}, names(shown)); diff != "" {
		t.Error(diff)
	}
	if len(limits.Tables) != 2 || limits.Tables[1].PerMinute != 2 || len(limits.RouteTables) != 1 || limits.RouteTables[0].PerMinute != 3 {
		t.Errorf("in memory: %+v, of routes %+v", limits.Tables, limits.RouteTables)
	}

	ofClient, err := p.ClientLimits(&client, account)
	if err != nil {
		t.Fatal(err)
	}
	all := append(slices.Clone(ofClient.Charges), ofClient.RouteCharges...)
	if diff := cmp.Diff([]string{"per_day", "total_requests", "paid_requests", "auth_per_day", "wallet", "strict.per_day"}, names(all)); diff != "" {
		t.Error(diff)
	}
	for _, c := range all { // the client's cells are the same, whoever asks
		if c.Kind != limiter.KindAuthPerDay && !slices.ContainsFunc(shown, func(s quota.Charge) bool { return s.ID == c.ID && s.Rev == c.Rev && s.Limit == c.Limit }) {
			t.Errorf("%s of the client is another than that of its token", c.Kind)
		}
	}
	if days := p.Plans["gold"].DayCharges(client.ID); all[3].ID != days[0][0].ID || all[0].ID != days[1][0].ID {
		t.Error("token requests are charged to other cells than are shown")
	}
	sandbox := client
	sandbox.Environment, sandbox.Plan = tokens.Sandbox, "none"
	if _, err := p.ClientLimits(&sandbox, account); err == nil {
		t.Error("a plan that is not configured has limits")
	}
	sandbox.Plan = "gold"
	if l, err := p.ClientLimits(&sandbox, account); err != nil || slices.Contains(names(l.Charges), "wallet") {
		t.Errorf("the sandbox costs nothing: %v, %v", names(l.Charges), err)
	}
}
