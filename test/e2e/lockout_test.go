package e2e

import (
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// stopGently ends tollgate as an orchestrator does.
func (s *stack) stopGently() {
	s.t.Helper()
	s.stopServe(syscall.SIGTERM)
	if code := s.serve.ProcessState.ExitCode(); code != 0 {
		s.t.Errorf("exit status %d; log:\n%s", code, s.log)
	}
}

// lockouts are those that the store has.
func (s *stack) lockouts() []*tokens.Lockout {
	s.t.Helper()
	db := s.openRecords()
	defer func() { _ = db.Close() }()
	list, err := db.ListLockouts(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// retryAfter is the Retry-After of a refusal by a limit.
func retryAfter(t *testing.T, a answer) int {
	t.Helper()
	checkRefusal(t, outOfLimits, a)
	seconds, _ := strconv.Atoi(a.header.Get("retry-after"))
	return seconds
}

// TestV4_Lockout: whoever exceeds per_minute is refused everything for the period, and
// nobody else is.
func TestV4_Lockout(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newTollgate(t, atNoon(limitsConfig))
		s.startEnvoy(envoy)
		c := s.client("--scope", "contacts:read", "--plan", "long")
		bearer, other := s.token(c), s.token(c)
		brief := s.token(s.client("--scope", "contacts:read", "--plan", "short"))
		if after := retryAfter(t, s.fourth(bearer)); after < 299 || after > 300 {
			t.Errorf("retry after %d s, want the lockout of 300", after)
		}
		if after := retryAfter(t, s.fourth(brief)); after < 30 || after > 60 {
			t.Errorf("retry after %d s, want the minute's rest, which is longer than the lockout of 30 s", after)
		}
		before := s.upstream.count()
		for _, at := range [][2]string{{"api.example.com", "/v1/free"}, {"api.example.com", "/v1/priced"}, {"api.example.com", "/v1/strict"}, {"other.example.com", "/v1/free"}} {
			if after := retryAfter(t, s.request(http.MethodGet, at[0], at[1], bearer)); after < 295 || after > 300 {
				t.Errorf("%s%s: retry after %d s", at[0], at[1], after)
			}
		}
		if a := s.get("/v1/scoped", bearer); a.header.Get("x-tollgate-code") != "R6" {
			t.Errorf("a scope that the token lacks: %d %s, want R6: that comes first", a.status, a.body)
		}
		if s.upstream.count() != before {
			t.Error("a refused request has reached the upstream")
		}
		s.until("the rest of the lockout is told, which refusals do not extend", func() bool { return retryAfter(t, s.get("/v1/free", bearer)) <= 298 })
		for range 3 {
			s.expectCode("another token of the client", other, "")
		}
		if n := s.metric(`tollgate_refusals_total{step="lockout"}`); n < 5 {
			t.Errorf("the metric of the step counts %v", n)
		}
		if n := strings.Count(s.log.String(), "a token is locked out"); n != 2 {
			t.Errorf("the log tells of %d lockouts, want 2", n)
		}
		s.lockoutsAfterKill(bearer, brief)
	})
}

// lockoutsAfterKill: one of five minutes survives, one of 30 s does not.
func (s *stack) lockoutsAfterKill(long, brief string) {
	s.t.Helper()
	s.until("the lockout is stored", func() bool { return len(s.lockouts()) > 0 })
	stored := s.lockouts()
	if len(stored) != 1 || stored[0].Until.Sub(stored[0].Since) != 5*time.Minute || stored[0].Plan != "long" {
		s.t.Errorf("the store has %+v, want the one of plan long", stored)
	}
	s.restart()
	s.until("Envoy has found it", func() bool { return s.get("/v1/free", "").header.Get("x-tollgate-decision") != "" })
	after, rest := retryAfter(s.t, s.get("/v1/free", long)), time.Until(stored[0].Until).Seconds()
	if float64(after) < rest-1 || float64(after) > rest+2 {
		s.t.Errorf("retry after %d s, the rest of the lockout is %.1f s", after, rest)
	}
	s.expectCode("a token whose lockout was of 30 s", brief, "")
}
