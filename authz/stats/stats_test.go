package stats_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tollgate-authz/tollgate/authz/stats"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var keep = stats.Keep{Minutes: 48 * time.Hour, Hours: 35 * 24 * time.Hour, Days: 400 * 24 * time.Hour}

func newBook(t *testing.T, store stats.Adder, maxSeries int) *stats.Book {
	t.Helper()
	b, err := stats.NewBook(stats.Config{Store: store, Random: rand.Reader, MaxSeries: maxSeries})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func read(t *testing.T, store stats.Source, now time.Time, q *stats.Query) *stats.Report {
	t.Helper()
	r := stats.Reader{Store: store, Keep: keep, Now: func() time.Time { return now }}
	report, err := r.Read(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func all(from, to time.Time, groupBy ...stats.Dimension) *stats.Query {
	return &stats.Query{From: from, To: to, GroupBy: groupBy}
}

func event(at time.Time, account, token string) *stats.Event {
	return &stats.Event{At: at, Account: account, Series: stats.Series{Domain: "*.example.com", API: "contacts", Route: "GET /", Client: "client", Token: token, Code: stats.Allowed}}
}

func flush(t *testing.T, b *stats.Book) {
	t.Helper()
	if err := b.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func compact(t *testing.T, store stats.Merger) int {
	t.Helper()
	n, err := stats.Compact(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var sameAddress = cmpopts.EquateComparable(netip.Addr{})

// TestO5_CountsAreExact: many count while what they count is flushed and merged.
func TestO5_CountsAreExact(t *testing.T) {
	t.Parallel()
	store := newMemory(time.Now)
	b := newBook(t, store, 0)
	const goroutines, each = 64, 3000
	var counting, flushing sync.WaitGroup
	stop := make(chan struct{})
	flushing.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := b.Flush(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := stats.Compact(t.Context(), store); err != nil {
				t.Error(err)
			}
		}
	})
	for g := range goroutines {
		counting.Go(func() {
			for i := range each {
				e := event(epoch.Add(time.Duration(i)*time.Second), fmt.Sprintf("account%d", g%3), fmt.Sprintf("token%d", i%50))
				e.Source = netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
				switch {
				case i%10 == 0:
					e.Code, e.Token, e.Client = "R1", "", ""
				case i%4 == 0:
					e.Price = 20_000
				}
				b.Count(e)
			}
		})
	}
	counting.Wait()
	close(stop)
	flushing.Wait()
	flush(t, b)
	report := read(t, store, epoch, all(epoch, epoch.Add(time.Hour), stats.ByAccount))
	const want, refused, paid = goroutines * each, goroutines * each / 10, goroutines * each * 2 / 10
	if report.Requests != want || report.Allowed != want-refused || report.Refused["R1"] != refused || report.PaidCalls != paid || report.PaidAmount != 20_000*paid {
		t.Errorf("%+v", report.Totals)
	}
	for i, b := range report.Buckets {
		if share := int64([]int{22, 21, 21}[i] * each); b.Requests != share {
			t.Errorf("account %d: %d requests, want %d", i, b.Requests, share)
		}
	}
	var sum int64
	for _, a := range report.Addresses {
		sum += a.Requests
	}
	if sum != want || len(report.Addresses) != 256 || b.Series() != 0 || b.Folded() != 0 {
		t.Errorf("%d requests from %d addresses, %d series left, %d folded", sum, len(report.Addresses), b.Series(), b.Folded())
	}
}

// unreliable is a store that fails before or after it has stored a batch.
type unreliable struct {
	*memory
	random *mathrand.Rand
	away   bool
	lost   int // answers
}

func (u *unreliable) AddStats(ctx context.Context, b *stats.Batch) error {
	errAway := errors.New("the store is away")
	switch {
	case u.away || u.random.IntN(4) == 0:
		return errAway
	case u.random.IntN(3) == 0:
		u.lost++
		return errors.Join(errAway, u.memory.AddStats(ctx, b))
	}
	return u.memory.AddStats(ctx, b)
}

// TestO5_AStoreThatFails: nothing is counted twice, and nothing is lost.
func TestO5_AStoreThatFails(t *testing.T) {
	t.Parallel()
	store := &unreliable{memory: newMemory(time.Now), random: mathrand.New(mathrand.NewPCG(5, 5))}
	b := newBook(t, store, 0)
	var counted int64
	for round := range 150 {
		store.away = round/20%3 == 1
		for i := range 700 { // several batches each
			e := event(epoch.Add(time.Duration(round)*time.Second), fmt.Sprintf("account%d", i%3), fmt.Sprintf("token%d of a length that makes rows large%s", i, strings.Repeat("-", 1000)))
			b.Count(e)
			counted++
		}
		if err := b.Flush(t.Context()); (err != nil) && b.Series() == 0 || store.away && err == nil {
			t.Fatalf("round %d: %v with %d series left", round, err, b.Series())
		}
		if round%50 == 49 {
			compact(t, store)
		}
	}
	store.away = false
	for b.Flush(t.Context()) != nil {
		continue
	}
	if got := read(t, store, epoch, all(epoch, epoch.Add(time.Hour))).Requests; got != counted || store.lost < 20 {
		t.Errorf("%d requests, want %d; %d answers lost", got, counted, store.lost)
	}
}

// TestO5_KilledWhileMerging: whenever a process ends, another one goes on, and nothing is
// merged twice.
func TestO5_KilledWhileMerging(t *testing.T) {
	t.Parallel()
	for end := range 8 {
		store := newMemory(time.Now)
		b := newBook(t, store, 0)
		var counted int64
		for i := range 1500 {
			b.Count(event(epoch.Add(time.Duration(i)*time.Second), fmt.Sprintf("account%d", i%5), fmt.Sprintf("token%d%s", i, strings.Repeat("-", 1000))))
			counted++
			if i%100 == 0 {
				flush(t, b)
			}
		}
		flush(t, b)
		_, err := stats.Compact(t.Context(), &dying{store, end})
		if want := error(nil); end < 6 && !errors.Is(err, errDied) {
			t.Errorf("ended after %d steps: %v, want %v", end, err, want)
		}
		check := func(when string) {
			t.Helper()
			q := all(epoch.Add(-12*time.Hour), epoch.Add(12*time.Hour), stats.ByAccount)
			for _, q.Step = range []stats.Resolution{0, stats.Hour, stats.Minute} {
				if got := read(t, store, epoch, q).Requests; got != counted {
					t.Errorf("ended after %d steps, %s: %d requests by %s, want %d", end, when, got, q.Step, counted)
				}
			}
		}
		check("then")
		compact(t, store)
		check("merged")
		if n := compact(t, store); n != 0 || len(store.added) != 0 {
			t.Errorf("merged again: %d rows, %d left", n, len(store.added))
		}
		check("merged twice")
	}
}

var errDied = errors.New("killed")

// dying is a store whose user ends after so many steps.
type dying struct {
	*memory
	steps int
}

func (d *dying) step() error {
	if d.steps--; d.steps < 0 {
		return errDied
	}
	return nil
}

func (d *dying) PendingStats(ctx context.Context, from string, most int) ([]stats.Row, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	return d.memory.PendingStats(ctx, from, most)
}

func (d *dying) MergeStats(ctx context.Context, m *stats.Merge) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.memory.MergeStats(ctx, m)
}

// TestO5_TwoMergeAtOnce: one of them gives way, and nothing is merged twice.
func TestO5_TwoMergeAtOnce(t *testing.T) {
	t.Parallel()
	store := newMemory(time.Now)
	b := newBook(t, store, 0)
	for i := range 200 {
		b.Count(event(epoch, fmt.Sprintf("account%d", i%10), "token"))
		flush(t, b)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if _, err := stats.Compact(t.Context(), store); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := read(t, store, epoch, all(epoch, epoch.Add(time.Hour))).Requests; got != 200 || len(store.added) != 0 {
		t.Errorf("%d requests, want 200; %d rows not merged", got, len(store.added))
	}
}

// TestO5_SeriesAreBounded while the store is away; sums stay exact.
func TestO5_SeriesAreBounded(t *testing.T) {
	t.Parallel()
	const most, n = 800, 20_000
	store := newMemory(time.Now)
	b := newBook(t, store, most)
	for i := range n {
		e := event(epoch.Add(time.Duration(i)*time.Second), fmt.Sprintf("account%d", i%4), fmt.Sprintf("token%d", i))
		e.Client, e.Price = fmt.Sprintf("client%d", i/2), 1
		e.Source = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		b.Count(e)
	}
	// The last level is one series for each account, code and shard.
	if got := b.Series(); got > most*5/4+4*64 || got < most || b.Folded() < n-2*most {
		t.Errorf("%d series, %d requests folded", got, b.Folded())
	}
	flush(t, b)
	for range 2 {
		report := read(t, store, epoch, all(epoch, epoch.Add(24*time.Hour), stats.ByAccount))
		if report.Requests != n || report.PaidCalls != n || report.PaidAmount != n {
			t.Errorf("%+v", report.Totals)
		}
		for _, b := range report.Buckets {
			if b.Requests != n/4 {
				t.Errorf("%v: %d requests", b.Groups, b.Requests)
			}
		}
		sum := report.OtherAddresses
		for _, a := range report.Addresses {
			sum += a.Requests
		}
		if sum != n || len(report.Addresses) > most/2 || report.OtherAddresses < n-most {
			t.Errorf("%d requests from addresses, %d of them others, %d addresses", sum, report.OtherAddresses, len(report.Addresses))
		}
		compact(t, store)
	}
	b.Count(event(epoch, "account1", "another token")) // there is room again
	if got := b.Series(); got != 1 {
		t.Errorf("%d series after a flush and a request", got)
	}
}

// TestO5_RowsAreBounded: the rarest tokens and addresses make room.
func TestO5_RowsAreBounded(t *testing.T) {
	t.Parallel()
	store := newMemory(time.Now)
	b := newBook(t, store, 0)
	var counted int64
	for round := range 3 {
		for i := range 6000 {
			e := event(epoch.Add(time.Duration(round)*time.Minute), "acme", fmt.Sprintf("token%d.%d", round, i))
			e.Source = netip.AddrFrom4([4]byte{10, byte(round), byte(i >> 8), byte(i)})
			for range 1 + max(0, i-5990)*10 {
				b.Count(e)
				counted++
			}
		}
		flush(t, b)
		compact(t, store)
	}
	day := store.merged[mergedKey{stats.Day, "acme", epoch.Truncate(24 * time.Hour).Unix()}]
	if len(day.Data) > 600_000 {
		t.Errorf("the row of a day takes %d bytes", len(day.Data))
	}
	report := read(t, store, epoch, all(epoch.Truncate(24*time.Hour), epoch.Add(12*time.Hour), stats.ByToken))
	if len(report.Buckets) > stats.MaxRowSeries || len(report.Buckets) < stats.MaxRowSeries/2 || report.Requests != counted || len(report.Addresses) != stats.MaxShown {
		t.Errorf("%d tokens, %d requests of %d, %d addresses", len(report.Buckets), report.Requests, counted, len(report.Addresses))
	}
	sum := report.OtherAddresses
	for i, a := range report.Addresses {
		sum += a.Requests
		if i < 27 && a.Requests < 11 {
			t.Errorf("address %d: %+v", i, a)
		}
	}
	frequent, others := 0, int64(0)
	for _, b := range report.Buckets {
		if b.Groups[0] == stats.Others {
			others = b.Requests
		} else if b.Requests > 1 {
			frequent++
		}
	}
	if sum != counted || frequent != 27 || others == 0 {
		t.Errorf("%d requests from addresses, want %d; %d frequent tokens, want 27; %d requests of others", sum, counted, frequent, others)
	}
}

// TestO5_Borders of minutes, hours and days.
func TestO5_Borders(t *testing.T) {
	t.Parallel()
	store := newMemory(time.Now)
	b := newBook(t, store, 0)
	midnight := epoch.Truncate(24 * time.Hour)
	for _, at := range []time.Time{
		midnight.Add(-time.Nanosecond), midnight, midnight.Add(time.Hour - time.Nanosecond), midnight.Add(time.Hour), midnight.Add(time.Hour + 59*time.Second),
		midnight.Add(time.Hour + time.Minute), midnight.Add(24*time.Hour - time.Nanosecond), midnight.Add(24 * time.Hour), time.Unix(-1, 0),
	} {
		b.Count(event(at, "acme", "token"))
	}
	flush(t, b)
	for _, merged := range []bool{false, true} {
		if merged {
			compact(t, store)
		}
		for _, tt := range []struct {
			from, to time.Duration // from midnight
			want     int64
		}{
			{0, 24 * time.Hour, 6}, {-time.Minute, 24 * time.Hour, 7}, {-time.Nanosecond, 24*time.Hour + time.Nanosecond, 8}, {0, time.Nanosecond, 1},
			{0, time.Hour, 2}, {time.Minute, time.Hour, 1}, {time.Hour, time.Hour + time.Minute, 2}, {time.Hour + 30*time.Second, time.Hour + 31*time.Second, 2},
			{time.Hour, 2 * time.Hour, 3}, {-24 * time.Hour, 0, 1}, {-24 * time.Hour, 48 * time.Hour, 8}, {24 * time.Hour, 48 * time.Hour, 1}, {2 * time.Hour, 23 * time.Hour, 0},
		} {
			if got := read(t, store, epoch, all(midnight.Add(tt.from), midnight.Add(tt.to))).Requests; got != tt.want {
				t.Errorf("merged %v, %s to %s: %d requests, want %d", merged, tt.from, tt.to, got, tt.want)
			}
		}
	}
	q := all(midnight.Add(-time.Hour), midnight.Add(25*time.Hour))
	q.Step = stats.Day
	var got []string
	for _, b := range read(t, store, epoch, q).Buckets {
		got = append(got, fmt.Sprintf("%s %d", b.Start.Format(time.RFC3339), b.Requests))
	}
	if d := cmp.Diff([]string{"2026-02-28T23:00:00Z 1", "2026-03-01T00:00:00Z 6", "2026-03-02T00:00:00Z 1"}, got); d != "" {
		t.Errorf("days: -want +got:\n%s", d)
	}
}

// TestO5_ReadsTheCoarsestRows: a day of an account is one row.
func TestO5_ReadsTheCoarsestRows(t *testing.T) {
	t.Parallel()
	store := newMemory(time.Now)
	b := newBook(t, store, 0)
	for i := range 3 * 24 * 60 {
		b.Count(event(epoch.Add(time.Duration(i-2*24*60)*time.Minute), "acme", "token"))
	}
	flush(t, b)
	compact(t, store)
	midnight := epoch.Truncate(24 * time.Hour)
	for _, tt := range []struct {
		from, to time.Time
		step     stats.Resolution
		want     string
	}{
		{midnight.Add(-24 * time.Hour), midnight, 0, "1 day"},
		{midnight.Add(-24 * time.Hour), midnight, stats.Day, "1 day"},
		{midnight.Add(-24 * time.Hour), midnight, stats.Hour, "24 hour"},
		{midnight.Add(-60 * time.Minute), midnight, stats.Minute, "60 minute"},
		{midnight.Add(-25 * time.Hour), midnight.Add(90 * time.Minute), 0, "2 hour, 1 day, 30 minute"},
		{midnight.Add(-121 * time.Minute), midnight.Add(-60 * time.Minute), 0, "1 minute, 1 hour"},
		{midnight.Add(10 * time.Minute), midnight.Add(20 * time.Minute), stats.Day, "10 minute"},
	} {
		c := &watched{Source: store}
		r := stats.Reader{Store: c, Keep: keep, Now: func() time.Time { return epoch }}
		if _, err := r.Read(t.Context(), &stats.Query{From: tt.from, To: tt.to, Step: tt.step}); err != nil {
			t.Error(err)
		}
		got := map[string]int{}
		for _, r := range c.rows {
			got[r.String()]++
		}
		want := map[string]int{}
		for part := range strings.SplitSeq(tt.want, ", ") {
			var n int
			var name string
			_, _ = fmt.Sscan(part, &n, &name)
			want[name] = n
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s to %s by %s: -want +got:\n%s", tt.from, tt.to, tt.step, d)
		}
	}
}

type watched struct {
	stats.Source
	rows []stats.Resolution
}

func (w *watched) ReadStats(ctx context.Context, s *stats.Selection, each func(*stats.Row) error) error {
	return w.Source.ReadStats(ctx, s, func(r *stats.Row) error {
		w.rows = append(w.rows, r.Resolution)
		return each(r)
	})
}

// TestO5_RunFlushesEverySecond, and once more at its end.
func TestO5_RunFlushesEverySecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newMemory(time.Now)
		b := newBook(t, store, 0)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.Run(ctx) }()
		stored := func() int64 { return read(t, store, epoch, all(epoch, epoch.Add(time.Hour))).Requests }
		b.Count(event(epoch, "acme", "token"))
		time.Sleep(999 * time.Millisecond)
		if n := stored(); n != 0 {
			t.Errorf("%d requests before a second is over", n)
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if n := stored(); n != 1 {
			t.Errorf("%d requests after a second, want 1", n)
		}
		b.Count(event(epoch, "acme", "token"))
		cancel()
		if err := <-done; err != nil || stored() != 2 {
			t.Errorf("at the end: %v, %d requests, want 2", err, stored())
		}
	})
}

// TestO5_ReadIsRight compares with a model that keeps every event.
func TestO5_ReadIsRight(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		random := mathrand.New(mathrand.NewPCG(seed, 7))
		pick := func(list ...string) string { return list[random.IntN(len(list))] }
		store := newMemory(time.Now)
		b := newBook(t, store, 0)
		var events []*stats.Event
		for range 1500 {
			e := event(epoch.Add(-time.Duration(random.Int64N(int64(40*time.Hour)))), pick("", "acme", "initech"), pick("t1", "t2", "t3"))
			e.Series = stats.Series{Domain: pick("", "a.example", "*.example"), API: pick("", "x", "y"), Route: pick("", "r1", "r2"), Client: pick("c1", "c2"), Token: e.Token, Code: pick("allow", "allow", "R1", "R7", "R0/400", "R0/503")}
			e.Source = netip.AddrFrom4([4]byte{10, 0, 0, byte(random.IntN(5))})
			if random.IntN(9) == 0 {
				e.Source = netip.Addr{}
			}
			if e.Code == "allow" && random.IntN(2) == 0 {
				e.Price = 20_000
			}
			b.Count(e)
			events = append(events, e)
			if random.IntN(300) == 0 {
				flush(t, b)
			}
			if random.IntN(600) == 0 {
				compact(t, store)
			}
		}
		flush(t, b)
		for range 120 {
			q := &stats.Query{From: epoch.Add(-time.Duration(random.Int64N(int64(41 * time.Hour))))}
			q.To = q.From.Add(time.Duration(1 + random.Int64N(int64(20*time.Hour))))
			q.Step = stats.Resolution(random.IntN(4))
			if random.IntN(2) == 0 {
				account := pick("", "acme", "umbrella")
				q.Account = &account
			}
			for _, d := range stats.Dimensions {
				if random.IntN(4) == 0 {
					q.GroupBy = append(q.GroupBy, d)
				}
			}
			random.Shuffle(len(q.GroupBy), func(i, j int) { q.GroupBy[i], q.GroupBy[j] = q.GroupBy[j], q.GroupBy[i] })
			if random.IntN(3) == 0 {
				q.Where = map[stats.Dimension]string{stats.ByCode: pick("allow", "R1"), stats.ByDomain: pick("", "a.example")}
			}
			if d := cmp.Diff(modelled(events, q), read(t, store, epoch, q), sameAddress); d != "" {
				t.Fatalf("seed %d, %+v: -want +got:\n%s", seed, q, d)
			}
		}
	}
}

