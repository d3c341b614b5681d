package sqlite

import (
	"fmt"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// BenchmarkLedgerMove moves the leases of a busy process: each spends what it has
// and asks for more, one in eight from a wallet.
func BenchmarkLedgerMove(b *testing.B) {
	const leases = 4096
	for _, batch := range []int{1, 16, 64, 128} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			ledger := open(b, Config{Path: newFile(b), KEK: kek}).Ledger()
			all := make([]quota.Move, leases)
			for i := range all {
				all[i] = quota.Move{
					Cell:  quota.CellID{Limit: quota.NewLimitID(limiter.KindPerDay, "per_day", "default", fmt.Sprint(i))},
					Lease: quota.LeaseID{Process: quota.ProcessID{1}, Number: uint64(i) + 1},
					Limit: quota.Most, Hold: 100, Told: time.Now().UnixMilli(),
				}
				if i%8 == 0 {
					all[i].Lines = []quota.Line{{Account: fmt.Sprint(i), What: "GET /contacts", Price: 20_000}}
				}
			}
			answers := make([]quota.Answer, batch)
			b.ReportAllocs()
			for first := 0; b.Loop(); first = (first + batch) % leases {
				moves := all[first : first+batch]
				for i := range moves {
					m := &moves[i]
					m.Seq++
					m.Spent = m.Known
					for l := range m.Lines {
						m.Lines[l].Spent, m.Lines[l].Count = m.Spent, m.Spent/m.Lines[l].Price
					}
				}
				if err := ledger.Move(b.Context(), moves, answers); err != nil {
					b.Fatal(err)
				}
				for i, a := range answers {
					if a.Status != quota.Open || a.Granted != moves[i].Spent+100 {
						b.Fatalf("answer %+v to %+v", a, moves[i])
					}
					moves[i].Known = a.Granted
				}
			}
			b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "moves/s")
		})
	}
}
