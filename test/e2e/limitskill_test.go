package e2e

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// killConfig has limits of which a lease is more than one unit.
const killConfig = `
tokens: {generations_per_minute: 1000}
accounts: {default_zone: ZONE}
plans:
  default: {}
  daily: {per_day: 2000, auth_per_day: 6}
  total: {total_requests: 2000}
apis:
  - name: contacts
    hosts: [api.example.com]
    routes:
      - {match: "GET /v1/free"}
      - {match: "GET /v1/priced", name: priced, price: "0.02"}
`

// spender is who uses up one limit, with some callers at once.
type spender struct {
	name, path, bearer  string
	cell                quota.CellID  // where it is counted
	limit               int64         // requests that it allows
	unit                int64         // what a request is charged
	pause               time.Duration // of a caller between two requests
	allowed, lost, slow atomic.Int64
	done                atomic.Bool // it was refused for good
}

const callersEach = 4

// spenders are one for each kind of limit.
func (s *stack) spenders() []*spender {
	s.t.Helper()
	const limit, price = 2000, 20_000
	daily, total := s.client("--scope", "contacts:read", "--plan", "daily"), s.client("--scope", "contacts:read", "--plan", "total")
	paying := s.client("--scope", "contacts:read", "--account", "payer")
	s.credit("payer", "40.00")
	s.catchUp()
	return []*spender{
		{name: "per_day", path: "/v1/free", bearer: s.dailyToken(daily), limit: limit, unit: 1, cell: dayCell("daily", daily.ID)},
		{name: "total_requests", path: "/v1/free", bearer: s.token(total), limit: limit, unit: 1, cell: quota.CellID{Limit: quota.NewLimitID(limiter.KindTotalRequests, "total", "client", total.ID)}},
		{name: "wallet", path: "/v1/priced", bearer: s.token(paying), limit: limit, unit: price, cell: quota.CellID{Limit: quota.NewLimitID(limiter.KindWallet, "", "account", "payer")}},
	}
}

// once sends one request. Envoy says of a decision that did not arrive that there is
// none; that of a ledger that was too slow has one, and spends nothing.
func (sp *spender) once(s *stack) (again bool) {
	req, err := http.NewRequest(http.MethodGet, "http://"+s.front+sp.path, nil)
	if err != nil {
		s.t.Error(err)
		return false
	}
	req.Host = "api.example.com"
	req.Header.Set("Authorization", "Bearer "+sp.bearer)
	a, err := s.direct.try(req)
	code, decided := a.header.Get("x-tollgate-code"), a.header.Get("x-tollgate-decision") != ""
	switch {
	case err != nil:
		s.t.Error("Envoy: ", err)
		return false
	case a.status == http.StatusOK:
		if n := sp.allowed.Add(1); n > sp.limit { // the first is enough
			s.t.Errorf("%s: %d were allowed of %d", sp.name, n, sp.limit)
			return false
		}
	case !decided:
		sp.lost.Add(1)
		return false
	case code == "R3":
		sp.done.Store(true)
		return false
	case code == "R0":
		sp.slow.Add(1)
	default:
		s.t.Errorf("%s: %d %s", sp.name, a.status, a.body)
		return false
	}
	return true
}

// spend has all callers of all spenders send requests until each of them got no
// decision, or its limit is used up. answered is called after every answer.
func (s *stack) spend(list []*spender, answered func()) {
	var all sync.WaitGroup
	for _, sp := range list {
		for range callersEach {
			all.Go(func() {
				for sp.once(s) {
					answered()
					if sp.pause > 0 {
						<-time.After(sp.pause)
					}
				}
			})
		}
	}
	all.Wait()
}

// untilFound waits until Envoy gets decisions again. That costs nothing.
func (s *stack) untilFound() {
	s.t.Helper()
	s.until("Envoy gets decisions", func() bool { return s.get("/v1/free", "").header.Get("x-tollgate-decision") != "" })
}

