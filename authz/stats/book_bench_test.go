package stats

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

type nowhere struct{}

func (nowhere) AddStats(context.Context, *Batch) error { return nil }

// someEvents are as a busy gate has them: each token its own route, client and address.
func someEvents(n, accounts int) []Event {
	events := make([]Event, n)
	for i := range events {
		events[i] = Event{
			At: epoch, Account: fmt.Sprintf("account-%d", i%accounts),
			Series: Series{
				Domain: "api.example.com", API: "contacts", Route: fmt.Sprintf("GET /v1/contacts/{id}/%d", i%7),
				Client: fmt.Sprintf("0a1b2c3d4e5f6a7b8c9d%04d", i/10), Token: fmt.Sprintf("Q2x5ZGVzZGFsZS1IYXJuZXNz%08d", i), Code: Allowed,
			},
			Source: netip.AddrFrom4([4]byte{10, 0, byte(i / 10 >> 8), byte(i / 10)}),
		}
	}
	return events
}

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newBook(t testing.TB, c Config) *Book {
	t.Helper()
	if c.Random == nil {
		c.Random = rand.Reader
	}
	b, err := NewBook(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func BenchmarkCount(b *testing.B) {
	for _, n := range []int{1, 1000, 100_000} {
		events := someEvents(n, 1+n/100)
		b.Run(fmt.Sprintf("series=%d", n), func(b *testing.B) {
			book := newBook(b, Config{Store: nowhere{}})
			for i := range events {
				book.Count(&events[i])
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				book.Count(&events[i%n])
			}
		})
	}
	b.Run("addresses change", func(b *testing.B) {
		book := newBook(b, Config{Store: nowhere{}})
		events := someEvents(1000, 10)
		for i := range events {
			events[i].Series = events[0].Series
		}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			book.Count(&events[i%1000])
		}
	})
	b.Run("parallel", func(b *testing.B) {
		book := newBook(b, Config{Store: nowhere{}})
		events := someEvents(1000, 10)
		var first atomic.Int64
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := int(first.Add(501)); pb.Next(); i++ {
				book.Count(&events[i%1000])
			}
		})
	})
}

// BenchmarkCollect is the part of a flush that takes CPU, of 100,000 series.
func BenchmarkCollect(b *testing.B) {
	for _, accounts := range []int{1, 1000} {
		b.Run(fmt.Sprintf("accounts=%d", accounts), func(b *testing.B) {
			book := newBook(b, Config{Store: nowhere{}})
			events := someEvents(100_000, accounts)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				for i := range events {
					book.Count(&events[i])
				}
				b.StartTimer()
				if err := book.Flush(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
