package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// sweepBatch bounds how many leases or cells go in one transaction. It is small:
// requests wait for the moves that wait for it.
const sweepBatch = 100

// What is swept. A lease of a limit that never ends is kept as long as it is open: it
// may be that of a process which was paused, and then its lines are not the last.
const (
	queryClosedLeases = `SELECT cell, lease FROM quota_leases WHERE closed = 1 AND seen <= ?1 ORDER BY seen LIMIT ?2`
	queryEndedLeases  = `SELECT l.cell, l.lease FROM quota_cells c CROSS JOIN quota_leases l ON l.cell = c.id WHERE c.ends != 0 AND c.ends <= ?1 LIMIT ?2`
	deleteEndedCells  = `DELETE FROM quota_cells WHERE id IN (SELECT id FROM quota_cells WHERE ends != 0 AND ends <= ?1 LIMIT ?2)`
	// The second condition is that of the index.
	foldLines = `INSERT INTO wallet_usage (account, hour, what, price, lease, spent, count)
		SELECT account, hour, what, price, x'', spent, count FROM wallet_usage WHERE lease = ? AND lease != x''
		ON CONFLICT DO UPDATE SET spent = spent + excluded.spent, count = count + excluded.count`
	deleteLines = `DELETE FROM wallet_usage WHERE lease = ? AND lease != x''`
)

// Sweep implements quota.Ledger.
func (l *Ledger) Sweep(ctx context.Context) error {
	now := l.db.now()
	closed := now.Add(-quota.ClosedLives * time.Second).UnixMilli()
	ended := now.Add(-quota.CellLives * time.Second).Unix()
	for _, step := range []func(*sql.Tx) (int64, error){
		func(tx *sql.Tx) (int64, error) { return deleteLeases(ctx, tx, queryClosedLeases, closed) },
		func(tx *sql.Tx) (int64, error) { return deleteLeases(ctx, tx, queryEndedLeases, ended) },
		func(tx *sql.Tx) (int64, error) { return deleteCells(ctx, tx, ended) }, // behind their leases
	} {
		for n := int64(sweepBatch); n == sweepBatch; {
			err := l.db.write(ctx, func(tx *sql.Tx) (err error) {
				n, err = step(tx)
				return err
			})
			if err != nil {
				return fmt.Errorf("sweep the ledger: %w", err)
			}
		}
	}
	return nil
}

func deleteCells(ctx context.Context, tx *sql.Tx, ended int64) (int64, error) {
	done, err := tx.ExecContext(ctx, deleteEndedCells, ended, sweepBatch)
	if err != nil {
		return 0, fmt.Errorf("delete limits of days gone: %w", err)
	}
	return done.RowsAffected()
}

// deleteLeases deletes some of the leases that a query names, and adds their lines to
// those without a lease. Nothing is counted twice: no move of such a lease is done any
// more (quota.Apply: it is Closed, Over, or Old by the time that its row is gone), and
// only with its move a line is written.
func deleteLeases(ctx context.Context, tx *sql.Tx, query string, before int64) (int64, error) {
	leases, err := leasesOf(ctx, tx, query, before)
	if err != nil {
		return 0, err
	}
	for _, l := range leases {
		for _, statement := range []string{foldLines, deleteLines} {
			if _, err := tx.ExecContext(ctx, statement, l.name); err != nil {
				return 0, fmt.Errorf("fold what a lease has spent: %w", err)
			}
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM quota_leases WHERE cell = ? AND lease = ?`, l.cell, l.name); err != nil {
			return 0, fmt.Errorf("delete a lease: %w", err)
		}
	}
	return int64(len(leases)), nil
}

type leaseRow struct{ cell, name []byte }

func leasesOf(ctx context.Context, tx *sql.Tx, query string, before int64) ([]leaseRow, error) {
	rows, err := tx.QueryContext(ctx, query, before, sweepBatch)
	if err != nil {
		return nil, fmt.Errorf("find leases to delete: %w", err)
	}
	defer rows.Close()
	var leases []leaseRow
	for rows.Next() {
		var l leaseRow
		if err := rows.Scan(&l.cell, &l.name); err != nil {
			return nil, fmt.Errorf("find leases to delete: %w", err)
		}
		leases = append(leases, l)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("find leases to delete: %w", err)
	}
	return leases, nil
}