// useUp spends what is left of every limit, until it is refused twice in a row by
// whoever asks alone.
func (s *stack) useUp(list []*spender) {
	s.t.Helper()
	s.spend(list, func() {})
	for _, sp := range list {
		for refused := 0; refused < 2 && sp.allowed.Load() <= sp.limit; {
			sp.done.Store(false)
			if sp.once(s); sp.done.Load() {
				refused++
			} else {
				refused = 0
			}
		}
	}
}

// TestB13_KilledWhileCounting: of no limit more than there is, and what a kill strands
// is little.
func TestB13_KilledWhileCounting(t *testing.T) {
	oneEnvoy(t, func(t *testing.T, envoy string) {
		rounds := 20
		if testing.Short() {
			rounds = 5
		}
		s := newTollgate(t, atNoon(killConfig))
		s.startEnvoy(envoy)
		list := s.spenders()
		var ready []time.Duration
		for range rounds {
			var answers atomic.Int64
			answers.Store(40 + rand.Int64N(160)) // it is killed behind the last of them
			s.spend(list, func() {
				if answers.Add(-1) == 0 {
					_ = s.serve.Process.Kill()
				}
			})
			ready = append(ready, s.restart())
			s.untilFound()
		}
		s.checkIntegrity()
		atKills := map[string]int64{}
		for _, sp := range list {
			atKills[sp.name] = sp.allowed.Load()
			if sp.done.Load() {
				t.Errorf("%s was used up before the last kill, after %d requests", sp.name, sp.allowed.Load())
			}
		}
		s.useUp(list)
		s.stopGently()
		for _, sp := range list {
			t.Logf("%s: %d were allowed until the last of %d kills", sp.name, atKills[sp.name], rounds)
			s.audit(sp, int64(rounds))
		}
		s.auditWallet(list[2])
		s.auditUpstream(list)
		t.Logf("ready after %s", percentiles(ready))
	})
}

// TestB20_StoppedWhileCounting: a clean stop strands nothing.
func TestB20_StoppedWhileCounting(t *testing.T) {
	oneEnvoy(t, func(t *testing.T, envoy string) {
		s := newTollgate(t, atNoon(killConfig))
		s.startEnvoy(envoy)
		list := s.spenders()
		for range 3 {
			for _, sp := range list {
				sp.pause = 20 * time.Millisecond
			}
			var answers atomic.Int64
			answers.Store(100)
			s.spend(list, func() {
				if answers.Add(-1) == 0 {
					_ = s.serve.Process.Signal(syscall.SIGTERM)
				}
			})
			_ = s.serve.Wait()
			if code := s.serve.ProcessState.ExitCode(); code != 0 {
				t.Errorf("exit status %d; log:\n%s", code, s.log)
			}
			s.startServe()
			s.untilFound()
		}
		for _, sp := range list {
			sp.pause = 0
			if sp.done.Load() {
				t.Errorf("%s was used up before the last stop", sp.name)
			}
		}
		s.useUp(list)
		s.stopGently()
		for _, sp := range list {
			s.audit(sp, 0)
			// A request that was charged while Envoy lost its patience, or the connection, is
			// one of the limit's: the ledger knows of every one, see audit.
			if allowed, lost := sp.allowed.Load(), sp.lost.Load(); allowed > sp.limit || allowed+lost < sp.limit {
				t.Errorf("%s: %d were allowed, and %d had no decision, want %d", sp.name, allowed, lost, sp.limit)
			}
			if usage := s.usageOf(sp.cell); usage.Spent != sp.limit*sp.unit || usage.Leased != 0 {
				t.Errorf("%s: after clean stops %d are spent and %d leased, want %d and none", sp.name, usage.Spent, usage.Leased, sp.limit*sp.unit)
			}
		}
		s.auditWallet(list[2])
		s.auditUpstream(list)
	})
}
