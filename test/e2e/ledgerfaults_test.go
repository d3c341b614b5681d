package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// faultsConfig has a plan that refuses while the ledger is away, and one that does not.
const faultsConfig = `
tokens: {generations_per_minute: 1000}
accounts: {default_zone: ZONE}
plans:
  default: {burst: {rate: 1000, size: 1000}}
  daily: {per_day: 5000, auth_per_day: 6}
  trusting: {per_day: 40, auth_per_day: 6, on_unavailable: allow}
apis:
  - name: contacts
    hosts: [api.example.com]
    routes: [{match: "GET /v1/free"}]
`

// lock keeps the store's write lock until the returned function is called.
func (s *stack) lock() (unlock func()) {
	s.t.Helper()
	db := s.openStore()
	conn, err := db.Conn(s.t.Context())
	if err == nil {
		_, err = conn.ExecContext(s.t.Context(), "BEGIN IMMEDIATE")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return func() {
		s.t.Helper()
		if _, err := conn.ExecContext(s.t.Context(), "ROLLBACK"); err != nil {
			s.t.Fatal(err)
		}
		_ = conn.Close()
		_ = db.Close()
	}
}

// fill fills a file system until the returned function is called.
func (s *stack) fill(folder string) (empty func()) {
	s.t.Helper()
	path := filepath.Join(folder, "filler")
	filler, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	for block := make([]byte, 4096); err == nil; {
		_, err = filler.Write(block)
	}
	_ = filler.Close()
	return func() {
		s.t.Helper()
		if err := os.Remove(path); err != nil {
			s.t.Fatal(err)
		}
	}
}

// timed asks once and notes how long that took.
func (c checker) timed(s *stack, bearer string, took *[]time.Duration) string {
	s.t.Helper()
	from := time.Now()
	code := c.must(s, bearer)
	*took = append(*took, time.Since(from))
	return code
}

// dayCell is where a client's day is counted.
func dayCell(plan, client string) quota.CellID {
	_, zone := noon()
	now := time.Now().In(zone)
	_, offset := now.Zone()
	return quota.CellID{Limit: quota.NewLimitID(limiter.KindPerDay, plan, "client", client), Window: int32((now.Unix() + int64(offset)) / 86400)}
}

// TestB15_LedgerLocked: another process keeps the lock.
func TestB15_LedgerLocked(t *testing.T) {
	t.Parallel()
	s := newTollgate(t, atNoon(faultsConfig))
	s.ledgerAway(s.client("--scope", "contacts:read", "--plan", "daily"), s.client("--scope", "contacts:read"), 5000/100, s.lock)
}

// TestB14_LedgerDiskFull: there is no room to count.
func TestB14_LedgerDiskFull(t *testing.T) {
	t.Parallel()
	s := prepareTollgate(t, atNoon(faultsConfig))
	daily, free := s.client("--scope", "contacts:read", "--plan", "daily"), s.client("--scope", "contacts:read")
	folder := s.smallDisk(2048)
	s.startServe()
	// SQLite's log has some room: what fits there is counted.
	s.ledgerAway(daily, free, 5000, func() func() { return s.fill(folder()) })
}

// ledgerAway has the ledger fail for a while: what is leased is spent, the rest is
// refused at once, and all is well soon after, with nothing counted wrong. free is a
// client without such a limit.
func (s *stack) ledgerAway(daily, free credential, mostLeased int, fail func() (mend func())) {
	t := s.t
	bearer, other := s.dailyToken(daily), s.token(free)
	check := s.checker()
	allowed := 0
	for range 300 {
		if code := check.patiently(s, bearer); code != "" {
			t.Fatalf("before: %s", code)
		}
		allowed++
	}
	mend := fail()
	var spending, refusing, others []time.Duration
	leased := 0
	for check.timed(s, bearer, &spending) == "" && leased <= mostLeased {
		leased++
	}
	if leased > mostLeased {
		t.Errorf("%d were allowed while the ledger was away, at most %d may be leased", leased, mostLeased)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for from := time.Now(); time.Since(from) < 4*time.Second; <-tick.C {
		if code := check.timed(s, bearer, &refusing); code != "R0" {
			t.Errorf("with nothing leased any more: %q, want R0", code)
		}
		if code := check.timed(s, other, &others); code != "" {
			t.Errorf("a client that has no such limit: %s", code)
		}
	}
	from := time.Now()
	i, err := s.grant(t.Context(), daily)
	s.unavailable("a token request that counts in the day", i, err)
	if took := time.Since(from); took > time.Second {
		t.Errorf("its 503 came after %s", took)
	}
	s.token(free)
	failures := s.metric("tollgate_ledger_errors_total")
	if failures < 1 {
		t.Errorf("the metric counts %v failures", failures)
	}
	if n := strings.Count(s.log.String(), "the ledger of quotas does not answer;"); n != 1 {
		t.Errorf("%d lines in the log within 5 s, want 1", n)
	}
	mend()
	from = time.Now()
	s.until("requests pass again", func() bool { return check.must(s, bearer) == "" })
	recovered := time.Since(from)
	s.until("the log tells of it", func() bool { return strings.Contains(s.log.String(), "the ledger of quotas answers again") })
	figures := percentiles(refusing)
	if usual := refusing[len(refusing)/2]; usual > 50*time.Millisecond { // the others are the machine's
		t.Errorf("refused after %s, want at most 50 ms", figures)
	}
	if recovered > 10*time.Second {
		t.Errorf("requests passed again after %s, want at most 10 s", recovered)
	}
	for range 100 {
		if code := check.patiently(s, bearer); code != "" {
			t.Errorf("afterwards: %s", code)
		}
	}
	t.Logf("%d were leased; 503 after %s; others meanwhile: %s; %v moves failed; well after %s", leased, figures, percentiles(others), failures, recovered.Round(time.Millisecond))
	if s.wrap != nil {
		return // the store is gone with its file system
	}
	s.stopGently()
	if u := s.usageOf(dayCell("daily", daily.ID)); u.Spent != int64(allowed+leased+101) || u.Leased != 0 {
		t.Errorf("the ledger has %d spent and %d leased, callers know of %d", u.Spent, u.Leased, allowed+leased+101)
	}
}

// TestB15_OnUnavailableAllow: requests pass that cannot be counted, and count later.
func TestB15_OnUnavailableAllow(t *testing.T) {
	t.Parallel()
	s := newTollgate(t, atNoon(faultsConfig))
	check := s.checker()
	clients, bearers := [2]credential{}, [2]string{}
	pass := func(i, n int, took *[]time.Duration) {
		t.Helper()
		for range n {
			if code := check.timed(s, bearers[i], took); code != "" {
				t.Errorf("client %d: %s", i, code)
			}
		}
	}
	var before, during, after []time.Duration
	for i := range clients {
		clients[i] = s.client("--scope", "contacts:read", "--plan", "trusting")
		s.until("the ledger has answered in time", func() bool {
			g, err := s.grant(t.Context(), clients[i])
			bearers[i] = g.Access
			return err == nil && g.Status == http.StatusOK
		})
		pass(i, 10, &before)
	}
	unlock := s.lock()
	pass(0, 15, &during) // 25 of 40
	pass(1, 50, &during) // 60 of 40: the promise is given up
	unlock()
	s.until("the ledger answers", func() bool {
		u := s.usageOf(dayCell("trusting", clients[1].ID))
		return u.Spent == 60
	})
	s.until("the day is used up", func() bool { return check.must(s, bearers[1]) == "R3" })
	s.until("the ledger has heard of the other", func() bool { return s.usageOf(dayCell("trusting", clients[0].ID)).Spent == 25 })
	pass(0, 15, &after)
	if code := check.must(s, bearers[0]); code != "R3" {
		t.Errorf("the 41st: %q, want R3", code)
	}
	figures := percentiles(during)
	if usual := during[len(during)/2]; usual > 50*time.Millisecond {
		t.Errorf("passed after %s, want at most 50 ms", figures)
	}
	t.Logf("passed with the ledger locked after %s; before: %s", figures, percentiles(before))
	s.stopGently()
	for i, want := range []int64{40, 60} {
		if u := s.usageOf(dayCell("trusting", clients[i].ID)); u.Spent != want {
			t.Errorf("client %d: the ledger has %d spent, want %d", i, u.Spent, want)
		}
	}
}
