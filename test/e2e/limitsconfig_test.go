package e2e

import (
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// limitsConfig has a plan for each kind of limit.
const limitsConfig = `
tokens: {generations_per_minute: 1000}
accounts: {default_zone: ZONE}
plans:
  default: {burst: {rate: 1000, size: 1000}}
  daily: {burst: {rate: 1000, size: 1000}, per_minute: 1000, per_day: 10, auth_per_day: 6, total_requests: 50, warn_at: 0.8}
  few: {total_requests: 3}
  paid: {paid_requests: 2}
  roomy: {per_day: 20, auth_per_day: 6}
  strict: {per_day: 3}
  watch: {per_day: 2, auth_per_day: 6, shadow: true, warn_at: 0.5}
  long: {per_minute: 3, lockout: 5m}
  short: {per_minute: 3, lockout: 30s}
apis:
  - name: contacts
    hosts: [api.example.com]
    sandbox_hosts: [sandbox.example.com]
    routes:
      - {match: "GET /v1/free"}
      - {match: "GET /v1/strict", plan: strict}
      - {match: "GET /v1/priced", name: priced, price: "0.02"}
      - {match: "GET /v1/scoped", scopes: [contacts:write]}
  - name: other
    hosts: [other.example.com]
    routes: [{match: "GET /v1/free"}]
`

// noon is a time zone in which it is about noon: no day ends while a test runs.
func noon() (name string, zone *time.Location) {
	hours := 12 - time.Now().UTC().Hour()
	name = "Etc/GMT" // which counts to the west
	if hours != 0 {
		name += fmt.Sprintf("%+d", -hours)
	}
	return name, time.FixedZone(name, hours*3600)
}

// atNoon is a configuration whose days are those of noon.
func atNoon(config string) string {
	name, _ := noon()
	return strings.ReplaceAll(config, "ZONE", name)
}

// untilMidnight is the rest of the day in seconds.
func untilMidnight(zone *time.Location) int {
	now := time.Now().In(zone)
	midnight := time.Date(now.Year(), now.Month(), now.Day()+1, 0, 0, 0, 0, zone)
	return int(math.Ceil(midnight.Sub(now).Seconds()))
}

// endsAtMidnight holds a Retry-After to the second.
func endsAtMidnight(t *testing.T, what, retryAfter string, zone *time.Location) {
	t.Helper()
	got, err := strconv.Atoi(retryAfter)
	if want := untilMidnight(zone); err != nil || got < want-1 || got > want+1 {
		t.Errorf("%s: retry after %q, midnight is in %d s", what, retryAfter, want)
	}
}

// limitOf reads one limit's parameter out of a RateLimit field; -1: it is not there.
func limitOf(field, limit, param string) int {
	for one := range strings.SplitSeq(field, ", ") {
		params := strings.Split(one, ";")
		if params[0] != `"`+limit+`"` {
			continue
		}
		for _, p := range params[1:] {
			if value, ok := strings.CutPrefix(p, param+"="); ok {
				n, err := strconv.Atoi(value)
				if err != nil {
					return -1
				}
				return n
			}
		}
	}
	return -1
}

// patiently repeats a request that the ledger was too slow for. It may be, on a machine
// with many tests: a request waits for 20 ms at most, and its 503 has spent nothing.
func (s *stack) patiently(ask func() answer) (a answer) {
	s.t.Helper()
	s.until("the ledger has answered in time", func() bool { a = ask(); return a.status != http.StatusServiceUnavailable })
	return a
}

// ask is get, patiently.
func (s *stack) ask(path, bearer string) answer {
	s.t.Helper()
	return s.patiently(func() answer { s.t.Helper(); return s.get(path, bearer) })
}

// passes holds a request to be allowed.
func (s *stack) passes(what, bearer string) {
	s.t.Helper()
	if a := s.ask("/v1/free", bearer); a.status != http.StatusOK {
		s.t.Errorf("%s: %d %s", what, a.status, a.body)
	}
}

// patiently is must, repeated as long as the ledger is too slow.
func (c checker) patiently(s *stack, bearer string) (code string) {
	s.t.Helper()
	s.until("the ledger has answered in time", func() bool { code = c.must(s, bearer); return code != "R0" })
	return code
}

// outOfLimits is a refusal for good or until later.
var outOfLimits = refusal{"RateLimited", 429, "R3", "Rate Limited", "", nil}

// refusedForGood holds an answer to the R3 of a limit that never resets.
func refusedForGood(t *testing.T, a answer) {
	t.Helper()
	checkWords(t, outOfLimits, a)
	if after, sent := a.header["Retry-After"]; sent {
		t.Errorf("retry after %v, of a limit that never resets", after)
	}
}

// metric is the value of one series, as /metrics has it.
func (s *stack) metric(series string) float64 {
	s.t.Helper()
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindStringSubmatch(s.fetch("http://" + s.ops + "/metrics"))
	if found == nil {
		s.t.Fatalf("/metrics has no %s", series)
	}
	value, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return value
}
