// Package quota spends limits that must never be exceeded, over all processes and
// through their ends: requests a day, requests in all, money.
//
// Such a limit is kept in a Ledger. A process takes a piece of what is left there,
// a lease, before it spends it in memory (escrow: O'Neil, 1986), so that what all of
// them have admitted is never more than the ledger has given away. What was spent
// leaves no trace outside the process; therefore the lease of a process that died is
// never taken back, by no timeout and no clock. It is stranded, and leases are small.
//
// The package owns the protocol between the holders of leases and the ledger, the
// arithmetic of both sides (Apply, size.go) and the Book, which is the holder. It
// does not own where a ledger keeps its rows, which limits apply to whom, or the
// words of a refusal.
package quota

import (
	"context"
	"fmt"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
)

// Ledger keeps the truth about limits. It is implemented by the stores and
// must pass package ledgertest.
type Ledger interface {
	// Move tells the ledger of leases and asks for more; answers has the length of
	// moves and is filled in. Each move is atomic, the batch need not be. After an
	// error every move may or may not have happened: send the next one.
	Move(ctx context.Context, moves []Move, answers []Answer) error
	// Usage returns what is known of cells, zero for those that nobody has used yet.
	// It is for people, not for decisions.
	Usage(ctx context.Context, cells []CellID) ([]Usage, error)
	// Lines returns what was spent from an account's wallet, by hour, the newest first:
	// at most limit lines, after the one that after names (nil: from the newest).
	Lines(ctx context.Context, account string, after *Line, limit int) ([]Line, error)
	// Sweep deletes what no move can ask for any more: cells of days long gone, and
	// leases that were closed.
	Sweep(ctx context.Context) error
}

// CellID names one limit of one subject in one window.
type CellID struct {
	Limit  LimitID
	Window int32 // number of a local day since 1970-01-01; 0 where the limit never resets
}

// LimitID names one limit of one subject: a hash, see NewLimitID.
type LimitID [16]byte

// LeaseID names one lease of one process. A name is never used again.
type LeaseID struct {
	Process ProcessID
	Number  uint64 // counts the leases of the process, from 1
}

// ProcessID is drawn at random when a process starts.
type ProcessID [16]byte

// String is for logs and for people.
func (id ProcessID) String() string { return fmt.Sprintf("%x", id[:4]) }

// Move is what a process says about one of its leases: all that it knows, and what it
// would like. Grant, return and sign of life are this one message, and it may be lost,
// repeated or late: Seq tells. Amounts are requests, or money in Micros.
type Move struct {
	Cell   CellID
	Lease  LeaseID
	Seq    uint64 // of this lease's moves, from 1; an older one is Stale
	Spent  int64  // from this lease so far
	Known  int64  // the most that this lease is known to have been granted
	Hold   int64  // how much the process would like to hold unspent: a level, not a step
	Need   int64  // how much of that somebody waits for
	Limit  int64  // the newest limit known there
	Rev    int64  // its revision: of two limits the one with the higher is in force
	Told   int64  // the newest Answer.Now that the process had when it made this; 0: none yet
	Begins int64  // of the window, in unix seconds; 0: it always was
	Ends   int64  // of the window, in unix seconds; 0: never
	Close  bool   // the lease is dead in its holder: what it has not spent is free again
	Lines  []Line // of a wallet: what Spent consists of; the sums so far of lines that have changed
}

// Answer is what the ledger says to a Move.
type Answer struct {
	Status    Status
	Granted   int64 // to this lease so far
	Available int64 // of the limit, to everybody; negative when the limit was lowered below what is spent and leased
	Limit     int64 // in force
	Rev       int64 // of that limit
	Now       int64 // the ledger's clock, in unix milliseconds
}

// Status says what became of a Move.
type Status uint8

// Statuses. Only after Open and Stale does an Answer say anything beside Now.
const (
	None   Status = iota // no answer
	Open                 // done
	Closed               // the lease is closed, now or before
	Stale                // an older move than the last; nothing was changed, the answer is the lease as it is
	Over                 // the window is long over; nothing was changed
	Ahead                // the window has not begun by the ledger's clock; nothing was changed
	Old                  // the move is over an hour old, or the first of a process that does not know the ledger's clock; nothing was changed
)

// Usage is what the ledger knows of a cell. What is Leased may have been spent, or
// be left.
type Usage struct {
	Limit    int64
	Spent    int64 // as far as the holders have told
	Leased   int64 // to holders, beyond what they told
	Stranded int64 // of Leased: in leases of which nothing was heard for StrandedAfter
	Leases   int   // that are open
}

// StrandedAfter is after how much silence a lease counts as one of a process that
// died. It is shown only: nothing is ever taken back.
const StrandedAfter = time.Minute

// Line is one line of what was spent from a wallet: all requests of one kind and
// price in one hour.
type Line struct {
	Account string
	Hour    int64 // unix seconds of its beginning
	What    string
	Price   int64 // Micros
	Spent   int64 // Micros; Price times Count
	Count   int64
}

// NewLimitID names the limit of a kind and plan that a subject has. Its first byte is
// the kind, so that a ledger can be asked about all limits of a kind.
func NewLimitID(kind limiter.Kind, plan string, subject ...string) LimitID {
	id := LimitID(hash(append([]string{kind.String(), plan}, subject...)...))
	id[0] = byte(kind)
	return id
}

// Kind is what the limit counts.
func (id LimitID) Kind() limiter.Kind { return limiter.Kind(id[0]) }
