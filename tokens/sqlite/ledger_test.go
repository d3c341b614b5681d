package sqlite

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/limiter/quota/ledgertest"
)

// The suite keeps the processors busy for seconds: it does not run beside others, of
// which some must be done with a lock in time.

func TestLedgerInMemory(t *testing.T) {
	ledgertest.Run(t, func(t *testing.T, now func() time.Time) quota.Ledger {
		return open(t, Config{KEK: kek, Now: now}).Ledger()
	})
}

func TestLedgerInFile(t *testing.T) {
	ledgertest.RunAgain(t, func(t *testing.T, now func() time.Time) quota.Ledger {
		return open(t, Config{Path: emptyFile(t), KEK: kek, Now: now}).Ledger()
	})
}

// TestLedgerOfTwoProcesses: each call goes to the other one of two on one file.
func TestLedgerOfTwoProcesses(t *testing.T) {
	ledgertest.RunAgain(t, func(t *testing.T, now func() time.Time) quota.Ledger {
		c := Config{Path: emptyFile(t), KEK: kek, Now: now}
		return &either{two: [2]quota.Ledger{open(t, c).Ledger(), open(t, c).Ledger()}}
	})
}

type either struct {
	two   [2]quota.Ledger
	calls atomic.Uint64
}

func (e *either) next() quota.Ledger { return e.two[e.calls.Add(1)%2] }

func (e *either) Move(ctx context.Context, moves []quota.Move, answers []quota.Answer) error {
	return e.next().Move(ctx, moves, answers)
}

func (e *either) Usage(ctx context.Context, cells []quota.CellID) ([]quota.Usage, error) {
	return e.next().Usage(ctx, cells)
}

func (e *either) Lines(ctx context.Context, account string, after *quota.Line, limit int) ([]quota.Line, error) {
	return e.next().Lines(ctx, account, after, limit)
}

func (e *either) Sweep(ctx context.Context) error { return e.next().Sweep(ctx) }

// TestLockedLedger holds the write lock from another process: a move waits for as
// long as its context allows, and not for the time of other writes.
func TestLockedLedger(t *testing.T) { // not beside others: they would cost it the time that it measures
	path := newFile(t)
	db, other := open(t, config(path)), open(t, config(path))
	ledger := db.Ledger()
	move := quota.Move{Lease: quota.LeaseID{Number: 1}, Seq: 1, Told: db.now().UnixMilli(), Limit: 100, Hold: 10}
	lock, err := other.writer.Begin()
	if err != nil {
		t.Fatal(err)
	}
	const wait = 400 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	start := time.Now()
	answers := []quota.Answer{{Status: quota.Open, Granted: 10}}
	if err := ledger.Move(ctx, []quota.Move{move}, answers); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v, want %v", err, context.DeadlineExceeded)
	}
	if took := time.Since(start); took < wait || took > wait+2*lockStep {
		t.Errorf("the move failed after %s, want at most %s more than %s", took, lockStep, wait)
	}
	if answers[0] != (quota.Answer{}) {
		t.Errorf("a move that failed was answered %+v", answers[0])
	}
	if usage, err := ledger.Usage(t.Context(), []quota.CellID{{}}); err != nil || usage[0] != (quota.Usage{}) {
		t.Errorf("%+v, %v; want that nothing is known", usage, err)
	}
	if err := lock.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := ledger.Move(t.Context(), []quota.Move{move}, answers); err != nil || answers[0].Granted != 10 {
		t.Errorf("after the lock: %+v, %v", answers, err)
	}
}

// TestLedgerReadsByIndex: neither a page of lines nor a sweep reads, or sorts, tables
// that grow for years.
func TestLedgerReadsByIndex(t *testing.T) {
	t.Parallel()
	db := open(t, config(""))
	for query, args := range map[string][]any{
		queryLines:        {"acme", 0, "", 0, 10},
		queryClosedLeases: {0, 10},
		queryEndedLeases:  {0, 10},
		deleteEndedCells:  {0, 10},
		foldLines:         {[]byte{1}},
		deleteLines:       {[]byte{1}},
	} {
		rows, err := db.reader.Query(`EXPLAIN QUERY PLAN `+query, args...)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			t.Log(detail)
			if strings.Contains(detail, "B-TREE") || strings.HasPrefix(detail, "SCAN") {
				t.Errorf("%s\n%s", query, detail)
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Error(err)
		}
	}
}

func TestLedgerTellsWhatIsStranded(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	db, err := Open(t.Context(), Config{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	move := func(kind limiter.Kind, process byte, ends int64) {
		t.Helper()
		m := quota.Move{
			Cell: quota.CellID{Limit: quota.NewLimitID(kind, "p", "s")}, Lease: quota.LeaseID{Process: quota.ProcessID{process}, Number: 1},
			Seq: 1, Need: 5, Limit: 100, Told: now.UnixMilli(), Ends: ends,
		}
		answers := make([]quota.Answer, 1)
		if err := db.Ledger().Move(t.Context(), []quota.Move{m}, answers); err != nil || answers[0].Granted != 5 {
			t.Fatal(answers, err)
		}
	}
	move(limiter.KindTotalRequests, 1, 0)
	move(limiter.KindTotalRequests, 2, 0)
	move(limiter.KindPerDay, 1, now.Unix()+90)
	now = now.Add(quota.StrandedAfter)
	move(limiter.KindWallet, 1, 0)
	for _, want := range []map[limiter.Kind]int64{
		{limiter.KindTotalRequests: 10, limiter.KindPerDay: 5},
		{limiter.KindTotalRequests: 10, limiter.KindWallet: 5}, // the day is over
	} {
		got, err := db.Ledger().Stranded(t.Context())
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("got %v (%v), want %v", got, err, want)
		}
		now = now.Add(quota.StrandedAfter)
	}
}
