package quota

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
)

// The machine's clock is set back over midnight, forward again, and wildly: each day's
// limit counts once, and no step gives anybody more.
func TestB17_ClockStepsResetADayOnce(t *testing.T) {
	t.Parallel()
	midnight := time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC)
	now := midnight.Add(-10 * time.Minute)
	b, err := NewBook(Config{Ledger: nowhere{}, Random: rand.Reader, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	bill := b.Bill(NewBillID("b"), "a", time.UTC, []Charge{{ID: NewLimitID(limiter.KindPerDay, "p", "c"), Kind: limiter.KindPerDay, Limit: 100, Rev: 1, Allow: true}})
	counted := map[int32]int{} // by window
	use := func() {
		var res limiter.Result
		b.try(&Request{Now: now}, bill, &res, func(bool) { res = limiter.Result{Verdict: limiter.Allowed} }, &waiter{}, true)
		if res.Verdict != limiter.Allowed {
			t.Fatal(res.Verdict)
		}
		counted[bill.items[0].counter.lease.cell.Window]++
	}
	yesterday := int32(midnight.Unix()/secondsOfDay) - 1
	for _, step := range []struct {
		to   time.Duration // after midnight
		want int32         // the day that counts, after the one that ends
	}{
		{-10 * time.Minute, 0}, {-1 * time.Second, 0}, {0, 1}, {10 * time.Minute, 1},
		{-50 * time.Minute, 1},                             // set back by an hour: the day has begun and goes on
		{-1 * time.Second, 1}, {0, 1}, {23 * time.Hour, 1}, // and is reached again
		{24 * time.Hour, 2}, {25 * time.Hour, 2}, {23 * time.Hour, 2}, // set back again
		{400 * 24 * time.Hour, 401}, {30 * time.Hour, 2}, // a wild step is undone
	} {
		now = midnight.Add(step.to)
		before := counted[yesterday+step.want]
		if use(); counted[yesterday+step.want] != before+1 {
			t.Errorf("%v after midnight: counted %v, want it in day %d", step.to, counted, yesterday+step.want)
		}
	}
}

// The ledger's clock decides which day it is, not that of a process that goes wrong.
func TestB17_TheLedgersClockCounts(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 29, 23, 30, 0, 0, time.UTC)
	b, err := NewBook(Config{Ledger: nowhere{}, Random: rand.Reader, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	b.learn([]Answer{{Status: Old, Now: now.Add(time.Hour).UnixMilli()}}, now, now.Add(10*time.Millisecond))
	if d := dayOf(b.unix(now), time.UTC); d.label != int32(now.Unix()/secondsOfDay)+1 {
		t.Errorf("got day %d, want the next one: it is half past midnight at the ledger", d.label)
	}
	b.learn([]Answer{{Status: Open, Now: now.Add(300 * time.Millisecond).UnixMilli()}}, now, now.Add(10*time.Millisecond))
	if b.ClockOffset() != 0 {
		t.Errorf("an offset of %v is no more than the way of the message", b.ClockOffset())
	}
}
