package sqlite

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/authz/stats"
	"github.com/tollgate-authz/tollgate/tokens/storetest"
)

// countMany counts one request of each of n tokens.
func countMany(b *stats.Book, at time.Time, n, accounts int) {
	e := stats.Event{At: at, Series: stats.Series{Domain: "api.example.com", API: "contacts", Code: stats.Allowed}}
	for i := range n {
		e.Account, e.Route = fmt.Sprintf("account-%d", i%accounts), fmt.Sprintf("GET /v1/contacts/{id}/%d", i%7)
		e.Client, e.Token = fmt.Sprintf("0a1b2c3d4e5f6a7b8c9d%04d", i/10), fmt.Sprintf("Q2x5ZGVzZGFsZS1IYXJuZXNz%08d", i)
		e.Source = netip.AddrFrom4([4]byte{10, byte(i / 10 >> 16), byte(i / 10 >> 8), byte(i / 10)})
		b.Count(&e)
	}
}

const benchSeries = 100_000

// BenchmarkStatsFlush stores 100,000 series, and what of that others wait for.
func BenchmarkStatsFlush(b *testing.B) {
	for _, accounts := range []int{1, 1000} {
		b.Run(fmt.Sprintf("accounts=%d", accounts), func(b *testing.B) {
			db := open(b, Config{Path: newFile(b), KEK: kek})
			watched := &longest{DB: db}
			book, err := stats.NewBook(stats.Config{Store: watched, Random: rand.Reader})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				b.StopTimer()
				countMany(book, storetest.Epoch, benchSeries, accounts)
				b.StartTimer()
				if err := book.Flush(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(watched.took.Microseconds())/1000, "ms/longest-lock")
		})
	}
}

// longest knows the longest that a write has taken.
type longest struct {
	*DB
	took time.Duration
}

func (l *longest) AddStats(ctx context.Context, batch *stats.Batch) error {
	began := time.Now()
	err := l.DB.AddStats(ctx, batch)
	l.took = max(l.took, time.Since(began))
	return err
}

func (l *longest) MergeStats(ctx context.Context, m *stats.Merge) error {
	began := time.Now()
	err := l.DB.MergeStats(ctx, m)
	l.took = max(l.took, time.Since(began))
	return err
}

// BenchmarkStatsCompact merges ten flushes of 100,000 series into rows that have as many.
func BenchmarkStatsCompact(b *testing.B) {
	for _, accounts := range []int{1, 1000} {
		b.Run(fmt.Sprintf("accounts=%d", accounts), func(b *testing.B) {
			db := open(b, Config{Path: newFile(b), KEK: kek})
			watched := &longest{DB: db}
			book, err := stats.NewBook(stats.Config{Store: db, Random: rand.Reader})
			if err != nil {
				b.Fatal(err)
			}
			for minute := 0; b.Loop(); minute++ {
				b.StopTimer()
				for range 10 {
					countMany(book, storetest.Epoch.Add(time.Duration(minute)*time.Minute), benchSeries, accounts)
					if err := book.Flush(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
				if _, err := stats.Compact(b.Context(), watched); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(watched.took.Microseconds())/1000, "ms/longest-lock")
		})
	}
}

// BenchmarkStatsRead reads a day.
func BenchmarkStatsRead(b *testing.B) {
	for _, tt := range []struct {
		name             string
		series, accounts int
	}{{"one account of 10,000 series", 10_000, 1}, {"1000 accounts of 100 series", 100_000, 1000}} {
		db := open(b, Config{Path: newFile(b), KEK: kek})
		book, err := stats.NewBook(stats.Config{Store: db, Random: rand.Reader})
		if err != nil {
			b.Fatal(err)
		}
		countMany(book, storetest.Epoch, tt.series, tt.accounts)
		if err := book.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		if _, err := stats.Compact(b.Context(), db); err != nil {
			b.Fatal(err)
		}
		midnight := storetest.Epoch.Truncate(24 * time.Hour)
		reader := stats.Reader{Store: db, Keep: stats.Keep{Minutes: 48 * time.Hour, Hours: 840 * time.Hour, Days: 9600 * time.Hour}, Now: func() time.Time { return storetest.Epoch }}
		for _, by := range []stats.Dimension{stats.ByAPI, stats.ByToken} {
			b.Run(tt.name+" by "+string(by), func(b *testing.B) {
				q := &stats.Query{From: midnight, To: midnight.Add(24 * time.Hour), GroupBy: []stats.Dimension{by}}
				for b.Loop() {
					if r, err := reader.Read(b.Context(), q); err != nil || r.Requests != int64(tt.series) {
						b.Fatal(r, err)
					}
				}
			})
		}
	}
}
