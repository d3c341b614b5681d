package quota_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/limiter/quota/ledgertest"
)

// naive counts what a limit has been used for, one number for each window.
type naive struct {
	charge quota.Charge
	used   map[int32]int64
}

// TestB18_AgainstANaiveModel drives random requests of two tokens of a client through a
// book whose ledger answers, and compares every verdict, and what is left of every
// limit, with plain counters: a refused request spends nothing, whoever refuses it.
func TestB18_AgainstANaiveModel(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { compareWithNaive(t, seed, berlin) })
		})
	}
}

func compareWithNaive(t *testing.T, seed uint64, zone *time.Location) {
	r := rand.New(rand.NewPCG(seed, 1))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ledger := ledgertest.NewMemory(time.Now)
	book, err := quota.NewBook(quota.Config{Ledger: ledger, Random: &names{1}})
	if err != nil {
		t.Fatal(err)
	}
	go book.Run(ctx)
	amount := func() int64 { return []int64{1, 7, 30, 200, 1000}[r.IntN(5)] }
	shared := []*naive{
		{charge: charge(limiter.KindPerDay, amount(), "client")}, {charge: charge(limiter.KindTotalRequests, 3*amount(), "client")},
		{charge: charge(limiter.KindPaidRequests, amount(), "client")}, {charge: charge(limiter.KindWallet, 50*amount(), "account")},
	}
	var bills [2]*quota.Bill
	var limits [2][]*naive
	for i := range bills {
		token := fmt.Sprint("token", i)
		limits[i] = append(shared[:len(shared):len(shared)], &naive{charge: charge(limiter.KindWalletAmount, 30*amount(), token)}, &naive{charge: charge(limiter.KindPerDay, amount(), token)})
		var charges []quota.Charge
		for j, n := range limits[i] {
			n.charge.Near = int64(j) + 1 // tells the standings apart
			if n.used == nil {
				n.used = map[int32]int64{}
			}
			charges = append(charges, n.charge)
		}
		bills[i] = book.Bill(quota.NewBillID(token), "account", zone, charges)
	}
	for step := range 400 {
		switch n := r.IntN(150); {
		case n == 0:
			time.Sleep(time.Duration(r.IntN(8*3600)) * time.Second)
		case n < 40:
			time.Sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
		}
		i, price, burst := r.IntN(2), quota.Micros(r.IntN(3)*10), r.IntN(8) > 0
		year, month, date := time.Now().In(zone).Date()
		today := int32(time.Date(year, month, date, 0, 0, 0, 0, time.UTC).Unix() / 86400)
		want := limiter.Allowed
		left := map[int64]int64{}
		for _, n := range limits[i] {
			if cost := costOf(&n.charge, price); cost > 0 && n.used[n.window(today)]+cost > n.charge.Limit {
				want = limiter.RefusedQuota
			}
		}
		if !burst {
			want = limiter.RefusedBurst
		}
		for _, n := range limits[i] {
			cost := costOf(&n.charge, price)
			if want == limiter.Allowed {
				n.used[n.window(today)] += cost
			}
			if cost > 0 {
				left[n.charge.Near] = n.charge.Limit - n.used[n.window(today)]
			}
		}
		var res limiter.Result
		book.Spend(ctx, &quota.Request{Now: time.Now(), Price: price, What: "r"}, bills[i], &res, func(bool) {
			res = limiter.Result{Verdict: limiter.RefusedBurst}
			if burst {
				res.Verdict = limiter.Allowed
			}
		})
		if res.Verdict != want {
			t.Fatalf("seed %d, step %d: got %v, want %v (price %d, left %v)", seed, step, res.Verdict, want, price, left)
		}
		for _, s := range res.All() {
			if s.Remaining != left[s.Near] {
				t.Fatalf("seed %d, step %d: %v: got %d left, want %d", seed, step, s.Kind, s.Remaining, left[s.Near])
			}
		}
		if res.Count < len(left) && want == limiter.Allowed || res.Count > len(left) {
			t.Fatalf("seed %d, step %d: %d standings, want %d", seed, step, res.Count, len(left))
		}
	}
}

func costOf(c *quota.Charge, price quota.Micros) int64 {
	switch c.Kind {
	case limiter.KindWallet, limiter.KindWalletAmount:
		return int64(price)
	case limiter.KindPaidRequests:
		if price == 0 {
			return 0
		}
	}
	return 1
}

func (n *naive) window(today int32) int32 {
	if n.charge.Daily() {
		return today
	}
	return 0
}
