package decisions

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestFilter(t *testing.T) {
	t.Parallel()
	r := newRing(8)
	one := refusal()
	r.Add(&one)
	other := allowed()
	other.ID, other.At = [20]byte([]byte("00000000000000000000")), epoch.Add(time.Minute)
	other.Account, other.Client, other.Token, other.API, other.Route, other.Host = "other", "client2", "token2", "billing", "GET /x", "Billing.example.com:8443"
	r.Add(&other)
	for _, tt := range []struct {
		name       string
		filter     Filter
		one, other bool
	}{
		{"all", Filter{}, true, true},
		{"account", Filter{Account: "acme"}, true, false},
		{"part of an account", Filter{Account: "acm"}, false, false},
		{"client", Filter{Client: "client2"}, false, true},
		{"token", Filter{Token: "token1"}, true, false},
		{"API", Filter{API: "billing"}, false, true},
		{"route", Filter{Route: "contacts.get"}, true, false},
		{"code", Filter{Codes: []string{"R6", "R3"}}, true, false},
		{"codes", Filter{Codes: []string{"allow", "R3"}}, true, true},
		{"status", Filter{Status: 429}, true, false},
		{"class", Filter{Status: 2}, false, true},
		{"class of none", Filter{Status: 5}, false, false},
		{"host", Filter{Host: "billing.example.COM"}, false, true},
		{"host and port", Filter{Host: "billing.example.com:8443"}, false, true},
		{"another port", Filter{Host: "billing.example.com:1"}, false, false},
		{"decision", Filter{ID: "00000000000000000000"}, false, true},
		{"since", Filter{Since: epoch.Add(time.Second)}, false, true},
		{"since then", Filter{Since: epoch}, true, true},
		{"two that do not meet", Filter{Account: "acme", Client: "client2"}, false, false},
	} {
		var isOne, isOther bool
		for _, rec := range r.Latest(&tt.filter, 0, 9) {
			isOne, isOther = isOne || rec.Account == "acme", isOther || rec.Account == "other"
		}
		if isOne != tt.one || isOther != tt.other {
			t.Errorf("%s: found %v %v, want %v %v", tt.name, isOne, isOther, tt.one, tt.other)
		}
	}
}

func add(r *Ring, from, to int) {
	for i := from; i < to; i++ {
		e := allowed()
		e.Path = fmt.Sprint("/", i)
		r.Add(&e)
	}
}

func paths(records []Record) (paths []string) {
	for _, rec := range records {
		paths = append(paths, rec.Path)
	}
	return paths
}

func TestSinceTellsWhatWasMissed(t *testing.T) {
	t.Parallel()
	r := newRing(4)
	add(r, 0, 3)
	b := r.Since(0, &Filter{}, 2)
	if got := fmt.Sprint(paths(b.Records), b.Missed); got != "[/0 /1] 0" {
		t.Errorf("got %s", got)
	}
	b = r.Since(b.Next, &Filter{}, 9)
	if got := fmt.Sprint(paths(b.Records), b.Missed); got != "[/2] 0" {
		t.Errorf("got %s", got)
	}
	if again := r.Since(b.Next, &Filter{}, 9); again.Next != b.Next || again.Records != nil || again.Missed != 0 {
		t.Errorf("nothing new is %+v", again)
	}
	add(r, 3, 10)
	b = r.Since(b.Next, &Filter{}, 9)
	if got := fmt.Sprint(paths(b.Records), b.Missed); got != "[/6 /7 /8 /9] 3" {
		t.Errorf("got %s", got)
	}
	// What the filter does not mean was looked at.
	add(r, 10, 12)
	if b = r.Since(b.Next, &Filter{Account: "other"}, 9); b.Next != first+11 || b.Missed != 0 || b.Records != nil {
		t.Errorf("got %+v", b)
	}
	for name, after := range map[string]uint64{"an older process": first - 1000, "no process": first + 1000} {
		if b = r.Since(after, &Filter{}, 9); fmt.Sprint(paths(b.Records)) != "[/8 /9 /10 /11]" {
			t.Errorf("from a number of %s: %v", name, paths(b.Records))
		}
	}
}

