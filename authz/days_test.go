package authz

import (
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
)

// used is what a client has used of its auth_per_day and of its per_day.
func (w *world) used(t *testing.T) (used [2]int64) {
	t.Helper()
	for i, charges := range w.gate.Policy().Plans[w.client.Plan].DayCharges(w.client.ID) {
		bill := w.book.Bill(quota.NewBillID("test", charges[0].Kind.String()), w.client.Account, time.UTC, charges)
		details, err := w.book.Inspect(t.Context(), time.Now(), bill)
		if err != nil {
			t.Fatal(err)
		}
		used[i] = details[0].Used
	}
	return used
}

// TestD5_WhatCountsWhere: a plan in shadow counts as it would if it were enforced, and
// refuses nothing; what is taken back comes off the limit that it was charged to.
func TestD5_WhatCountsWhere(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		shadow, off bool
		refused     int
	}{
		"enforced": {refused: 4}, "in shadow": {shadow: true}, "not enforced": {off: true},
	} {
		live(t, func(t *testing.T, w *world) {
			days := Days{Gate: w.gate, Account: func(string) *tokens.Account { return nil }}
			refused := 0
			var refunds []func()
			for range 9 {
				refund, wait, err := days.Spend(t.Context(), w.client, time.Now())
				switch {
				case err != nil:
					t.Fatal(err)
				case wait > 0:
					refused++
				case refund != nil:
					refunds = append(refunds, refund)
				}
			}
			if got, want := w.used(t), [2]int64{2, 3}; got != want || refused != tt.refused || len(refunds) != 5 {
				t.Errorf("%s: got %v used, %d refused and %d to take back, want %v, %d and 5", name, got, refused, len(refunds), want, tt.refused)
			}
			refunds[0]()
			refunds[4]()
			if got, want := w.used(t), [2]int64{1, 2}; got != want {
				t.Errorf("%s: got %v used when one of each was taken back, want %v", name, got, want)
			}
		}, withPlan(func(p *Plan) {
			p.Table = tabled(limiter.Plan{Shadow: tt.shadow})
			p.PerDay, p.AuthPerDay = Limit{3, 1}, Limit{2, 1}
		}), func(c *PolicyConfig) { c.Enforce = !tt.off })
	}
}

// TestD5_DaysOfTheAccount: the zone is the account's, else the default.
func TestD5_DaysOfTheAccount(t *testing.T) {
	t.Parallel()
	for zone, want := range map[string]time.Duration{"": 24 * time.Hour, "Asia/Kathmandu": 18*time.Hour + 15*time.Minute, "No/Such": 24 * time.Hour} {
		live(t, func(t *testing.T, w *world) { // it is midnight UTC
			days := Days{Gate: w.gate, Account: func(name string) *tokens.Account { return &tokens.Account{Name: name, Zone: zone} }}
			for i := range 2 {
				_, wait, err := days.Spend(t.Context(), w.client, time.Now())
				if err != nil || wait != time.Duration(i)*want {
					t.Errorf("zone %q: request %d waits %v (%v), want %v", zone, i, wait, err, time.Duration(i)*want)
				}
			}
		}, withPlan(func(p *Plan) { p.PerDay = Limit{1, 1} }))
	}
}
