package e2e

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestI8_ShadowPlan: it says what it would refuse, and refuses nothing.
func TestI8_ShadowPlan(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newTollgate(t, atNoon(limitsConfig))
		s.startEnvoy(envoy, func(front string) string {
			return strings.Replace(front, "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:code)%", "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:shadow)%", 1)
		})
		c := s.client("--scope", "contacts:read", "--plan", "watch")
		bearer := s.dailyToken(c)
		for i := range 5 {
			a := s.ask("/v1/free", bearer)
			if told := a.header.Get("ratelimit") + a.header.Get("x-tollgate-warning"); a.status != http.StatusOK || told != "" {
				t.Errorf("request %d: %d, callers are told %q of limits that only watch", i+1, a.status, told)
			}
		}
		if n := s.metric(`tollgate_shadow_refusals_total{limit="per_day"}`); n != 3 {
			t.Errorf("the metric counts %v, want 3", n)
		}
		if n := s.metric(`tollgate_limit_refusals_total{limit="per_day"}`); n != 0 {
			t.Errorf("%v refusals", n)
		}
		for what, line := range map[string]*regexp.Regexp{
			"the log":            regexp.MustCompile(`"msg":"would have been refused","limits":\["per_day"\].*"client":"` + c.ID),
			"Envoy's access log": regexp.MustCompile(`"code":\["per_day"\]`),
		} {
			count := func() int { return len(line.FindAllString(s.log.String()+s.envoyLog.String(), -1)) }
			s.until(what+" tells of three", func() bool { return count() >= 3 })
			if n := count(); n != 3 {
				t.Errorf("%s tells of %d, want 3", what, n)
			}
		}
	})
}

// TestI8_WithoutEnforce: every limit is judged, told of and passed over.
func TestI8_WithoutEnforce(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newTollgate(t, atNoon(limitsConfig)+"enforce: false\n")
		s.startEnvoy(envoy)
		plans := []string{"few", "strict", "long"}
		for _, plan := range plans {
			bearer := s.dailyToken(s.client("--scope", "contacts:read", "--plan", plan))
			for i := range 6 {
				if a := s.ask("/v1/free", bearer); a.status != http.StatusOK || a.header.Get("x-tollgate-code") != "" {
					t.Errorf("plan %s, request %d: %d %s", plan, i+1, a.status, a.body)
				}
			}
		}
		unpaid := s.dailyToken(s.client("--scope", "contacts:read"))
		if a := s.ask("/v1/priced", unpaid); a.status != http.StatusOK {
			t.Errorf("a priced route without credit: %d %s", a.status, a.body)
		}
		busy := s.client("--scope", "contacts:read", "--plan", "strict")
		for range 5 { // three are all that its day has
			s.dailyToken(busy)
		}
		// strict: its one token request counts beside the calls.
		const refused = 3 + 4 + 3 + 1
		if n := s.metric("tollgate_passed_total"); n != refused {
			t.Errorf("%v have passed that would have been refused, want %d", n, refused)
		}
		if n := strings.Count(s.log.String(), `"passed":true`); n != refused {
			t.Errorf("the log tells of %d, want %d", n, refused)
		}
		if strings.Contains(s.log.String(), "locked out") {
			t.Error("a token was locked out")
		}
		s.until("the access log has their codes", func() bool {
			log := s.envoyLog.String()
			// R0 is for a question that the ledger did not answer in time, on a machine with a lot to do.
			return strings.Count(log, `"code":"R3"`)+strings.Count(log, `"code":"R0"`) == refused
		})
	})
}
