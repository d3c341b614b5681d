package main

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
)

func TestParseLimits(t *testing.T) {
	t.Parallel()
	before := tokens.TokenLimits{TotalRequests: 1, PaidRequests: 2, PerMinute: 3, PerDay: 4, WalletAmount: 5}
	for _, tt := range []struct {
		text string
		want tokens.TokenLimits
		says string // each in the error
	}{
		{"", before, ""},
		{"per_day=9", tokens.TokenLimits{TotalRequests: 1, PaidRequests: 2, PerMinute: 3, PerDay: 9, WalletAmount: 5}, ""},
		{"per_day=0 wallet_amount=0.00", tokens.TokenLimits{TotalRequests: 1, PaidRequests: 2, PerMinute: 3}, ""},
		{"total_requests=6 paid_requests=7 per_minute=8 per_day=9 wallet_amount=0.02", tokens.TokenLimits{TotalRequests: 6, PaidRequests: 7, PerMinute: 8, PerDay: 9, WalletAmount: 20_000}, ""},
		{text: "per_day", says: "KIND=AMOUNT"}, {text: "=5", says: "unknown"}, {text: "per_day=", says: "whole number"}, {text: "per_day=5=5", says: "whole number"}, {text: "PER_DAY=5", says: "unknown"},
		{text: "per_day=1.0", says: "whole number"}, {text: "per_day=9223372036854775808", says: "whole number"}, {text: "per_day=-1", says: "per_day -1"},
		{text: "wallet_amount=1e3", says: "0.02"}, {text: "wallet_amount=-1", says: "0.02"}, {text: "burst=5", says: "unknown"},
		{text: "per_day=1 per_day=1", says: "twice"}, {text: "per_day=x per_week=1", says: "per_week"},
	} {
		edit, err := parseLimits(strings.Fields(tt.text))
		if tt.says != "" {
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%q: %v, want %q", tt.text, err, tt.says)
			}
			continue
		}
		got := before
		edit.apply(&got)
		if err != nil || got != tt.want {
			t.Errorf("%q: %+v, %v; want %+v", tt.text, got, err, tt.want)
		}
	}
}

// TestO4_WalletAddsUp: whatever is left out or could not be listed.
func TestO4_WalletAddsUp(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC)
	account := &tokens.Account{Name: "acme", Credit: 10_000_000}
	credits := []*tokens.Credit{{ID: "c3", Amount: -500_000, What: "a slip", At: at}, {ID: "c2", Amount: 4_000_000, At: at.Add(-time.Hour)}, {ID: "c1", Amount: 6_500_000, At: at.Add(-48 * time.Hour)}}
	lines := []quota.Line{{Hour: at.Unix() - 1800, What: "GET /a", Price: 20_000, Spent: 60_000, Count: 3}, {Hour: at.Unix() - 5400, What: "GET /a", Price: 20_000, Spent: 20_000, Count: 1}}
	row := func(kind string, amount quota.Micros) transactionView {
		return transactionView{Kind: kind, Amount: amount}
	}
	for _, tt := range []struct {
		name   string
		usage  quota.Usage
		listed quota.Micros
		limit  int
		want   []transactionView // with nothing but kind and amount
	}{
		{"all of it", quota.Usage{Spent: 80_000, Leased: 50_000, Stranded: 20_000}, 80_000, 20, []transactionView{
			row("reserved", -30_000), row("reserved_lost", -20_000), row("correction", -500_000), row("usage", -60_000), row("credit", 4_000_000), row("usage", -20_000), row("credit", 6_500_000),
		}},
		{"the latest", quota.Usage{Spent: 80_000}, 80_000, 3, []transactionView{row("correction", -500_000), row("usage", -60_000), row("credit", 4_000_000), row("earlier", 6_480_000)}},
		{"more lines than were read", quota.Usage{Spent: 180_000}, 180_000, 20, []transactionView{
			row("correction", -500_000), row("usage", -60_000), row("credit", 4_000_000), row("usage", -20_000), row("credit", 6_500_000), row("earlier", -100_000),
		}},
		{"all is lost", quota.Usage{Spent: 80_000, Leased: 20_000, Stranded: 20_000}, 80_000, 1, []transactionView{row("reserved_lost", -20_000), row("correction", -500_000), row("earlier", 10_420_000)}},
		{"told between the questions", quota.Usage{Spent: 100_000}, 80_000, 1, []transactionView{row("unlisted", -20_000), row("correction", -500_000), row("earlier", 10_420_000)}},
	} {
		w := newWallet(account, tt.usage, credits, lines, tt.listed, tt.limit)
		if diff := cmp.Diff(tt.want, w.Transactions, cmpopts.IgnoreUnexported(transactionView{}), cmpopts.IgnoreFields(transactionView{}, "At", "ID", "What", "Count", "Price")); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
		var sum quota.Micros
		for _, line := range w.Transactions {
			sum += line.Amount
		}
		if sum != w.Available || w.Credit-w.Spent-w.Reserved != w.Available {
			t.Errorf("%s: the lines add up to %s, and available is %s of %+v", tt.name, sum, w.Available, w)
		}
	}
}

