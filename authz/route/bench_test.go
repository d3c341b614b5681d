package route

import (
	"fmt"
	"testing"
)

// largeTable has ten thousand routes on two hundred hosts: exact ones, some with
// a wildcard, and "*".
func largeTable() []Entry {
	var entries []Entry
	for h := range 200 {
		host := fmt.Sprintf("api%d.example.com", h)
		switch {
		case h == 0:
			host = "*"
		case h%10 == 0:
			host = fmt.Sprintf("*.tenant%d.example.com", h)
		}
		for r := range 10 {
			for _, p := range []string{"GET /v1/res%d/{id}", "POST /v1/res%d", "DELETE /v1/res%d/{id}", "/v1/res%d/{id}/parts/", "GET /v1/res%d/{id}/parts/{part}/me"} {
				entries = append(entries, Entry{Host: host, Pattern: fmt.Sprintf(p, r)})
			}
		}
	}
	return entries
}

// oneLargeHost has ten thousand routes on one host, on the same paths by five
// methods, with subtrees and wildcards before literals.
func oneLargeHost() []Entry {
	var entries []Entry
	for r := range 1000 {
		for _, p := range []string{"GET /v1/res%d/{id}", "HEAD /v1/res%d/{id}", "POST /v1/res%d/{id}", "PUT /v1/res%d/{id}", "PATCH /v1/res%d/{id}", "/v1/res%d/", "/v2/res%d/{id}/x/{$}", "/v3/{id}/%d/x", "/v3/{id}/%d/", "/v4/res%d/{rest...}"} {
			entries = append(entries, Entry{Host: "api.example.com", Pattern: fmt.Sprintf(p, r)})
		}
	}
	return entries
}

var lookups = []struct{ name, method, host, path string }{
	{"exact", "GET", "api77.example.com:443", "/v1/res7/018f3c1e-7b1d-7a52-9d3c"},
	{"head", "HEAD", "API77.example.com", "/v1/res7/018f3c1e-7b1d-7a52-9d3c"},
	{"wildcard", "GET", "a.b.tenant50.example.com", "/v1/res3/42/parts/7/me"},
	{"escaped", "DELETE", "api5.example.com", "/v1/res%34/caf%c3%a9"},
	{"any method", "PUT", "api5.example.com", "/v1/res4/42/parts/7/8/9"},
	{"any host", "POST", "elsewhere.test", "/v1/res9"},
	{"missing", "GET", "api199.example.com", "/v2/nothing/here"},
	{"many labels", "GET", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z.test", "/v1/res1/1"},
}

func TestMatchDoesNotAllocate(t *testing.T) {
	table := mustNew(t, nil, largeTable())
	for _, l := range lookups {
		if l.name != "missing" && table.Match(l.method, l.host, l.path).Entry < 0 {
			t.Errorf("%s: nothing matches", l.name)
		}
		if n := testing.AllocsPerRun(100, func() { table.Match(l.method, l.host, l.path) }); n != 0 {
			t.Errorf("%s: %v allocations", l.name, n)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	table := mustNew(b, nil, largeTable())
	for _, l := range lookups {
		b.Run(l.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				table.Match(l.method, l.host, l.path)
			}
		})
	}
	table = mustNew(b, nil, oneLargeHost())
	b.Run("one large host", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			table.Match("GET", "api.example.com", "/v1/res%37%37/42")
		}
	})
}

func BenchmarkNew(b *testing.B) {
	for name, entries := range map[string][]Entry{"hosts": largeTable(), "one host": oneLargeHost()} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				mustNew(b, nil, entries)
			}
		})
	}
}
