package stats

import (
	"context"
	"errors"
	"time"
)

// Store is what keeps statistics. Each of its parts is declared for the one who needs
// it.
type Store interface {
	Adder
	Source
	Merger
	Pruner
}

// Adder takes what was counted.
type Adder interface {
	// AddStats stores a batch, all of it or nothing, and once: a batch whose Number is
	// not above that of the last one of its Process is there already, and nothing is
	// done. Whoever did not hear the answer says the same again.
	AddStats(ctx context.Context, b *Batch) error
}

// Source tells what was stored.
type Source interface {
	// ReadStats calls each for every row of a selection, merged ones first, as all of
	// them were at one moment. A row and its Data are good until each returns.
	ReadStats(ctx context.Context, s *Selection, each func(*Row) error) error
}

// Merger lets rows be merged. The one who merges reads, works outside of any
// transaction, and writes what he has if nobody else was there in between.
type Merger interface {
	Source
	// PendingStats returns rows of Added of the first account, in the order of bytes,
	// that is not before from and has any: in the order of their IDs, and no more than
	// fit into maxBytes together, but at least one. None: there are no more such
	// accounts. Data are the caller's.
	PendingStats(ctx context.Context, from string, maxBytes int) ([]Row, error)
	// MergeStats puts rows in the place of those that went into them, all or none.
	// ErrStale: one of those is gone, or another one than was read.
	MergeStats(ctx context.Context, m *Merge) error
}

// Pruner forgets.
type Pruner interface {
	// PruneStats deletes the rows of a resolution that began before that time, and what
	// is known of processes that have been silent for KeepProcesses.
	PruneStats(ctx context.Context, r Resolution, before time.Time) error
}

// KeepProcesses is how long a store knows the last batch of a process that says
// nothing.
const KeepProcesses = 35 * 24 * time.Hour

// ErrStale is what MergeStats says when somebody else was faster.
var ErrStale = errors.New("the rows were merged by another process")

// ProcessID names a process that counts, for as long as it runs.
type ProcessID [16]byte

// Batch is what a process stores at once.
type Batch struct {
	Process ProcessID
	Number  uint64 // one more than that of the last, from 1
	Rows    []Row  // Account, Start and Data of rows of Added
}

// Resolution is how much time one row is about.
type Resolution uint8

// Resolutions. Days are those of UTC.
const (
	Added  Resolution = iota // of one minute, not merged yet
	Minute                   // from here on: one row for each account and time
	Hour
	Day
)

// Length of a row's time; of Added, a minute.
func (r Resolution) Length() time.Duration {
	switch r {
	case Hour:
		return time.Hour
	case Day:
		return 24 * time.Hour
	}
	return time.Minute
}

func (r Resolution) String() string {
	switch r {
	case Added:
		return "added"
	case Minute:
		return "minute"
	case Hour:
		return "hour"
	case Day:
		return "day"
	}
	return "unknown"
}

// start is when the row of a time begins, in seconds since 1970.
func (r Resolution) start(unix int64) int64 {
	length := int64(r.Length() / time.Second)
	past := unix % length
	if past < 0 {
		past += length
	}
	return unix - past
}

// Row is what was counted of an account in some time.
type Row struct {
	Resolution Resolution
	Account    string
	Start      int64 // seconds since 1970
	ID         int64 // of a row of Added, made by the store; never used again
	Rev        int64 // of a merged row: how often it was written
	Data       []byte
}

// Selection is a set of rows.
type Selection struct {
	Account *string // nil: all
	Spans   []Span
}

// Span selects the rows of a resolution that begin from From on and before To, in
// seconds since 1970.
type Span struct {
	Resolution Resolution
	From, To   int64
}

// Merge replaces rows.
type Merge struct {
	// Rows are merged ones; their Rev is the one that was read, 0 where there was none.
	Rows []Row
	// Added are the IDs of the rows of Added that went into them and end.
	Added []int64
}
