package stats

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"
)

func sample() *data {
	d := newData()
	d.addSeries(Series{Code: "R1"}, Counts{Requests: 5})
	d.addSeries(Series{"*.example.com", "contacts", "GET /", "client", "töken", Allowed}, Counts{1 << 40, 7, 1<<53 - 1})
	d.addresses[netip.Addr{}] = 1
	d.addresses[netip.MustParseAddr("203.0.113.7")] = 1 << 40
	d.addresses[netip.MustParseAddr("2001:db8::1")] = 3
	d.others = 9
	return d
}

func same(a, b *data) bool {
	return maps.Equal(a.series, b.series) && maps.Equal(a.addresses, b.addresses) && a.others == b.others
}

// FuzzDecode: garbage is an error, takes no more memory than there is of it, and what is
// none comes back the same.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{})
	f.Add(newData().encode())
	f.Add(sample().encode())
	f.Add([]byte{version, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Add([]byte{version, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, garbage []byte) {
		first := newData()
		if err := first.addEncoded(garbage); err != nil {
			return
		}
		again := newData()
		if err := again.addEncoded(first.encode()); err != nil && !negative(first) || err == nil && !same(first, again) {
			t.Errorf("%x: %v, %+v, then %+v", garbage, err, first, again)
		}
	})
}

// negative: two amounts of the garbage were more than fit into a sum.
func negative(d *data) bool {
	for _, c := range d.series {
		if c.Requests < 0 || c.PaidCalls < 0 || c.PaidAmount < 0 {
			return true
		}
	}
	for _, n := range d.addresses {
		if n < 0 {
			return true
		}
	}
	return d.others < 0
}

func TestO5_DataComesBack(t *testing.T) {
	t.Parallel()
	want := sample()
	encoded := want.encode()
	got := newData()
	if err := got.addEncoded(encoded); err != nil || !same(want, got) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for n := range encoded { // cut off
		if err := newData().addEncoded(encoded[:n]); !errors.Is(err, errData) {
			t.Errorf("%d bytes of %d: %v", n, len(encoded), err)
		}
	}
	if err := newData().addEncoded(append(encoded, 0)); !errors.Is(err, errData) {
		t.Errorf("one more byte: %v", err)
	}
	encoded[0] = version + 1
	if err := newData().addEncoded(encoded); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("of a newer version: %v", err)
	}
}

// TestO5_CountDoesNotAllocate, of series that are known.
func TestO5_CountDoesNotAllocate(t *testing.T) {
	book := newBook(t, Config{Store: nowhere{}})
	events := someEvents(1000, 10)
	count := func() {
		for i := range events {
			book.Count(&events[i])
		}
	}
	count()
	if n := testing.AllocsPerRun(20, count); n > 0 {
		t.Errorf("%v allocations for 1000 events", n)
	}
	// Tables are used again: after two flushes, all are as large as they need to be.
	for range 4 {
		_ = book.Flush(t.Context())
		count()
	}
	total := testing.AllocsPerRun(10, func() { _ = book.Flush(t.Context()); count() })
	alone := testing.AllocsPerRun(10, func() { _ = book.Flush(t.Context()) })
	if t.Logf("%v allocations with a flush of 1000, %v with one of none", total, alone); total > 1500 {
		t.Errorf("%v allocations with a flush of 1000", total)
	}
}

// TestO5_FoldsTheRarest: tokens first, then clients, then routes, and no sum changes.
func TestO5_FoldsTheRarest(t *testing.T) {
	t.Parallel()
	d := newData()
	for i := range 100 {
		s := Series{Domain: "d", API: "a", Route: fmt.Sprintf("r%d", i%5), Client: fmt.Sprintf("c%d", i%10), Token: fmt.Sprintf("t%d", i), Code: Allowed}
		d.addSeries(s, Counts{Requests: int64(i + 1), PaidCalls: 1, PaidAmount: 2})
	}
	sum := func() (c Counts) {
		for _, each := range d.series {
			c.add(each)
		}
		return c
	}
	want := sum()
	for _, most := range []int{99, 60, 30, 12, 8, 3} {
		d.bound(most, 1)
		if len(d.series) > most || sum() != want {
			t.Errorf("%d series, want at most %d; %+v, want %+v", len(d.series), most, sum(), want)
		}
		_, rare := d.series[Series{"d", "a", "r0", "c0", "t0", Allowed}]
		_, frequent := d.series[Series{"d", "a", "r4", "c9", "t99", Allowed}]
		if rare || frequent != (most > 8) {
			t.Errorf("of %d series: the rarest is there: %v; the most frequent one: %v", most, rare, frequent)
		}
	}
}
