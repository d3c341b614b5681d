package e2e

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// usage is what usage show prints.
type usage struct {
	Subject  struct{ Kind, ID, Account, Plan string }
	Counters string
	Limits   []usedLimit
	Lockout  *struct{ ID, Until string }
}

type usedLimit struct {
	Limit            string
	Of, Used, Left   any
	ResetsAt         string `json:"resets_at"`
	Leased, Stranded any
	Leases           *int
}

func (s *stack) usage(args ...string) (u usage) {
	s.t.Helper()
	s.read(&u, append([]string{"usage", "show"}, args...)...)
	return u
}

// limit returns one of the limits, which must be there.
func (u usage) limit(t *testing.T, name string) usedLimit {
	t.Helper()
	i := slices.IndexFunc(u.Limits, func(l usedLimit) bool { return l.Limit == name })
	if i < 0 {
		t.Errorf("%s is not in %+v", name, u.Limits)
		return usedLimit{}
	}
	return u.Limits[i]
}

func (u usage) names() (names []string) {
	for _, l := range u.Limits {
		names = append(names, l.Limit)
	}
	return names
}

const usageConfig = `
tokens: {generations_per_minute: 1000}
plans:
  default: {burst: {rate: 0.001, size: 100}, per_minute: 1000, per_day: 1000, auth_per_day: 6}
  strict: {per_minute: 500, per_day: 50}
  unused: {per_day: 7}
apis:
  - name: contacts
    hosts: [api.example.com]
    auth: any
    api_key: {header: x-api-key}
    routes:
      - {match: "GET /v1/free", plan: strict, price: "0.02"}
      - {match: "GET /v1/other", plan: unused}
`

// TestUsageShow: of tokens, clients, API keys and accounts, with a running serve and
// without.
func TestUsageShow(t *testing.T) {
	t.Parallel()
	s := newTollgate(t, usageConfig)
	s.tollgate("account", "create", "--name", "acme", "--zone", "Asia/Tokyo")
	c := s.client("--scope", "a", "--account", "acme", "--alias", "mine")
	key := s.apiKey("--account", "acme")
	s.tollgate("wallet", "credit", "--account", "acme", "--amount", "10")
	idle := s.usage("--client", c.ID)
	if got, want := idle.names(), []string{"per_day", "auth_per_day", "wallet"}; !slices.Equal(got, want) {
		t.Errorf("before any request: %q, want %q", got, want)
	}
	bearer := s.token(c)
	r := s.createToken("mine", "--limit", "per_day=9")
	check := s.checker()
	s.wantCodes("one token", check, bearer, "", "", "")
	s.wantCodes("the other", check, r.Token, "", "")

	// The day ends at midnight in the account's zone.
	tokyo := time.FixedZone("JST", 9*60*60)
	midnight := time.Now().In(tokyo).AddDate(0, 0, 1).Format("2006-01-02") + "T00:00:00+09:00"
	byClient := s.usage("--client", "mine")
	for _, tt := range []struct {
		of              usage
		name            string
		most, use, left any
		resets          string
	}{
		{byClient, "per_day", 1000.0, 5.0, 995.0, midnight}, {byClient, "auth_per_day", 6.0, 1.0, 5.0, midnight}, {byClient, "strict.per_day", 50.0, 5.0, 45.0, midnight},
		{byClient, "wallet", "10.00", "0.10", "9.90", "never"},
		{s.usage("--token", bearer), "burst", 100.0, 3.0, 97.0, ""}, {s.usage("--token", bearer), "per_minute", 1000.0, 3.0, 997.0, ""},
		{s.usage("--token", bearer), "strict.per_minute", 500.0, 3.0, 497.0, ""}, {s.usage("--token", bearer), "per_day", 1000.0, 5.0, 995.0, midnight},
		{s.usage("--token", r.ID), "burst", 100.0, 2.0, 98.0, ""}, {s.usage("--token", r.ID), "token.per_day", 9.0, 2.0, 7.0, midnight}, {s.usage("--token", r.Token), "strict.per_day", 50.0, 5.0, 45.0, midnight},
		{s.usage("--token", key.ID), "per_day", 1000.0, 0.0, 1000.0, midnight}, {s.usage("--token", key.Key), "wallet", "10.00", "0.10", "9.90", "never"},
		{s.usage("--account", "acme"), "wallet", "10.00", "0.10", "9.90", "never"},
	} {
		if l := tt.of.limit(t, tt.name); l.Of != tt.most || l.Used != tt.use || l.Left != tt.left || tt.resets != "" && l.ResetsAt != tt.resets {
			t.Errorf("%s %s: %+v, want %v, used %v, left %v, resets at %s", tt.of.Subject.Kind, tt.name, l, tt.most, tt.use, tt.left, tt.resets)
		}
		if slices.Contains(tt.of.names(), "unused.per_day") || tt.of.Counters != "live" || tt.of.Lockout != nil || tt.of.Subject.Account != "acme" {
			t.Errorf("%+v", tt.of)
		}
	}
	if text := s.tollgate("usage", "show", "--token", r.ID); !strings.Contains(text, "token.per_day") || !strings.Contains(text, "never") {
		t.Errorf("as text:\n%s", text)
	}

	s.stopServe(syscall.SIGTERM) // gives all leases back
	for _, tt := range []struct {
		args, name string
		use        any
	}{{"--client mine", "per_day", 5.0}, {"--client mine", "strict.per_day", 5.0}, {"--account acme", "wallet", "0.10"}, {"--token " + r.ID, "token.per_day", 2.0}, {"--token " + bearer, "burst", "unknown"}} {
		u := s.usage(strings.Fields(tt.args)...)
		l := u.limit(t, tt.name)
		if l.Used != tt.use || l.Left != "unknown" || u.Counters != "unknown" || l.Leases != nil && (*l.Leases != 0 || l.Leased != 0.0 && l.Leased != "0.00") {
			t.Errorf("without serve: %s %s: %+v", tt.args, tt.name, l)
		}
	}
}

