package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
)

const queryUsage = `SELECT c.lim, c.folded + coalesce(sum(l.spent), 0), coalesce(sum(l.granted - l.spent), 0),
	coalesce(sum(l.granted - l.spent) FILTER (WHERE l.seen <= ?2), 0), count(l.lease)
	FROM quota_cells c LEFT JOIN quota_leases l ON l.cell = c.id AND l.closed = 0 WHERE c.id = ?1 GROUP BY c.id`

// Usage implements quota.Ledger.
func (l *Ledger) Usage(ctx context.Context, cells []quota.CellID) ([]quota.Usage, error) {
	usages := make([]quota.Usage, len(cells))
	silent := l.db.now().Add(-quota.StrandedAfter).UnixMilli()
	err := l.db.read(ctx, func(tx *sql.Tx) error {
		one, err := tx.PrepareContext(ctx, queryUsage)
		if err != nil {
			return fmt.Errorf("read what limits have been used for: %w", err)
		}
		defer one.Close()
		for i, id := range cells {
			u := &usages[i]
			err := one.QueryRowContext(ctx, cellKey(id), silent).Scan(&u.Limit, &u.Spent, &u.Leased, &u.Stranded, &u.Leases)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return fmt.Errorf("read what limits have been used for: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return usages, nil
}

// The first bound is for the index, which ends at an hour; the second skips what of
// that hour is known.
const queryLines = `SELECT hour, what, price, sum(spent), sum(count) FROM wallet_usage
	WHERE account = ?1 AND hour <= ?2 AND (hour < ?2 OR (what, price) > (?3, ?4))
	GROUP BY hour, what, price ORDER BY hour DESC, what, price LIMIT ?5`

// Lines implements quota.Ledger.
func (l *Ledger) Lines(ctx context.Context, account string, after *quota.Line, limit int) ([]quota.Line, error) {
	if after == nil {
		after = &quota.Line{Hour: math.MaxInt64}
	}
	var lines []quota.Line
	err := eachRow(ctx, l.db.reader, "what was spent from a wallet", queryLines, []any{account, after.Hour, after.What, after.Price, max(0, limit)}, func(rows *sql.Rows) error {
		line := quota.Line{Account: account}
		if err := rows.Scan(&line.Hour, &line.What, &line.Price, &line.Spent, &line.Count); err != nil {
			return err
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return lines, nil
}

// Stranded returns what is leased to processes of which nothing was heard for
// quota.StrandedAfter, by kind of limit: to those that died, and to those that cannot
// reach this store. What days gone by have left is not in it.
func (l *Ledger) Stranded(ctx context.Context) (map[limiter.Kind]int64, error) {
	now := l.db.now()
	stranded := map[limiter.Kind]int64{}
	var cell sql.RawBytes
	var units int64
	err := eachRow(ctx, l.db.reader, "what is stranded", `SELECT l.cell, l.granted - l.spent FROM quota_leases l JOIN quota_cells c ON c.id = l.cell
		WHERE l.closed = 0 AND l.seen <= ? AND (c.ends = 0 OR c.ends > ?)`, []any{now.Add(-quota.StrandedAfter).UnixMilli(), now.Unix()}, func(rows *sql.Rows) error {
		if err := rows.Scan(&cell, &units); err != nil {
			return err
		}
		if len(cell) > 0 {
			stranded[limiter.Kind(cell[0])] += units
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return stranded, nil
}
