package endpoint

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// BenchmarkIssue_ES256 is a whole request for a JWT but for the connection, on one
// core (-cpu 1). p99 is that of the requests of this run.
func BenchmarkIssue_ES256(b *testing.B) {
	w := newWorld(b, unlimited, silent)
	for _, bench := range []struct {
		name string
		q    request
	}{
		{"json", jsonRequest("reports", w.secret, nil)},
		{"form", formRequest("grant_type", "client_credentials", "scope", "contacts:read").basic(w.client.ID, w.secret)},
	} {
		b.Run(bench.name, func(b *testing.B) { w.bench(b, bench.q) })
	}
}

// BenchmarkIssue_Opaque writes to a store in memory: what a disk adds is the disk's.
func BenchmarkIssue_Opaque(b *testing.B) {
	w := newWorld(b, unlimited, silent)
	c := w.caller("opaque", formatted(tokens.Opaque))
	w.bench(b, formRequest("grant_type", "client_credentials").basic(c.id, c.secret))
}

func silent(c *Config) { c.Observe = nil }

func (w *world) bench(b *testing.B, q request) {
	b.ReportAllocs()
	var took []time.Duration
	for b.Loop() {
		r := httptest.NewRequest(q.method, q.target, strings.NewReader(q.body))
		r.Header = q.header
		rec := httptest.NewRecorder()
		start := time.Now()
		w.handler.ServeHTTP(rec, r)
		took = append(took, time.Since(start))
		if rec.Code != 200 {
			b.Fatal(rec.Body)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
}
