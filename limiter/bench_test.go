package limiter

import (
	"sync/atomic"
	"testing"
	"time"
)

func benchPlans(b *testing.B) []*Plan {
	return []*Plan{plan(b, "default", Burst{1e6, 1e6}, 2e9)}
}

func wantAllowed(b *testing.B, res *Result) {
	if res.Verdict != Allowed {
		b.Fatalf("got %v", res.Verdict)
	}
}

func BenchmarkTake_OneSubject(b *testing.B) {
	for name, plans := range map[string][]*Plan{
		"one plan":  benchPlans(b),
		"two plans": append(benchPlans(b), plan(b, "route", Burst{1e6, 1e6}, 2e9)),
	} {
		b.Run(name, func(b *testing.B) {
			tab := table(b, 64<<20)
			var res Result
			now := epoch
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(time.Microsecond)
				tab.Take(now, 1, plans, &res)
				wantAllowed(b, &res)
			}
		})
	}
}

func BenchmarkTake_Refused(b *testing.B) {
	tab := table(b, 64<<20)
	plans := []*Plan{plan(b, "p", Burst{1, 1}, 1)}
	var res Result
	tab.Take(epoch, 1, plans, &res)
	for b.Loop() {
		if tab.Take(epoch, 1, plans, &res); res.Verdict != RefusedBurst {
			b.Fatalf("got %v", res.Verdict)
		}
	}
}

func BenchmarkTake_MillionSubjects(b *testing.B) {
	tab := table(b, 256<<20)
	plans := benchPlans(b)
	var res Result
	const n = 1_000_000
	for i := range Subject(n) {
		tab.Take(epoch, i, plans, &res)
	}
	now, i := epoch, Subject(0)
	b.ReportAllocs()
	for b.Loop() {
		i = (i + 7919) % n // a prime: every subject, in no order of the memory
		now = now.Add(time.Microsecond)
		tab.Take(now, i, plans, &res)
		wantAllowed(b, &res)
	}
	b.ReportMetric(float64(tab.Bytes())/float64(tab.Len()), "B/entry")
}

// BenchmarkTake_NewSubject includes growth.
func BenchmarkTake_NewSubject(b *testing.B) {
	tab := table(b, 1<<30)
	plans := benchPlans(b)
	var res Result
	i := Subject(0)
	for b.Loop() {
		i++
		tab.Take(epoch, i, plans, &res)
		wantAllowed(b, &res)
	}
}

// BenchmarkTake_FullTable is a table of active entries that new subjects hammer.
func BenchmarkTake_FullTable(b *testing.B) {
	tab := table(b, 16<<20)
	plans := []*Plan{plan(b, "p", Burst{1, 10}, 10)}
	var res Result
	i := Subject(0)
	for tab.Full() < 100_000 {
		i++
		tab.Take(epoch, i, plans, &res)
	}
	now := epoch
	for b.Loop() {
		i++
		now = now.Add(time.Microsecond)
		tab.Take(now, i, plans, &res)
	}
}

func BenchmarkTake_Contention(b *testing.B) {
	for name, distinct := range map[string]bool{"same subject": false, "distinct subjects": true} {
		b.Run(name, func(b *testing.B) {
			tab := table(b, 64<<20)
			plans := benchPlans(b)
			var goroutines atomic.Uint64
			b.SetParallelism(1)
			b.RunParallel(func(pb *testing.PB) {
				var res Result
				who := Subject(0)
				if distinct {
					who = Subject(goroutines.Add(1))
				}
				now := epoch
				for pb.Next() {
					now = now.Add(2 * time.Microsecond)
					tab.Take(now, who, plans, &res)
				}
			})
		})
	}
}

func BenchmarkSubject(b *testing.B) {
	tab := table(b, 64<<20)
	b.ReportAllocs()
	for b.Loop() {
		tab.Subject("token", "0197f3c2-7d1e-7a54-9a43-6f1d2c3b4a59")
	}
}
