package sqlite

import (
	"context"
	"database/sql"
	"fmt"
)

// LimitRevisions stores limits that stand in a configuration file, by names such as
// "default.per_day", and returns the revision of each: 1 for the first value, and one
// more whenever the value is another than before. Limits that are not named stay.
//
// The ledger lets the limit with the highest revision win, so that a process which was
// cut off, or has not read its file again yet, does not put an old limit back in force.
// What is edited in the store is counted there; what stands in a file has no number of
// its own. Of processes with different files the one that read its file last is right.
func (db *DB) LimitRevisions(ctx context.Context, limits map[string]int64) (map[string]int64, error) {
	revisions, changed, err := compareLimits(ctx, db.reader, limits)
	if err != nil {
		return nil, err
	}
	if len(changed) == 0 {
		return revisions, nil
	}
	err = db.write(ctx, func(tx *sql.Tx) (err error) {
		if revisions, changed, err = compareLimits(ctx, tx, limits); err != nil {
			return err
		}
		for _, name := range changed {
			revisions[name]++
			_, err := tx.ExecContext(ctx, `INSERT INTO limit_revisions (name, value, rev) VALUES (?, ?, ?)
				ON CONFLICT DO UPDATE SET value = excluded.value, rev = excluded.rev`, name, limits[name], revisions[name])
			if err != nil {
				return fmt.Errorf("store the limit %s: %w", name, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return revisions, nil
}

// compareLimits returns the stored revisions of limits, and the names of those that are
// new or have another value than the stored one.
func compareLimits(ctx context.Context, q querier, limits map[string]int64) (revisions map[string]int64, changed []string, err error) {
	revisions = make(map[string]int64, len(limits))
	err = eachRow(ctx, q, "the revisions of limits", `SELECT name, value, rev FROM limit_revisions`, nil, func(rows *sql.Rows) error {
		var name string
		var value, rev int64
		if err := rows.Scan(&name, &value, &rev); err != nil {
			return err
		}
		wanted, asked := limits[name]
		if asked {
			revisions[name] = rev
		}
		if asked && wanted != value {
			changed = append(changed, name)
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	for name := range limits {
		if revisions[name] == 0 {
			changed = append(changed, name)
		}
	}
	return revisions, changed, nil
}
