package tokens

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter/quota"
)

func TestO1_TokenLimitsValidate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		limits TokenLimits
		words  []string // of the contract, each in a fault of its own
	}{
		{TokenLimits{}, nil},
		{TokenLimits{TotalRequests: 1, PaidRequests: 1, PerMinute: 1, PerDay: 1, WalletAmount: 1}, nil},
		{TokenLimits{TotalRequests: quota.Most, PaidRequests: quota.Most, PerMinute: 2147483647, PerDay: quota.Most, WalletAmount: quota.Most}, nil},
		{TokenLimits{TotalRequests: -1}, []string{"total_requests -1: "}},
		{TokenLimits{PaidRequests: -1}, []string{"paid_requests -1: "}},
		{TokenLimits{PerMinute: -1}, []string{"per_minute -1: "}},
		{TokenLimits{PerDay: -1}, []string{"per_day -1: "}},
		{TokenLimits{WalletAmount: -20_000}, []string{"wallet_amount -0.02: "}},
		{TokenLimits{TotalRequests: quota.Most + 1}, []string{"total_requests 9007199254740992: "}},
		{TokenLimits{PaidRequests: quota.Most + 1}, []string{"paid_requests 9007199254740992: "}},
		{TokenLimits{PerMinute: 2147483648}, []string{"per_minute 2147483648: "}},
		{TokenLimits{PerDay: quota.Most + 1}, []string{"per_day 9007199254740992: "}},
		{TokenLimits{WalletAmount: quota.Most + 1}, []string{"wallet_amount 9007199254.740992: an amount up to 9007199254.740991 "}},
		{TokenLimits{TotalRequests: -1, WalletAmount: -1}, []string{"total_requests", "wallet_amount"}},
	} {
		faults := tt.limits.Validate()
		if len(faults) != len(tt.words) {
			t.Errorf("%+v: %v, want faults %q", tt.limits, faults, tt.words)
			continue
		}
		for i, word := range tt.words {
			if !strings.HasPrefix(faults[i].Error(), word) {
				t.Errorf("%+v: %q, want %q first", tt.limits, faults[i], word)
			}
		}
	}
}

func TestO1_GrantValidate(t *testing.T) {
	t.Parallel()
	good := func() *Grant {
		return &Grant{Scopes: []string{"a:read"}, CreatedAt: start, ExpiresAt: start.Add(MaxLifetime), Terms: &Terms{
			Name: "Import", TrustedIPs: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}, Limits: TokenLimits{PerDay: 1},
		}}
	}
	for name, change := range map[string]func(*Grant){
		"as it is": func(*Grant) {}, "no name": func(g *Grant) { g.Terms.Name = "" }, "no terms": func(g *Grant) { g.Terms = nil }, "no scope": func(g *Grant) { g.Scopes = nil },
		"a moment": func(g *Grant) { g.ExpiresAt = start.Add(time.Microsecond) },
	} {
		g := good()
		change(g)
		if faults := g.Validate(); len(faults) != 0 {
			t.Errorf("%s: %v", name, faults)
		}
	}
	for want, change := range map[string]func(*Grant){
		`name " "`:         func(g *Grant) { g.Terms.Name = " " },
		`name "a\nb"`:      func(g *Grant) { g.Terms.Name = "a\nb" },
		`scope "a b"`:      func(g *Grant) { g.Scopes = []string{"a b"} },
		"trusted IP 10.":   func(g *Grant) { g.Terms.TrustedIPs = []netip.Prefix{netip.MustParsePrefix("10.0.0.1/8")} },
		"trusted IP inv":   func(g *Grant) { g.Terms.TrustedIPs = []netip.Prefix{{}} },
		"per_minute -1":    func(g *Grant) { g.Terms.Limits.PerMinute = -1 },
		"it would expire ": func(g *Grant) { g.ExpiresAt = start },
		"lifetime 8784h":   func(g *Grant) { g.ExpiresAt = start.Add(MaxLifetime + time.Second) },
		"lifetime 25":      func(g *Grant) { g.CreatedAt = time.Time{} },
	} {
		g := good()
		change(g)
		if faults := g.Validate(); len(faults) != 1 || !strings.HasPrefix(faults[0].Error(), want) {
			t.Errorf("%v, want one fault: %q", faults, want)
		}
	}
}