// modelled is the answer as somebody works it out who knows nothing of rows.
func modelled(events []*stats.Event, q *stats.Query) *stats.Report {
	r := &stats.Report{From: q.From.Truncate(time.Minute), To: q.To.Add(time.Minute - 1).Truncate(time.Minute), Totals: stats.Totals{Refused: map[string]int64{}}, Buckets: []stats.Bucket{}, Addresses: []stats.AddressCount{}}
	for _, e := range events {
		if e.At.Before(r.From) || !e.At.Before(r.To) || q.Account != nil && *q.Account != e.Account {
			continue
		}
		if !slices.ContainsFunc(r.Addresses, func(a stats.AddressCount) bool { return a.Address == e.Source }) {
			r.Addresses = append(r.Addresses, stats.AddressCount{Address: e.Source})
		}
		for i := range r.Addresses {
			if r.Addresses[i].Address == e.Source {
				r.Addresses[i].Requests++
			}
		}
		values := map[stats.Dimension]string{"account": e.Account, "domain": e.Domain, "api": e.API, "route": e.Route, "client": e.Client, "token": e.Token, "code": e.Code}
		other := false
		for d, want := range q.Where {
			other = other || values[d] != want
		}
		if other {
			continue
		}
		start := r.From
		if q.Step != 0 {
			if s := e.At.Truncate(q.Step.Length()); s.After(start) {
				start = s
			}
		}
		groups := []string{}
		for _, d := range q.GroupBy {
			groups = append(groups, values[d])
		}
		at := slices.IndexFunc(r.Buckets, func(b stats.Bucket) bool { return b.Start.Equal(start) && slices.Equal(b.Groups, groups) })
		if at < 0 {
			at = len(r.Buckets)
			r.Buckets = append(r.Buckets, stats.Bucket{Start: start, Groups: groups, Totals: stats.Totals{Refused: map[string]int64{}}})
		}
		for _, t := range []*stats.Totals{&r.Totals, &r.Buckets[at].Totals} {
			t.Requests++
			if e.Code == "allow" {
				t.Allowed++
			} else {
				t.Refused[e.Code]++
			}
			if e.Code == "R0/503" {
				t.Errors++
			}
			if e.Price > 0 {
				t.PaidCalls++
				t.PaidAmount += e.Price
			}
		}
	}
	slices.SortFunc(r.Buckets, func(a, b stats.Bucket) int {
		if d := a.Start.Compare(b.Start); d != 0 {
			return d
		}
		return slices.Compare(a.Groups, b.Groups)
	})
	slices.SortFunc(r.Addresses, func(a, b stats.AddressCount) int {
		if a.Requests != b.Requests {
			return int(b.Requests - a.Requests)
		}
		return a.Address.Compare(b.Address)
	})
	if q.Where != nil {
		r.Addresses = []stats.AddressCount{}
	}
	return r
}
