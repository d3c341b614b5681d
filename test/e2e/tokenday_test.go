package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// issuedPatiently is patiently for tokens: a 503 has made none.
func (s *stack) issuedPatiently(ask func() (issued, error)) (i issued) {
	s.t.Helper()
	s.until("the ledger has answered in time", func() bool {
		var err error
		if i, err = ask(); err != nil {
			s.t.Fatal(err)
		}
		return i.Status != http.StatusServiceUnavailable
	})
	return i
}

func (s *stack) grantPatiently(c credential) issued {
	s.t.Helper()
	return s.issuedPatiently(func() (issued, error) { return s.grant(s.t.Context(), c) })
}

// dailyToken is token for a client whose token requests count in a day.
func (s *stack) dailyToken(c credential) string {
	s.t.Helper()
	return s.answered(http.StatusOK)(s.grantPatiently(c), nil).Access
}

// TestD5_TokenRequestsCountInTheDay: six a day are beside the plan's calls, further
// ones are among them.
func TestD5_TokenRequestsCountInTheDay(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		_, zone := noon()
		s := newTollgate(t, atNoon(limitsConfig))
		s.startEnvoy(envoy)
		c := s.client("--scope", "contacts:read", "--plan", "daily", "--refresh")
		oauth := func(secret, scope string) answer {
			return s.patiently(func() answer { return s.oauthToken(c.ID, secret, scope) })
		}
		auth := func(scope string) answer {
			return s.patiently(func() answer { return s.authToken(c.ID, c.Secret, scope) })
		}
		refresh := func(token string) issued {
			return s.issuedPatiently(func() (issued, error) { return s.refresh(t.Context(), c, token) })
		}
		refused := func() { // which counts nothing
			t.Helper()
			s.expectAnswer("bad scope", oauth(c.Secret, "contacts:write"), 400, map[string]any{"error": "invalid_scope", "code": "R2"})
			s.expectAnswer("bad scope", auth("contacts:write"), 401, map[string]any{"code": "R2"})
			s.expectAnswer("bad secret", oauth(c.Secret+"x", ""), 401, map[string]any{"error": "invalid_client"})
		}
		left := func(bearer string, want int) {
			t.Helper()
			a := s.ask("/v1/free", bearer)
			if got := limitOf(a.header.Get("ratelimit"), "per_day", "r"); a.status != http.StatusOK || got != want {
				t.Errorf("%d %s: %d left of the day, want %d", a.status, a.body, got, want)
			}
		}
		pair := s.answered(200)(s.grantPatiently(c), nil)
		refused()
		for range 2 {
			s.expectAnswer("within six", auth(""), 200, nil)
			s.expectAnswer("within six", oauth(c.Secret, ""), 200, nil)
		}
		refused()
		left(pair.Access, 9)
		pair = s.answered(200)(refresh(pair.Refresh), nil) // the sixth
		left(pair.Access, 8)
		s.expectAnswer("the seventh", auth(""), 200, nil)
		refused()
		left(pair.Access, 6)
		pair = s.answered(200)(refresh(pair.Refresh), nil)
		for i := range 5 {
			left(pair.Access, 4-i)
		}

		byForm, byJSON, again := oauth(c.Secret, ""), auth(""), refresh(pair.Refresh)
		s.expectAnswer("the day is used up", byForm, 429, map[string]any{"error": "temporarily_unavailable", "code": "R3", "message": "Rate Limited"})
		s.expectAnswer("the day is used up", byJSON, 429, map[string]any{"code": "R3", "message": "Rate Limited"})
		if strings.Contains(byJSON.body, "error") {
			t.Errorf("/auth/token answers %s, in the words of /oauth2/token", byJSON.body)
		}
		if again.Status != http.StatusTooManyRequests || again.Code != "R3" {
			t.Errorf("a refresh: %d %s; want 429 R3", again.Status, again.Body)
		}
		call := s.ask("/v1/free", pair.Access)
		checkRefusal(t, outOfLimits, call)
		for what, after := range map[string]string{
			"/oauth2/token": byForm.header.Get("retry-after"), "/auth/token": byJSON.header.Get("retry-after"), "a refresh": again.RetryAfter, "a call": call.header.Get("retry-after"),
		} {
			endsAtMidnight(t, what, after, zone)
		}
		s.expectAnswer("a wrong secret learns nothing of the day", oauth(c.Secret+"x", ""), 401, map[string]any{"code": "R1"})
	})
}

// TestD5_WithoutAllowance: a plan with calls alone, and one without a day.
func TestD5_WithoutAllowance(t *testing.T) {
	t.Parallel()
	s := newTollgate(t, atNoon(limitsConfig))
	strict := s.client("--scope", "contacts:read", "--plan", "strict")
	for range 3 {
		s.dailyToken(strict)
	}
	_, zone := noon()
	endsAtMidnight(t, "three calls a day", s.answered(429)(s.grantPatiently(strict), nil).RetryAfter, zone)
	few := s.client("--scope", "contacts:read", "--plan", "few")
	for range 10 {
		s.token(few)
	}
}