func TestO4_CreditValidate(t *testing.T) {
	t.Parallel()
	good := Credit{Account: "acme", ID: "invoice-2026/7", Amount: 10_000_000, What: "Invoice 7 — März", At: start}
	for name, change := range map[string]func(*Credit){
		"as it is": func(*Credit) {}, "no text": func(c *Credit) { c.What = "" }, "a correction": func(c *Credit) { c.Amount = -1 },
		"all there is": func(c *Credit) { c.Amount = quota.Most }, "a long ID": func(c *Credit) { c.ID = strings.Repeat("x", 128) }, "a long text": func(c *Credit) { c.What = strings.Repeat("x", 200) },
	} {
		c := good
		change(&c)
		if faults := c.Validate(); len(faults) != 0 {
			t.Errorf("%s: %v", name, faults)
		}
	}
	for name, change := range map[string]func(*Credit){
		"account": func(c *Credit) { c.Account = "a b" }, "no ID": func(c *Credit) { c.ID = "" }, "long ID": func(c *Credit) { c.ID = strings.Repeat("x", 129) },
		"space in the ID": func(c *Credit) { c.ID = "a b" }, "line in the ID": func(c *Credit) { c.ID = "a\n" }, "nothing": func(c *Credit) { c.Amount = 0 },
		"too much": func(c *Credit) { c.Amount = quota.Most + 1 }, "too little": func(c *Credit) { c.Amount = -quota.Most - 1 },
		"long text": func(c *Credit) { c.What = strings.Repeat("x", 201) }, "lines": func(c *Credit) { c.What = "a\nb" }, "no time": func(c *Credit) { c.At = time.Time{} },
	} {
		c := good
		change(&c)
		if faults := c.Validate(); len(faults) != 1 {
			t.Errorf("%s: %v, want one fault", name, faults)
		}
	}
}

// TestO2_TermsReachATokenThatIsHeld: a JWT is verified, and looked at, before its record
// comes, and a change of the record reaches whoever holds the token.
func TestO2_TermsReachATokenThatIsHeld(t *testing.T) {
	t.Parallel()
	f := newFeed(&Client{ID: "client1", Scopes: []string{"a:read"}, Generation: 1})
	r := newTestRegistry(t, f)
	token := &Token{Trust: &Trust{Own: true}, ID: "token1", ClientID: "client1", client: r.registration("client1"), Origin: &Origin{Generation: 1, registry: r}}
	foreign := &Token{Trust: &Trust{}, ID: "token1", ClientID: "client1", Origin: &Origin{registry: r}}
	ips := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	for i, terms := range []*Terms{
		nil,
		{Limits: TokenLimits{PerDay: 5}, LimitsRev: 1},
		{Limits: TokenLimits{PerDay: 7, WalletAmount: 3}, LimitsRev: 2, TrustedIPs: ips},
		{LimitsRev: 3},
		nil,
	} {
		if i > 0 {
			f.tell(t, r, Changes{Grants: map[string]*Grant{"token1": {ID: "token1", Client: "client1", Terms: terms, ExpiresAt: start.Add(time.Hour)}}})
		}
		var want Terms
		if terms != nil {
			want = *terms
		}
		id := token.Identity()
		limits, rev := id.Limits()
		if limits != want.Limits || rev != want.LimitsRev || len(id.TokenIPs()) != len(want.TrustedIPs) || (id.Grant != nil) != (i > 0) || id.Ended != nil {
			t.Errorf("step %d: limits %+v of revision %d, addresses %v, record %v; want %+v", i, limits, rev, id.TokenIPs(), id.Grant, want)
		}
		id = foreign.Identity() // its issuer has nothing to do with our records
		if limits, rev := id.Limits(); limits != (TokenLimits{}) || rev != 0 || id.TokenIPs() != nil || id.Grant != nil {
			t.Errorf("step %d: a foreign token of that ID has %+v", i, id.Grant)
		}
	}
	f.tell(t, r, Changes{Grants: map[string]*Grant{"token1": nil}})
	if id := token.Identity(); id.Grant != nil {
		t.Errorf("after its record is gone: %+v", id.Grant)
	}
}

func TestRegistryKnowsAccounts(t *testing.T) {
	t.Parallel()
	f := newFeed()
	f.snapshot.Accounts = map[string]*Account{"acme": {Name: "acme"}, "initech": {Name: "initech"}}
	r := newTestRegistry(t, f)
	revision := r.revision.Load()
	f.tell(t, r, Changes{Accounts: map[string]*Account{"acme": {Name: "acme", Credit: 5, CreditRev: 1}, "initech": nil, "new": {Name: "new"}}})
	if a := r.Account("acme"); a == nil || a.Credit != 5 || a.CreditRev != 1 || r.Account("initech") != nil || r.Account("new") == nil || r.Account("") != nil {
		t.Errorf("acme %+v, initech %v, new %v", a, r.Account("initech"), r.Account("new"))
	}
	if r.revision.Load() == revision {
		t.Error("a credit has nobody's limits worked out anew")
	}
	f.gap = true
	f.snapshot = Changes{Last: 50, Accounts: map[string]*Account{"acme": {Name: "acme", Credit: 7, CreditRev: 2}}}
	if err := r.Refresh(t.Context(), start); err != nil || r.Account("acme").Credit != 7 || r.Account("new") != nil {
		t.Errorf("after the gap: acme %+v, new %v, %v", r.Account("acme"), r.Account("new"), err)
	}
	f.err = errors.New("locked")
	if err := r.Refresh(t.Context(), start); err == nil || r.Account("acme") == nil {
		t.Errorf("without the store: %v, acme %v", err, r.Account("acme"))
	}
}
