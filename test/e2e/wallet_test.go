package e2e

import (
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
	"github.com/tollgate-authz/tollgate/tokens/sqlite"
)

// openRecords opens the store as commands do. It is not to stay open over a kill, see
// openStore.
func (s *stack) openRecords() *sqlite.DB {
	s.t.Helper()
	db, err := sqlite.Open(s.t.Context(), sqlite.Config{Path: filepath.Join(s.dir, "data", "tollgate.db")})
	if err != nil {
		s.t.Fatal(err)
	}
	return db
}

// credit puts money into an account's wallet.
func (s *stack) credit(account, amount string) {
	s.t.Helper()
	db := s.openRecords()
	defer func() { _ = db.Close() }()
	sum, err := quota.ParseMicros(amount)
	if err != nil {
		s.t.Fatal(err)
	}
	now := time.Now()
	if _, err := db.AddCredit(s.t.Context(), &tokens.Credit{Account: account, ID: strconv.FormatInt(now.UnixNano(), 36), Amount: sum, At: now}); err != nil {
		s.t.Fatal(err)
	}
}

// spentOf is what the lines of an account's wallet add up to.
func (s *stack) spentOf(account string) (sum quota.Micros, requests int64) {
	s.t.Helper()
	db := s.openRecords()
	defer func() { _ = db.Close() }()
	lines, err := db.Ledger().Lines(s.t.Context(), account, nil, 1000)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, l := range lines {
		if l.Spent != l.Price*l.Count {
			s.t.Errorf("line %+v: the price times the count is %d", l, l.Price*l.Count)
		}
		sum += quota.Micros(l.Spent)
		requests += l.Count
	}
	return sum, requests
}

// TestO4_O7_Wallet: credit pays for priced routes, production's only.
func TestO4_O7_Wallet(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newTollgate(t, atNoon(limitsConfig))
		s.startEnvoy(envoy)
		bearer := s.dailyToken(s.client("--scope", "contacts:read", "--account", "acme"))
		sandbox := s.dailyToken(s.client("--scope", "contacts:read", "--account", "acme", "--environment", "sandbox"))
		refusedForGood(t, s.ask("/v1/priced", bearer)) // an empty wallet
		s.passes("a route without a price", bearer)
		trySandbox := func() {
			t.Helper()
			for range 3 {
				if a := s.patiently(func() answer { return s.request(http.MethodGet, "sandbox.example.com", "/v1/priced", sandbox) }); a.status != http.StatusOK {
					t.Errorf("in the sandbox: %d %s", a.status, a.body)
				}
			}
		}
		trySandbox()
		s.credit("acme", "0.05")
		from := time.Now()
		s.until("serve has heard of the credit", func() bool { return s.ask("/v1/priced", bearer).status == http.StatusOK })
		if took := time.Since(from); took > time.Second+busyMachine {
			t.Errorf("the credit was there after %s, want at most 1 s", took)
		}
		if a := s.ask("/v1/priced", bearer); a.status != http.StatusOK || strings.Contains(a.header.Get("ratelimit"), "wallet") {
			t.Errorf("the second of two that 0.05 pays for: %d, limits %q", a.status, a.header.Get("ratelimit"))
		}
		for range 3 {
			refusedForGood(t, s.ask("/v1/priced", bearer))
		}
		trySandbox()
		s.passes("a route without a price", bearer)
		s.until("the ledger has heard of both", func() bool { _, n := s.spentOf("acme"); return n >= 2 })
		if sum, n := s.spentOf("acme"); sum != 40_000 || n != 2 {
			t.Errorf("%s was spent by %d requests, want 0.04 by 2", sum, n)
		}
		paid := s.client("--scope", "contacts:read", "--account", "rich", "--plan", "paid")
		s.credit("rich", "10")
		s.catchUp()
		bearer = s.dailyToken(paid)
		for range 2 {
			s.passes("a free request", bearer)
			if a := s.ask("/v1/priced", bearer); a.status != http.StatusOK {
				t.Errorf("one of two paid requests: %d %s", a.status, a.body)
			}
		}
		refusedForGood(t, s.ask("/v1/priced", bearer))
		s.passes("a free request", bearer)
		sandbox = s.token(s.client("--scope", "contacts:read", "--account", "rich", "--plan", "paid", "--environment", "sandbox"))
		trySandbox() // no request there is a paid one
	})
}
