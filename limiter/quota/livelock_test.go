package quota_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/limiter/quota/ledgertest"
)

// Each of two processes holds the last of what the other lacks: units of another limit,
// or the rest of a price. Callers who are refused must not keep that up, in whatever
// step the two go.
func TestTwoProcessesThatHoldWhatTheOtherLacks(t *testing.T) {
	t.Parallel()
	none := charge(limiter.KindTotalRequests, 1, "none")
	x, y := charge(limiter.KindTotalRequests, 1, "x"), charge(limiter.KindTotalRequests, 1, "y")
	wallet := charge(limiter.KindWallet, 20_000, "account")
	for _, tt := range []struct {
		name  string
		holds [2]quota.Charge // leased by one each
		costs [2]quota.Micros
		wants []quota.Charge
		price quota.Micros
	}{
		{"units", [2]quota.Charge{x, y}, [2]quota.Micros{0, 0}, []quota.Charge{x, y}, 0},
		{"money", [2]quota.Charge{wallet, wallet}, [2]quota.Micros{9_417, 10_583}, []quota.Charge{wallet}, 20_000},
	} {
		for phase := range 20 {
			t.Run(fmt.Sprintf("%s, %d", tt.name, phase), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					ledger := ledgertest.NewMemory(time.Now)
					var books [2]*quota.Book
					for i := range books {
						books[i], _ = quota.NewBook(quota.Config{Ledger: ledger, Random: &names{byte(100*i + phase)}})
						time.Sleep(time.Duration(37*phase) * time.Millisecond)
						go books[i].Run(t.Context())
					}
					bill := func(i int, c ...quota.Charge) *quota.Bill {
						return books[i].Bill(quota.BillID{}, "a", time.UTC, c)
					}
					spend(t.Context(), books[0], bill(0, none), 0) // used up
					for i, b := range books {                      // leases its part, and is refused by none
						spend(t.Context(), b, bill(i, tt.holds[i], none), tt.costs[i])
					}
					both := [2]*quota.Bill{bill(0, tt.wants...), bill(1, tt.wants...)}
					for range 15_000 {
						for i, b := range books {
							if spend(t.Context(), b, both[i], tt.price).Verdict == limiter.Allowed {
								return
							}
						}
						time.Sleep(time.Millisecond)
					}
					t.Errorf("refused for 15 s; the one holds %v, the other %v", books[0].Held(), books[1].Held())
				})
			})
		}
	}
}