// TestUsageOfAKilledServe: what it had leased stays so.
func TestUsageOfAKilledServe(t *testing.T) {
	t.Parallel()
	s := newTollgate(t, usageConfig)
	c := s.client("--scope", "a")
	s.tollgate("wallet", "credit", "--account", "default", "--amount", "10")
	s.wantCodes("a request", s.checker(), s.token(c), "")
	s.restart()
	u := s.usage("--client", c.ID)
	if l := u.limit(t, "per_day"); l.Leases == nil || *l.Leases == 0 || l.Used.(float64)+l.Left.(float64)+l.Leased.(float64) != 1000 {
		t.Errorf("per_day: %+v, want an open lease, and that used, left and leased add up", l)
	}
}

// TestO4_WalletCommands: what is shown adds up.
func TestO4_WalletCommands(t *testing.T) {
	t.Parallel()
	s := newTollgate(t, usageConfig)
	bearer := s.token(s.client("--scope", "a", "--account", "acme"))
	check := s.checker()
	s.wantCodes("an empty wallet", check, bearer, "R3")
	var credit struct{ ID, Amount, Credit, Currency string }
	for range 2 { // the second time nothing happens
		s.read(&credit, "wallet", "credit", "--account", "acme", "--amount", "0.06", "--what", "a gift", "--id", "first")
		if credit.ID != "first" || credit.Amount != "0.06" || credit.Credit != "0.06" || credit.Currency != "EUR" {
			t.Errorf("wallet credit: %+v", credit)
		}
	}
	if _, says, status := s.tryTollgate("wallet", "credit", "--account", "acme", "--amount", "0.07", "--id", "first"); status != 1 || !strings.Contains(says, "exists already") {
		t.Errorf("another amount under one ID: status %d, %q", status, says)
	}
	s.wantCodes("the first credit", check, bearer, "", "", "", "R3")
	s.tollgate("wallet", "credit", "--account", "acme", "--amount", "1.05")
	s.tollgate("wallet", "credit", "--account", "acme", "--amount=-0.05", "--what", "a slip")
	s.wantCodes("the second", check, bearer, "", "")

	var w walletShown
	s.until("what was spent is told", func() bool { w = s.wallet("acme"); return w.Spent == "0.10" })
	if w.Credit != "1.06" || w.Currency != "EUR" || w.ReservedLost != "0.00" || w.micros(t, w.Credit)-w.micros(t, w.Spent)-w.micros(t, w.Reserved) != w.micros(t, w.Available) {
		t.Errorf("%+v", w)
	}
	w.wantSum(t)
	if list := w.of("credit"); len(list) != 2 || list[1].ID != "first" || list[1].What != "a gift" || list[1].Amount != "0.06" {
		t.Errorf("credits %+v", list)
	}
	if list := w.of("correction"); len(list) != 1 || list[0].Amount != "-0.05" || list[0].What != "a slip" {
		t.Errorf("corrections %+v", list)
	}
	count := 0
	for _, l := range w.of("usage") { // two when the hour has just ended
		count += l.Count
		if l.What != "GET /v1/free" || l.Price != "0.02" {
			t.Errorf("usage %+v", l)
		}
	}
	if count != 5 {
		t.Errorf("%d requests in %+v, want 5", count, w)
	}
	few := s.wallet("acme", "--limit", "1")
	if few.wantSum(t); len(few.of("earlier")) != 1 {
		t.Errorf("with --limit 1: %+v", few)
	}
	if text := s.tollgate("wallet", "show", "--account", "acme"); !strings.Contains(text, "a gift") || !strings.Contains(text, "available") {
		t.Errorf("as text:\n%s", text)
	}
	if text := s.tollgate("explain", "--url", "http://api.example.com/v1/free", "--header", "Authorization: Bearer "+bearer); strings.Count(text, "wallet   left: 0.96 of 1.06") != 1 || !strings.Contains(text, "wallet 0.96 left of 1.06") || !strings.Contains(text, "strict.per_day   left: 45 of 50") {
		t.Errorf("explain:\n%s", text)
	}
	if text := s.tollgate("account", "list"); !strings.Contains(text, "1.06") {
		t.Errorf("account list:\n%s", text)
	}
	s.stopServe(syscall.SIGTERM)
	if w := s.wallet("acme"); w.Spent != "0.10" || w.Reserved != "0.00" || w.Available != "0.96" {
		t.Errorf("after a clean stop: %+v", w)
	}
}

