package sqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// Ledger is the quota.Ledger of a store: what it answers is on the disk.
type Ledger struct {
	db *DB
	// Of the writing connection. A batch is up to a hundred moves of a few statements
	// each; read anew, their text would cost more than their work.
	find, putCell, putLease, putLine *sql.Stmt
}

// Ledger returns the store's ledger.
func (db *DB) Ledger() *Ledger { return db.ledger }

func newLedger(ctx context.Context, db *DB) (*Ledger, error) {
	l := &Ledger{db: db}
	for _, s := range []struct {
		stmt  **sql.Stmt
		query string
	}{
		{&l.find, `SELECT c.lim, c.rev, c.charged, c.folded, c.begins, c.ends, l.lease IS NOT NULL,
			coalesce(l.seq, 0), coalesce(l.granted, 0), coalesce(l.spent, 0), coalesce(l.closed, 0), coalesce(l.seen, 0)
			FROM quota_cells c LEFT JOIN quota_leases l ON l.cell = c.id AND l.lease = ?2 WHERE c.id = ?1`},
		{&l.putCell, `INSERT INTO quota_cells (id, lim, rev, charged, folded, begins, ends) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET lim = excluded.lim, rev = excluded.rev, charged = excluded.charged, folded = excluded.folded,
			begins = excluded.begins, ends = excluded.ends`},
		{&l.putLease, `INSERT INTO quota_leases (cell, lease, seq, granted, spent, closed, seen) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET seq = excluded.seq, granted = excluded.granted, spent = excluded.spent, closed = excluded.closed,
			seen = excluded.seen`},
		{&l.putLine, `INSERT INTO wallet_usage (account, hour, what, price, lease, spent, count) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET spent = max(spent, excluded.spent), count = max(count, excluded.count)`},
	} {
		var err error
		if *s.stmt, err = db.writer.PrepareContext(ctx, s.query); err != nil {
			return nil, fmt.Errorf("prepare the ledger: %w", err)
		}
	}
	return l, nil
}

// Move implements quota.Ledger. The batch is one transaction: all of it or nothing.
// It returns at most lockStep after the end of ctx.
func (l *Ledger) Move(ctx context.Context, moves []quota.Move, answers []quota.Answer) error {
	answers = answers[:len(moves)]
	if len(moves) == 0 {
		return nil
	}
	err := l.db.write(ctx, func(tx *sql.Tx) error {
		b := l.begin(tx)
		for i := range moves {
			var err error
			if answers[i], err = b.move(&moves[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return nil
	}
	clear(answers) // nobody spends what was rolled back
	if ended := context.Cause(ctx); ended != nil && errors.Is(err, sql.ErrTxDone) {
		err = ended // says more than that the transaction is done
	}
	return fmt.Errorf("tell the ledger of %d leases: %w", len(moves), err)
}

// batch is a transaction of moves.
type batch struct {
	find, putCell, putLease, putLine *sql.Stmt
	now                              int64
}

// begin takes the time behind the lock, so that no batch is older than the one before.
func (l *Ledger) begin(tx *sql.Tx) *batch {
	return &batch{tx.Stmt(l.find), tx.Stmt(l.putCell), tx.Stmt(l.putLease), tx.Stmt(l.putLine), l.db.now().UnixMilli()}
}

// move does one. Its statements heed no context: the transaction does, between them,
// and a goroutine for each of them, to interrupt it, would cost as much as they do.
func (b *batch) move(m *quota.Move) (a quota.Answer, err error) {
	id, name := cellKey(m.Cell), leaseKey(m.Lease)
	var cell quota.Cell
	var lease quota.Lease
	var seq int64
	err = b.find.QueryRow(id, name).Scan(&cell.Limit, &cell.Rev, &cell.Charged, &cell.Folded, &cell.Begins, &cell.Ends,
		&lease.Known, &seq, &lease.Granted, &lease.Spent, &lease.Closed, &lease.Seen)
	lease.Seq = uint64(seq)
	isNew := errors.Is(err, sql.ErrNoRows)
	if err != nil && !isNew {
		return a, fmt.Errorf("read a limit: %w", err)
	}
	oldCell, oldLease := cell, lease
	a = quota.Apply(&cell, &lease, m, b.now)
	if lease == oldLease {
		return a, nil // nothing was done: every move that does something changes the lease's Seq
	}
	if isNew || cell != oldCell {
		if _, err := b.putCell.Exec(id, cell.Limit, cell.Rev, cell.Charged, cell.Folded, cell.Begins, cell.Ends); err != nil {
			return a, fmt.Errorf("store a limit: %w", err)
		}
	}
	if _, err := b.putLease.Exec(id, name, int64(lease.Seq), lease.Granted, lease.Spent, lease.Closed, lease.Seen); err != nil {
		return a, fmt.Errorf("store a lease: %w", err)
	}
	for _, line := range m.Lines {
		if _, err := b.putLine.Exec(line.Account, line.Hour, line.What, line.Price, name, line.Spent, line.Count); err != nil {
			return a, fmt.Errorf("store what was spent: %w", err)
		}
	}
	return a, nil
}

func cellKey(id quota.CellID) []byte {
	return binary.BigEndian.AppendUint32(id.Limit[:len(id.Limit):len(id.Limit)], uint32(id.Window))
}

func leaseKey(id quota.LeaseID) []byte {
	return binary.BigEndian.AppendUint64(id.Process[:len(id.Process):len(id.Process)], id.Number)
}
