package e2e

import (
	"context"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/test/outside"
)

// sharedConfig is of processes with one store: their tokens have one issuer.
const sharedConfig = `
issuer: https://tollgate.example.com
tokens: {generations_per_minute: 1000}
accounts: {default_zone: ZONE}
plans:
  default: {}
  daily: {per_day: 1000, auth_per_day: 6}
  total: {total_requests: 1000}
  both: {per_day: 1000, auth_per_day: 6, total_requests: 1000}
apis:
  - name: contacts
    hosts: [api.example.com]
    routes:
      - {match: "GET /v1/free"}
      - {match: "GET /v1/priced", name: priced, price: "0.02"}
`

// beside is another serve on the store of s, with that configuration.
func (s *stack) beside(config string) *stack {
	s.t.Helper()
	other := &stack{t: s.t, dir: s.dir, upstream: s.upstream, check: outside.FreeAddress(s.t), http: outside.FreeAddress(s.t), ops: outside.FreeAddress(s.t)}
	other.writeConfig(config)
	other.startServe()
	return other
}

// held is what a serve has leased and not spent.
func (s *stack) held() string {
	s.t.Helper()
	return strings.Join(regexp.MustCompile(`(?m)^tollgate_lease_units_held.* [^0]\S*$`).FindAllString(s.fetch("http://"+s.ops+"/metrics"), -1), "\n")
}

// TestB18_TwoProcessesOneLimit: 64 callers at both, and exactly what the limit is, not
// earlier and never more.
func TestB18_TwoProcessesOneLimit(t *testing.T) {
	t.Parallel()
	config := atNoon(sharedConfig)
	s := newTollgate(t, config)
	other := s.beside(config)
	checks := [2]checker{s.checker(), other.checker()}
	for _, tt := range []struct{ name, plan, path string }{
		{"per_day", "daily", "/v1/free"}, {"total_requests", "total", "/v1/free"}, {"wallet", "default", "/v1/priced"}, {"all of them", "both", "/v1/priced"},
	} {
		account := "account-of-" + tt.plan
		c := s.client("--scope", "contacts:read", "--plan", tt.plan, "--account", account)
		if tt.path == "/v1/priced" {
			s.credit(account, "20.00")
		}
		bearer := s.dailyToken(c)
		const limit, callers = 1000, 64
		var allowed, slow, refused atomic.Int64
		for _, check := range checks {
			s.until("both have heard of it", func() bool {
				code := check.must(s, bearer)
				if code == "" && tt.plan != "default" { // which has no limit of requests
					allowed.Add(1)
				}
				return code == ""
			})
		}
		ctx, stop := context.WithCancel(t.Context())
		from := time.Now()
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				for ctx.Err() == nil {
					code, err := checks[i%2].codeAt(t.Context(), tt.path, bearer)
					switch {
					case err != nil:
						t.Error(err)
						return
					case code == "":
						allowed.Add(1)
						continue
					case code == "R0": // it has waited long enough
						slow.Add(1)
						continue
					case code != "R3":
						t.Errorf("%s: %s", tt.name, code)
						return
					}
					refused.Add(1)
					<-time.After(20 * time.Millisecond) // what is left may be leased by the other process, which gives it back
				}
			})
		}
		for allowed.Load() < limit && time.Since(from) < 15*time.Second && !t.Failed() {
			<-time.After(10 * time.Millisecond)
		}
		took := time.Since(from)
		<-time.After(1500 * time.Millisecond)
		stop()
		all.Wait()
		t.Logf("%s: %d allowed after %s, %d were refused and %d found the ledger too slow", tt.name, allowed.Load(), took.Round(time.Millisecond), refused.Load(), slow.Load())
		if n := allowed.Load(); n != limit {
			t.Errorf("%s: %d were allowed, want %d; held by the one:\n%s\nby the other:\n%s", tt.name, n, limit, s.held(), other.held())
		}
	}
}
