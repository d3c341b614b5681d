package quota

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
)

// Bills of subjects that come once and never again do not stay, while somebody else of
// their account is counted.
func TestBillsOfThoseWhoAreGoneAreForgotten(t *testing.T) {
	t.Parallel()
	b, err := NewBook(Config{Ledger: nowhere{}, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	bill := func(subject string) *Bill {
		return b.Bill(NewBillID(subject), "a", time.UTC, []Charge{{ID: NewLimitID(limiter.KindPerDay, "p", subject), Kind: limiter.KindPerDay, Limit: 100, Rev: 1}})
	}
	use := func(one *Bill) {
		var res limiter.Result
		b.try(&Request{Now: b.Now()}, one, &res, func(bool) { res.Verdict = limiter.Allowed }, &waiter{}, true)
	}
	kept := bill("kept")
	use(kept)
	for i := range 5000 {
		one := bill(fmt.Sprint("guest", i))
		use(one)
		c := one.items[0].counter
		c.account.mu.Lock()
		b.remove(c)
		c.account.mu.Unlock()
	}
	if n := len(kept.account.bills); n > 200 {
		t.Errorf("%d bills are kept", n)
	}
	if bill("kept") != kept {
		t.Error("the bill of one who is counted was forgotten")
	}
}
