package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestI8_PerDay: for the client over all of its tokens, until midnight of its account.
func TestI8_PerDay(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		name, zone := noon()
		s := newTollgate(t, strings.ReplaceAll(limitsConfig, "ZONE", "Asia/Kathmandu")) // the account has another
		s.startEnvoy(envoy)
		s.tollgate("account", "create", "--name", "acme", "--zone", name)
		c := s.client("--scope", "contacts:read", "--plan", "daily", "--account", "acme")
		bearers := [2]string{s.dailyToken(c), s.dailyToken(c)}
		const policy = `"burst";q=1000;w=1, "per_minute";q=1000;w=60, "per_day";q=10;w=86400, "total_requests";q=50`
		for i := range 10 {
			a := s.ask("/v1/free", bearers[i%2])
			limits := a.header.Get("ratelimit")
			if a.status != http.StatusOK || a.header.Get("ratelimit-policy") != policy || limitOf(limits, "per_day", "r") != 9-i || limitOf(limits, "total_requests", "r") != 49-i {
				t.Errorf("request %d: %d, policy %s, limits %s", i+1, a.status, a.header.Get("ratelimit-policy"), limits)
			}
			if limitOf(limits, "total_requests", "t") != -1 {
				t.Errorf("total_requests resets: %s", limits)
			}
			warning := ""
			if i+1 >= 8 {
				warning = fmt.Sprintf(`"per_day";used=%d;limit=10`, i+1)
			}
			if got := a.header.Get("x-tollgate-warning"); got != warning {
				t.Errorf("request %d: warning %q, want %q", i+1, got, warning)
			}
		}
		for i := range 4 {
			a := s.ask("/v1/free", bearers[i%2])
			checkRefusal(t, outOfLimits, a)
			endsAtMidnight(t, "per_day", a.header.Get("retry-after"), zone)
			limits := a.header.Get("ratelimit")
			if limitOf(limits, "per_day", "r") != 0 || limitOf(limits, "total_requests", "r") != 40 || limitOf(limits, "per_minute", "r") != 995 {
				t.Errorf("refused: limits %s; refused requests spend nothing", limits)
			}
			if rest, want := limitOf(limits, "per_day", "t"), untilMidnight(zone); rest < want-1 || rest > want+1 {
				t.Errorf("per_day resets in %d s, midnight is in %d", rest, want)
			}
			if got := a.header.Get("x-tollgate-warning"); got != `"per_day";used=10;limit=10` {
				t.Errorf("refused: warning %q", got)
			}
		}
		another := s.client("--scope", "contacts:read", "--plan", "daily", "--account", "acme")
		s.passes("another client of the account", s.dailyToken(another))
		if n := s.metric(`tollgate_limit_refusals_total{limit="per_day"}`); n != 4 {
			t.Errorf("the metric counts %v refusals by per_day, want 4", n)
		}
	})
}

// TestI8_RoutePlanIsChargedBeside the client's, and counted apart.
func TestI8_RoutePlanIsChargedBeside(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		_, zone := noon()
		s := newTollgate(t, atNoon(limitsConfig))
		s.startEnvoy(envoy)
		bearer := s.dailyToken(s.client("--scope", "contacts:read", "--plan", "roomy"))
		for i := range 3 {
			a := s.ask("/v1/strict", bearer)
			limits := a.header.Get("ratelimit")
			if a.status != http.StatusOK || a.header.Get("ratelimit-policy") != `"per_day";q=20;w=86400, "strict.per_day";q=3;w=86400` || limitOf(limits, "per_day", "r") != 19-i || limitOf(limits, "strict.per_day", "r") != 2-i {
				t.Errorf("request %d: %d %v", i+1, a.status, a.header)
			}
		}
		a := s.ask("/v1/strict", bearer)
		checkRefusal(t, outOfLimits, a)
		endsAtMidnight(t, "strict.per_day", a.header.Get("retry-after"), zone)
		if a = s.ask("/v1/free", bearer); a.status != http.StatusOK || limitOf(a.header.Get("ratelimit"), "per_day", "r") != 16 || strings.Contains(a.header.Get("ratelimit"), "strict") {
			t.Errorf("another route: %d, limits %s", a.status, a.header.Get("ratelimit"))
		}
		if a = s.ask("/v1/strict", s.dailyToken(s.client("--scope", "contacts:read", "--plan", "strict"))); a.status != http.StatusOK || limitOf(a.header.Get("ratelimit"), "strict.per_day", "r") != 2 {
			t.Errorf("a client whose own plan is the route's: %d, limits %s", a.status, a.header.Get("ratelimit"))
		}
	})
}

// TestO1_TotalRequestsNeverReset: and so carry no Retry-After.
func TestO1_TotalRequestsNeverReset(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newTollgate(t, atNoon(limitsConfig))
		s.startEnvoy(envoy)
		c := s.client("--scope", "contacts:read", "--plan", "few")
		bearer := s.dailyToken(c)
		for range 3 {
			s.passes("one of three", bearer)
		}
		for _, bearer := range []string{bearer, s.dailyToken(c)} {
			a := s.ask("/v1/free", bearer)
			refusedForGood(t, a)
			if got := a.header.Get("ratelimit"); got != `"total_requests";r=0` || a.header.Get("ratelimit-policy") != `"total_requests";q=3` {
				t.Errorf("limits %s, policy %s", got, a.header.Get("ratelimit-policy"))
			}
		}
	})
}

// TestB13_LimitsSurviveRestarts: what was spent is spent, and little is stranded.
func TestB13_LimitsSurviveRestarts(t *testing.T) {
	t.Parallel()
	s := newTollgate(t, atNoon(limitsConfig))
	bearers := map[string]string{}
	for _, plan := range []string{"daily", "few"} {
		bearers[plan] = s.dailyToken(s.client("--scope", "contacts:read", "--plan", plan))
	}
	left := map[string]int{"daily": 10, "few": 3}
	for _, stop := range []func(){
		func() { s.stopGently(); s.startServe() }, // strands nothing
		func() { s.restart() },                    // strands one unit at most: a hundredth of ten is less
	} {
		check := s.checker()
		for plan, bearer := range bearers {
			if code := check.patiently(s, bearer); code != "" {
				t.Errorf("plan %s: %s", plan, code)
			}
			left[plan]--
		}
		stop()
	}
	check := s.checker()
	for plan, bearer := range bearers {
		allowed := 0
		for range left[plan] + 2 {
			if check.patiently(s, bearer) == "" {
				allowed++
			}
		}
		if allowed > left[plan] || allowed < left[plan]-1 {
			t.Errorf("plan %s: %d more were allowed, want %d, or one less after the kill", plan, allowed, left[plan])
		}
	}
}