// walletShown is what wallet show prints.
type walletShown struct {
	Credit, Spent, Reserved, Available, Currency string
	ReservedLost                                 string `json:"reserved_lost"`
	Transactions                                 []transaction
}

type transaction struct {
	Kind, ID, What, Price, Amount string
	Count                         int
}

func (s *stack) wallet(account string, args ...string) (w walletShown) {
	s.t.Helper()
	s.read(&w, append([]string{"wallet", "show", "--account", account}, args...)...)
	return w
}

func (w walletShown) of(kind string) (list []transaction) {
	for _, t := range w.Transactions {
		if t.Kind == kind {
			list = append(list, t)
		}
	}
	return list
}

// micros reads an amount.
func (w walletShown) micros(t *testing.T, amount string) (m quota.Micros) {
	t.Helper()
	if err := m.UnmarshalText([]byte(amount)); err != nil {
		t.Fatal(err)
	}
	return m
}

// wantSum: the transactions add up to what is available.
func (w walletShown) wantSum(t *testing.T) {
	t.Helper()
	var sum quota.Micros
	for _, line := range w.Transactions {
		sum += w.micros(t, line.Amount)
	}
	if sum != w.micros(t, w.Available) {
		t.Errorf("the transactions add up to %s: %+v", sum, w)
	}
}

// TestV4_LockoutCommands: listed and lifted, with a running serve and without.
func TestV4_LockoutCommands(t *testing.T) {
	t.Parallel()
	s := newTollgate(t, strings.Replace(commonConfig, "  slow: {per_minute: 3}", "  slow: {per_minute: 3, lockout: 5m}\n  brief: {per_minute: 3, lockout: 30s}", 1))
	check := s.checker()
	type lockout struct{ ID, Issuer, Account, Plan string }
	list := func() (l []lockout) { s.read(&l, "lockout", "list"); return l }
	c := s.client("--scope", "contacts:read", "--plan", "slow")
	r, other := s.createToken(c.ID), s.createToken(s.client("--scope", "contacts:read", "--plan", "brief").ID)
	s.wantCodes("more than the plan has", check, r.Token, "", "", "", "R3")
	s.wantCodes("more than the other plan has", check, other.Token, "", "", "", "R3")
	if l := list(); len(l) != 2 || l[0] != (lockout{r.ID, "http://" + s.http, "default", "slow"}) || l[1].ID != other.ID {
		t.Errorf("lockout list: %+v", l)
	}
	if all := s.recordedTokens(); all[r.ID].Status != "locked" || all[other.ID].Status != "locked" {
		t.Errorf("token list: %+v", all)
	}
	if u := s.usage("--token", r.ID); u.Lockout == nil || u.Lockout.ID != r.ID {
		t.Errorf("usage show: %+v", u)
	}
	s.tollgate("lockout", "lift", r.ID)
	s.tollgate("lockout", "lift", other.ID, "--issuer", "http://"+s.http)
	if l := list(); len(l) != 0 {
		t.Errorf("after lockout lift: %+v", l)
	}
	if _, says, status := s.tryTollgate("lockout", "lift", r.ID); status != 1 || !strings.Contains(says, "lockout list") {
		t.Errorf("a lockout that is lifted: status %d, %q", status, says)
	}
	s.wantCodes("lifted, and the minute is forgotten", check, r.Token, "", "", "", "R3")
	if l := list(); len(l) != 1 {
		t.Errorf("locked out again: %+v", l)
	}
	db := s.openStore()
	defer func() { _ = db.Close() }()
	s.until("the lockout is stored", func() bool {
		var n int
		return db.QueryRowContext(t.Context(), `SELECT count(*) FROM lockouts WHERE token = ?`, r.ID).Scan(&n) == nil && n == 1
	})
	s.restart()
	check = s.checker()
	s.wantCodes("after the restart", check, r.Token, "R3")
	s.stopServe(syscall.SIGKILL)
	if l := list(); len(l) != 1 || l[0].ID != r.ID {
		t.Errorf("without serve: %+v", l)
	}
	s.tollgate("lockout", "lift", r.ID)
	if l := list(); len(l) != 0 {
		t.Errorf("after lockout lift without serve: %+v", l)
	}
	s.startServe()
	s.wantCodes("lifted, and a minute that starts fresh", s.checker(), r.Token, "", "", "", "R3")
}
