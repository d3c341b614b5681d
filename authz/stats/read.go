package stats

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// Reader answers questions from a store.
type Reader struct {
	Store Source
	Keep  Keep
	Now   func() time.Time
}

// Report is an answer.
type Report struct {
	From time.Time `json:"from"` // what was looked at, see Query
	To   time.Time `json:"to"`
	Totals
	// Buckets by time, then by group. Those without a request are left out.
	Buckets []Bucket `json:"buckets"`
	// Addresses that the most requests came from, whatever they got. Nothing is known of
	// which of them asked for what: with Where there are none.
	Addresses []AddressCount `json:"addresses"`
	// OtherAddresses is how many requests came from others.
	OtherAddresses int64 `json:"other_addresses"`
}

// Totals are sums. Requests are those that were allowed and those that were refused.
type Totals struct {
	Requests   int64            `json:"requests"`
	Allowed    int64            `json:"allowed"`
	Refused    map[string]int64 `json:"refused"` // by code
	PaidCalls  int64            `json:"paid_calls"`
	PaidAmount quota.Micros     `json:"paid_amount"`
	Errors     int64            `json:"errors"` // of the refused: our own fault
}

// Bucket is one part of an answer.
type Bucket struct {
	Start time.Time `json:"start"` // of the step, or of the whole time
	// Groups are the values of Query.GroupBy, in its order.
	Groups []string `json:"groups"`
	Totals
}

// AddressCount is how many requests came from an address; the zero one: it is not known.
type AddressCount struct {
	Address  netip.Addr `json:"address"`
	Requests int64      `json:"requests"`
}

// Read answers a question. A *QueryError says that it cannot be answered as it stands.
func (r *Reader) Read(ctx context.Context, q *Query) (*Report, error) {
	p, err := q.plan(r.Keep, r.Now())
	if err != nil {
		return nil, err
	}
	s := summing{q: q, from: p.from, buckets: map[bucketKey]*Totals{}, addresses: map[netip.Addr]int64{}}
	err = r.Store.ReadStats(ctx, &Selection{Account: q.Account, Spans: p.spans}, func(row *Row) error {
		if err := s.row(row); err != nil {
			return fmt.Errorf("%s of account %q at %s: %w", row.Resolution, row.Account, time.Unix(row.Start, 0).UTC().Format(time.RFC3339), err)
		}
		return s.tooMany
	})
	if s.tooMany != nil {
		return nil, s.tooMany
	}
	if err != nil {
		return nil, fmt.Errorf("read statistics: %w", err)
	}
	report := s.report()
	report.From, report.To = time.Unix(p.from, 0).UTC(), time.Unix(p.to, 0).UTC()
	return report, nil
}

// summing adds rows up.
type summing struct {
	q         *Query
	from      int64
	total     Totals
	buckets   map[bucketKey]*Totals
	addresses map[netip.Addr]int64
	others    int64
	tooMany   error
}

type bucketKey struct {
	start  int64
	groups [7]string // as many as there are dimensions
}

// mostAddresses bounds what is kept of addresses while rows are added up.
const mostAddresses = 100_000

func (s *summing) row(row *Row) error {
	key := bucketKey{start: s.from}
	if s.q.Step != 0 {
		key.start = max(s.from, s.q.Step.start(row.Start))
	}
	err := walk(row.Data, func(series *Series, c *Counts) {
		for d, want := range s.q.Where {
			if d.of(row.Account, series) != want {
				return
			}
		}
		s.total.add(series.Code, c)
		for i, d := range s.q.GroupBy {
			key.groups[i] = d.of(row.Account, series)
		}
		s.bucket(&key).add(series.Code, c)
	}, func(a netip.Addr, n int64) {
		s.addresses[a] += n
	}, func(n int64) { s.others += n })
	if len(s.addresses) > mostAddresses {
		_, rest := topAddresses(s.addresses, mostAddresses/2)
		for _, a := range rest {
			s.others += a.Requests
			delete(s.addresses, a.Address)
		}
	}
	return err
}

func (s *summing) bucket(key *bucketKey) *Totals {
	t := s.buckets[*key]
	if t == nil {
		if len(s.buckets) >= MaxBuckets {
			s.tooMany = wrong("group_by", "the answer has more than %d buckets; group by less, or ask for less time, longer steps, or one account", MaxBuckets)
			return new(Totals)
		}
		t = new(Totals)
		s.buckets[*key] = t
	}
	return t
}

func (t *Totals) add(code string, c *Counts) {
	t.Requests += c.Requests
	t.PaidCalls += c.PaidCalls
	t.PaidAmount += c.PaidAmount
	if code == Allowed {
		t.Allowed += c.Requests
		return
	}
	if t.Refused == nil {
		t.Refused = map[string]int64{}
	}
	t.Refused[code] += c.Requests
	if code == Internal {
		t.Errors += c.Requests
	}
}

// complete makes an empty map of none, for those who write it out.
func (t Totals) complete() Totals {
	if t.Refused == nil {
		t.Refused = map[string]int64{}
	}
	return t
}

func (s *summing) report() *Report {
	r := &Report{Totals: s.total.complete(), Buckets: []Bucket{}, Addresses: []AddressCount{}}
	keys := slices.SortedFunc(maps.Keys(s.buckets), func(a, b bucketKey) int {
		return cmp.Or(cmp.Compare(a.start, b.start), slices.Compare(a.groups[:], b.groups[:]))
	})
	for _, k := range keys {
		r.Buckets = append(r.Buckets, Bucket{
			Start: time.Unix(k.start, 0).UTC(), Groups: slices.Clone(k.groups[:len(s.q.GroupBy)]), Totals: s.buckets[k].complete(),
		})
	}
	if len(s.q.Where) > 0 {
		return r
	}
	var rest []AddressCount
	r.Addresses, rest = topAddresses(s.addresses, MaxShown)
	r.OtherAddresses = s.others
	for _, a := range rest {
		r.OtherAddresses += a.Requests
	}
	return r
}
