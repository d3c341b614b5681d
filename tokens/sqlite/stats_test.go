package sqlite

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/authz/stats"
	"github.com/tollgate-authz/tollgate/tokens/storetest"
)

// TestO5_TwoProcessesOnOneFile count, flush and merge at once, and a third one reads:
// every answer is one that was true at a moment.
func TestO5_TwoProcessesOnOneFile(t *testing.T) {
	t.Parallel()
	path := emptyFile(t)
	const rounds, series = 20, 200
	var writing, reading sync.WaitGroup
	for range 2 {
		db := open(t, config(path))
		book, err := stats.NewBook(stats.Config{Store: db, Random: rand.Reader})
		if err != nil {
			t.Fatal(err)
		}
		writing.Go(func() {
			for round := range rounds {
				countMany(book, storetest.Epoch.Add(time.Duration(round)*time.Minute), series, 3)
				if err := book.Flush(t.Context()); err != nil {
					t.Error(err)
				}
				if _, err := stats.Compact(t.Context(), db); err != nil {
					t.Error(err)
				}
			}
		})
	}
	db := open(t, config(path))
	reader := stats.Reader{Store: db, Keep: stats.Keep{Minutes: 48 * time.Hour, Hours: 48 * time.Hour, Days: 48 * time.Hour}, Now: func() time.Time { return storetest.Epoch }}
	sum := func(step stats.Resolution) int64 {
		midnight := storetest.Epoch.Truncate(24 * time.Hour)
		r, err := reader.Read(t.Context(), &stats.Query{From: midnight, To: midnight.Add(24 * time.Hour), Step: step})
		if err != nil {
			t.Error(err)
			return 0
		}
		return r.Requests
	}
	ctx, stop := context.WithCancel(t.Context())
	reading.Go(func() {
		for before := int64(0); ctx.Err() == nil; {
			now := sum(0)
			if now < before || now%series != 0 {
				t.Errorf("%d requests, after %d", now, before)
			}
			before = now
		}
	})
	writing.Wait()
	stop()
	reading.Wait()
	if _, err := stats.Compact(t.Context(), db); err != nil {
		t.Error(err)
	}
	for _, step := range []stats.Resolution{0, stats.Hour, stats.Minute} {
		if got := sum(step); got != 2*rounds*series {
			t.Errorf("by %s: %d requests, want %d", step, got, 2*rounds*series)
		}
	}
	if rows, err := db.PendingStats(t.Context(), "", 1<<20); len(rows) > 0 || err != nil {
		t.Errorf("%d rows are not merged, %v", len(rows), err)
	}
}

// TestO5_LockedStore: counting goes on, and what was counted is stored once.
func TestO5_LockedStore(t *testing.T) {
	t.Parallel()
	path := emptyFile(t)
	db := open(t, config(path))
	book, err := stats.NewBook(stats.Config{Store: db, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	other := open(t, config(path))
	lock, err := other.writer.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	countMany(book, storetest.Epoch, 10, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := book.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while the store is locked: %v", err)
	}
	countMany(book, storetest.Epoch, 10, 1)
	if err := lock.Rollback(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := book.Flush(t.Context()); err != nil {
			t.Error(err)
		}
	}
	reader := stats.Reader{Store: db, Now: func() time.Time { return storetest.Epoch }}
	if r, err := reader.Read(t.Context(), &stats.Query{From: storetest.Epoch, To: storetest.Epoch.Add(time.Hour)}); err != nil || r.Requests != 20 {
		t.Errorf("%+v, %v; want 20 requests", r, err)
	}
}

// TestO5_DamagedStatistics are told of, and hold up nobody else's.
func TestO5_DamagedStatistics(t *testing.T) {
	t.Parallel()
	db := open(t, config(emptyFile(t)))
	book, err := stats.NewBook(stats.Config{Store: db, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	countMany(book, storetest.Epoch, 30, 3)
	if err := book.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.writer.Exec(`UPDATE stats_added SET data = x'01ff' WHERE account = 'account-1'`); err != nil {
		t.Fatal(err)
	}
	if n, err := stats.Compact(t.Context(), db); n != 2 || err == nil || !strings.Contains(err.Error(), `"account-1"`) {
		t.Errorf("%d rows merged, %v; want 2, and an error that names the account", n, err)
	}
	reader := stats.Reader{Store: db, Now: func() time.Time { return storetest.Epoch }}
	for account, want := range map[string]int64{"account-0": 10, "account-1": 0, "account-2": 10} {
		r, err := reader.Read(t.Context(), &stats.Query{Account: &account, From: storetest.Epoch, To: storetest.Epoch.Add(time.Hour)})
		switch {
		case want == 0 && (err == nil || !strings.Contains(err.Error(), account)):
			t.Errorf("%s: %v, want an error that names it", account, err)
		case want > 0 && (err != nil || r.Requests != want):
			t.Errorf("%s: %+v, %v", account, r, err)
		}
	}
}