// TestSinceWaitsForWriters: a decision whose number was taken and that is not written yet
// is neither missed nor passed over.
func TestSinceWaitsForWriters(t *testing.T) {
	t.Parallel()
	r := newRing(8)
	add(r, 0, 2)
	late := r.last.Add(1)
	add(r, 3, 5)
	b := r.Since(0, &Filter{}, 9)
	if got := fmt.Sprint(paths(b.Records), b.Missed); got != "[/0 /1] 0" || r.Tail(&Filter{}, 9).Next != b.Next {
		t.Errorf("got %s, next %d", got, b.Next)
	}
	e := allowed()
	e.Path = "/2"
	r.slots[late%8].fill(late, &e)
	b = r.Since(b.Next, &Filter{}, 9)
	if got := fmt.Sprint(paths(b.Records), b.Missed); got != "[/2 /3 /4] 0" {
		t.Errorf("got %s", got)
	}
}

func TestTailGoesOnWithoutAGap(t *testing.T) {
	t.Parallel()
	r := newRing(8)
	add(r, 0, 5)
	b := r.Tail(&Filter{}, 2)
	if got := fmt.Sprint(paths(b.Records)); got != "[/3 /4]" {
		t.Errorf("got %s", got)
	}
	add(r, 5, 6)
	if b = r.Since(b.Next, &Filter{}, 9); fmt.Sprint(paths(b.Records)) != "[/5]" {
		t.Errorf("got %+v", b)
	}
	if b = r.Tail(&Filter{}, 0); b.Records != nil || b.Next != first+5 {
		t.Errorf("none: got %+v", b)
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := New(Config{Steps: steps, Start: epoch, Size: 1000})
		batches := make(chan Batch, 100)
		ended := make(chan error, 1)
		go func() {
			ended <- r.Follow(t.Context(), 0, &Filter{}, func(b Batch) error { batches <- b; return nil })
		}()
		if b := <-batches; b.Records != nil || b.Next != first-1 {
			t.Errorf("first %+v, want an empty batch at once", b)
		}
		add(r, 0, batchMost+1)
		began := time.Now()
		if b := <-batches; len(b.Records) != batchMost || time.Since(began) > pollEvery {
			t.Errorf("%d records after %v", len(b.Records), time.Since(began))
		}
		if b := <-batches; len(b.Records) != 1 || time.Since(began) > pollEvery {
			t.Errorf("%d records after %v, want the rest at once", len(b.Records), time.Since(began))
		}
		if b := <-batches; b.Records != nil || time.Since(began) < quietMost {
			t.Errorf("%+v after %v, want a sign of life", b, time.Since(began))
		}
		add(r, 500, 1700) // more than there is room for
		if b := <-batches; len(b.Records) != batchMost || b.Missed == 0 {
			t.Errorf("%d records, missed %d", len(b.Records), b.Missed)
		}
		r.Close()
		r.Close()
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("ended with %v, want ErrClosed", err)
		}
		if err := r.Follow(t.Context(), 0, &Filter{}, func(Batch) error { return nil }); !errors.Is(err, ErrClosed) {
			t.Errorf("after the close: %v, want ErrClosed", err)
		}
	})
}

// TestFollowTellsTheLast: what was decided before the close is told, however much it is.
func TestFollowTellsTheLast(t *testing.T) {
	t.Parallel()
	r := newRing(1000)
	add(r, 0, 2*batchMost+7)
	r.Close()
	told := 0
	err := r.Follow(t.Context(), 0, &Filter{}, func(b Batch) error { told += len(b.Records); return nil })
	if !errors.Is(err, ErrClosed) || told != 2*batchMost+7 {
		t.Errorf("told of %d, %v", told, err)
	}
}

func TestFollowEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	r := newRing(10)
	gone := errors.New("gone")
	if err := r.Follow(t.Context(), 0, &Filter{}, func(Batch) error { return gone }); !errors.Is(err, gone) {
		t.Errorf("got %v, want what emit says", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := r.Follow(ctx, 0, &Filter{}, func(Batch) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
}