func TestV4_LiftFindsTheOne(t *testing.T) {
	t.Parallel()
	ours, key, theirs := &tokens.Lockout{Issuer: "https://own", Token: "a"}, &tokens.Lockout{Token: "b"}, &tokens.Lockout{Issuer: "https://idp", Token: "a"}
	issuer := func(s string) *string { return &s }
	for _, tt := range []struct {
		all    []*tokens.Lockout
		token  string
		issuer *string
		want   *tokens.Lockout
		says   string
	}{
		{[]*tokens.Lockout{ours, key}, "a", nil, ours, ""}, {[]*tokens.Lockout{ours, key}, "b", nil, key, ""}, {[]*tokens.Lockout{ours, key}, "b", issuer(""), key, ""},
		{[]*tokens.Lockout{ours, theirs}, "a", nil, nil, `--issuer="https://own" or --issuer="https://idp"`}, {[]*tokens.Lockout{ours, theirs}, "a", issuer("https://idp"), theirs, ""},
		{[]*tokens.Lockout{ours}, "a", issuer(""), nil, "lockout list"}, {[]*tokens.Lockout{ours}, "c", nil, nil, "lockout list"}, {nil, "a", nil, nil, "lockout list"},
	} {
		got, err := (&liftQuestion{tt.token, tt.issuer}).find(tt.all)
		if got != tt.want || (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%q of %v: %v, %v; want %v, %q", tt.token, tt.issuer, got, err, tt.want, tt.says)
		}
	}
}

// TestV4_LiftedWhileItWaits: a lockout that was lifted before it was stored does not
// come back with the store.
func TestV4_LiftedWhileItWaits(t *testing.T) {
	t.Parallel()
	c := &config.Config{Store: config.Store{Memory: true}, Issuer: "https://own", Limits: config.Limits{MaxMemory: 16 << 20}, Accounts: config.Accounts{DefaultZone: "UTC"}}
	c.Tokens.SigningAlgorithm, c.Tokens.AccessTTL = "ES256", time.Hour
	n, err := newNode(t.Context(), c, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	now := n.now()
	lifted := tokens.Lockout{Issuer: c.Issuer, Token: "lifted", Since: now, Until: now.Add(time.Hour)}
	stays := tokens.Lockout{Issuer: c.Issuer, Token: "stays", Since: now, Until: now.Add(time.Hour)}
	for _, l := range []tokens.Lockout{lifted, stays} {
		n.lockedOut(l)
	}
	if err := n.lift(t.Context(), lifted.ID()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		l := <-n.lockouts
		if err := n.storeLockout(t.Context(), &l); err != nil {
			t.Fatal(err)
		}
	}
	if stored, err := n.store.ListLockouts(t.Context()); err != nil || len(stored) != 1 || stored[0].Token != "stays" {
		t.Errorf("stored %v, %v", stored, err)
	}
	if err := n.lift(t.Context(), stays.ID()); err != nil {
		t.Fatal(err)
	}
	if stored, err := n.store.ListLockouts(t.Context()); err != nil || len(stored) != 0 || len(n.registry.Lockouts(now)) != 0 {
		t.Errorf("after it was lifted: stored %v, %v; in force %v", stored, err, n.registry.Lockouts(now))
	}
}
