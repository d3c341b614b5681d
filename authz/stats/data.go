package stats

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
)

// Bounds of a merged row. MaxShown of its addresses are shown.
const (
	MaxRowSeries    = 10_000
	MaxRowAddresses = 4096
	MaxShown        = 1000
)

// data is what was counted of an account in some time.
type data struct {
	series    map[Series]Counts
	addresses map[netip.Addr]int64
	others    int64 // requests from other addresses
}

func newData() *data {
	return &data{series: map[Series]Counts{}, addresses: map[netip.Addr]int64{}}
}

// addEncoded adds the data of a row. After an error d is of no use.
func (d *data) addEncoded(encoded []byte) error {
	return walk(encoded, func(s *Series, c *Counts) { d.addSeries(*s, *c) },
		func(a netip.Addr, n int64) { d.addresses[a] += n }, func(n int64) { d.others += n })
}

func (d *data) addSeries(s Series, c Counts) {
	sum := d.series[s]
	sum.add(c)
	d.series[s] = sum
}

func (d *data) add(more *data) {
	for s, c := range more.series {
		d.addSeries(s, c)
	}
	for a, n := range more.addresses {
		d.addresses[a] += n
	}
	d.others += more.others
}

func (d *data) encode() []byte {
	e := newEncoder()
	for s, c := range d.series {
		e.addSeries(&s, &c)
	}
	for a, n := range d.addresses {
		e.addAddress(a, n)
	}
	e.others = d.others
	return e.bytes()
}

// folding makes Others of a group of series: of a token, a client or a route.
type folding struct {
	group func(*Series) [3]string
	into  func(Series) Series
}

var foldings = []folding{
	{func(s *Series) [3]string { return [3]string{s.Token, s.Client} },
		func(s Series) Series { s.Token = Others; return s }},
	{func(s *Series) [3]string { return [3]string{s.Client} },
		func(s Series) Series { s.Client, s.Token = Others, Others; return s }},
	{func(s *Series) [3]string { return [3]string{s.Route, s.API, s.Domain} },
		func(s Series) Series {
			return Series{Domain: Others, API: Others, Route: Others, Client: Others, Token: Others, Code: s.Code}
		}},
}

// bound folds what is more than a row may hold: the rarest tokens, then the rarest
// clients, at last the rarest routes. Sums stay what they are.
func (d *data) bound(series, addresses int) {
	for i := range foldings {
		for len(d.series) > series && d.fold(&foldings[i], series) { // again: what it is folded into are series too
			continue
		}
	}
	if len(d.addresses) > addresses {
		_, rest := topAddresses(d.addresses, addresses)
		for _, a := range rest {
			d.others += a.Requests
			delete(d.addresses, a.Address)
		}
	}
}

// fold folds the rarest groups, until about most series are left. It reports whether
// there were any.
func (d *data) fold(f *folding, most int) bool {
	type size struct {
		requests int64
		series   int
	}
	groups := map[[3]string]size{}
	for s, c := range d.series {
		if f.into(s) != s {
			g := groups[f.group(&s)]
			groups[f.group(&s)] = size{g.requests + c.Requests, g.series + 1}
		}
	}
	rarest := slices.SortedFunc(maps.Values(groups), func(a, b size) int { return cmp.Compare(a.requests, b.requests) })
	rare := int64(0) // requests of the last group that is folded
	for i, excess := 0, len(d.series)-most; i < len(rarest) && excess > 0; i++ {
		rare, excess = rarest[i].requests, excess-rarest[i].series
	}
	for _, last := range []bool{false, true} { // of those that are as rare as the last one, not all need to go
		for s, c := range d.series {
			g, folds := groups[f.group(&s)]
			if into := f.into(s); folds && into != s && (g.requests < rare || last && g.requests == rare && len(d.series) > most) {
				delete(d.series, s)
				d.addSeries(into, c)
			}
		}
	}
	return len(groups) > 0
}

// topAddresses parts the addresses with the most requests from the rest.
func topAddresses(all map[netip.Addr]int64, most int) (top, rest []AddressCount) {
	list := make([]AddressCount, 0, len(all))
	for a, n := range all {
		list = append(list, AddressCount{a, n})
	}
	slices.SortFunc(list, func(a, b AddressCount) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), a.Address.Compare(b.Address))
	})
	most = min(most, len(list))
	return list[:most], list[most:]
}
