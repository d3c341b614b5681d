package e2e

import (
	"net/http"
	"testing"
)

// statsReport is what stats prints.
type statsReport struct {
	Requests, Allowed int64
	Refused           map[string]int64
	PaidCalls         int64  `json:"paid_calls"`
	PaidAmount        string `json:"paid_amount"`
	Buckets           []struct {
		Group      map[string]string
		Requests   int64
		PaidAmount string `json:"paid_amount"`
	}
	Addresses []struct {
		Address  string
		Requests int64
	}
}

func (s *stack) stats(args ...string) (r statsReport) {
	s.t.Helper()
	s.read(&r, append([]string{"stats", "--from", "1h"}, args...)...)
	return r
}

// TestO5_Stats: requests through Envoy are counted within two seconds, a stop loses none,
// and kill -9 none that was told before.
func TestO5_Stats(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, envoy string) {
		s := newTollgate(t, atNoon(limitsConfig))
		s.startEnvoy(envoy)
		id := s.client("--scope", "contacts:read", "--account", "acme")
		bearer := s.dailyToken(id)
		s.credit("acme", "1.00")
		paid, free := int64(3), int64(2)
		for range paid {
			s.until("a priced request passes", func() bool { return s.get("/v1/priced", bearer).status == http.StatusOK })
		}
		for range free {
			s.passes("a free request", bearer)
		}
		s.get("/v1/free", "nonsense")
		s.get("/v1/scoped", bearer)
		var r statsReport
		s.until("the requests are counted", func() bool {
			r = s.stats("--group-by", "account,domain,route,client")
			return r.Refused["R6"] == 1 && r.Allowed == paid+free
		})
		if r.Refused["R1"] != 1 || r.PaidCalls != paid || r.PaidAmount != "0.06" || r.Requests != r.Allowed+r.Refused["R1"]+r.Refused["R3"]+r.Refused["R6"]+r.Refused["R0/503"] {
			t.Errorf("%+v", r)
		}
		found := false
		for _, b := range r.Buckets {
			g := b.Group
			found = found || g["account"] == "acme" && g["domain"] == "api.example.com" && g["route"] == "priced" && g["client"] == id.ID && b.PaidAmount == "0.06"
		}
		if !found || len(r.Addresses) != 1 || r.Addresses[0].Address != "127.0.0.1" || r.Addresses[0].Requests != r.Requests {
			t.Errorf("buckets %+v, addresses %+v", r.Buckets, r.Addresses)
		}
		s.passes("one more", bearer)
		s.stopGently() // what was counted a moment ago is stored
		if got := s.stats().Allowed; got != paid+free+1 {
			t.Errorf("after a stop: %d allowed, want %d", got, paid+free+1)
		}
		s.startServe()
		s.until("Envoy has found it again", func() bool { return s.get("/v1/free", bearer).status == http.StatusOK })
		s.until("all is stored", func() bool { return s.metric("tollgate_stats_series") == 0 })
		before := s.stats().Allowed
		if before != paid+free+2 {
			t.Errorf("after a start: %d allowed, want %d", before, paid+free+2)
		}
		s.restart()
		if got := s.stats().Allowed; got != before {
			t.Errorf("after a kill: %d allowed, want %d", got, before)
		}
	})
}
