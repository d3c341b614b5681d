package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tollgate-authz/tollgate/authz/stats"
)

// AddStats implements stats.Adder.
func (db *DB) AddStats(ctx context.Context, b *stats.Batch) error {
	return db.write(ctx, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, `INSERT INTO stats_processes (process, number, seen) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET number = excluded.number, seen = excluded.seen WHERE number < excluded.number`,
			b.Process[:], int64(b.Number), micros(db.now()))
		if err != nil {
			return fmt.Errorf("number a batch of statistics: %w", err)
		}
		if n, err := done.RowsAffected(); n == 0 || err != nil { // it is there already
			return err
		}
		add, err := tx.PrepareContext(ctx, `INSERT INTO stats_added (account, start, data) VALUES (?, ?, ?)`)
		if err != nil {
			return fmt.Errorf("store statistics: %w", err)
		}
		defer add.Close()
		for i := range b.Rows {
			if _, err := add.Exec(b.Rows[i].Account, b.Rows[i].Start, b.Rows[i].Data); err != nil {
				return fmt.Errorf("store statistics: %w", err)
			}
		}
		return ctx.Err() // the statements heed no context
	})
}

// ReadStats implements stats.Source.
func (db *DB) ReadStats(ctx context.Context, s *stats.Selection, each func(*stats.Row) error) error {
	return db.read(ctx, func(tx *sql.Tx) error {
		for _, added := range []bool{false, true} {
			for _, span := range s.Spans {
				if (span.Resolution == stats.Added) != added {
					continue
				}
				if err := readSpan(ctx, tx, s.Account, span, each); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func readSpan(ctx context.Context, tx *sql.Tx, account *string, span stats.Span, each func(*stats.Row) error) error {
	query, args := `SELECT account, start, 0, rev, data FROM stats_merged WHERE resolution = ? AND start >= ? AND start < ?`, []any{span.Resolution, span.From, span.To}
	if span.Resolution == stats.Added {
		query, args = `SELECT account, start, id, 0, data FROM stats_added WHERE start >= ? AND start < ?`, args[1:]
	}
	if account != nil {
		query, args = query+` AND account = ?`, append(args, *account)
	}
	var data sql.RawBytes
	return eachRow(ctx, tx, "statistics", query, args, func(rows *sql.Rows) error {
		row := stats.Row{Resolution: span.Resolution}
		if err := rows.Scan(&row.Account, &row.Start, &row.ID, &row.Rev, &data); err != nil {
			return err
		}
		row.Data = data
		return each(&row)
	})
}

// PendingStats implements stats.Merger.
func (db *DB) PendingStats(ctx context.Context, from string, maxBytes int) (added []stats.Row, err error) {
	var data sql.RawBytes
	errFull := errors.New("that is enough")
	size := 0
	err = eachRow(ctx, db.reader, "statistics", `SELECT id, account, start, data FROM stats_added
		WHERE account = (SELECT account FROM stats_added WHERE account >= ? ORDER BY account LIMIT 1) ORDER BY id`, []any{from}, func(rows *sql.Rows) error {
		var row stats.Row
		if err := rows.Scan(&row.ID, &row.Account, &row.Start, &data); err != nil {
			return err
		}
		if size += len(data); size > maxBytes && len(added) > 0 {
			return errFull
		}
		row.Data = bytes.Clone(data)
		added = append(added, row)
		return nil
	})
	if errors.Is(err, errFull) {
		err = nil
	}
	return added, err
}

// MergeStats implements stats.Merger.
func (db *DB) MergeStats(ctx context.Context, m *stats.Merge) error {
	return db.write(ctx, func(tx *sql.Tx) error {
		for _, id := range m.Added {
			if err := oneRow(tx.Exec(`DELETE FROM stats_added WHERE id = ?`, id)); err != nil {
				return fmt.Errorf("delete statistics that were merged: %w", err)
			}
		}
		for i := range m.Rows {
			if err := oneRow(putMerged(tx, &m.Rows[i])); err != nil {
				return fmt.Errorf("store merged statistics: %w", err)
			}
		}
		return ctx.Err()
	})
}

func putMerged(tx *sql.Tx, r *stats.Row) (sql.Result, error) {
	if r.Rev == 0 {
		return tx.Exec(`INSERT INTO stats_merged (account, resolution, start, rev, data) VALUES (?, ?, ?, 1, ?) ON CONFLICT DO NOTHING`,
			r.Account, r.Resolution, r.Start, r.Data)
	}
	return tx.Exec(`UPDATE stats_merged SET rev = rev + 1, data = ? WHERE account = ? AND resolution = ? AND start = ? AND rev = ?`,
		r.Data, r.Account, r.Resolution, r.Start, r.Rev)
}

// oneRow says that somebody else was faster when a statement has changed nothing.
func oneRow(done sql.Result, err error) error {
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return stats.ErrStale
}

// statsPruned bounds how many merged rows go in one transaction: they are large.
const statsPruned = 200

// PruneStats implements stats.Pruner.
func (db *DB) PruneStats(ctx context.Context, r stats.Resolution, before time.Time) error {
	for _, p := range []struct {
		query string
		args  []any
	}{
		{`DELETE FROM stats_merged WHERE id IN (SELECT id FROM stats_merged WHERE resolution = ? AND start < ? LIMIT ?)`, []any{r, before.Unix(), statsPruned}},
		{`DELETE FROM stats_processes WHERE process IN (SELECT process FROM stats_processes WHERE seen < ? LIMIT ?)`, []any{micros(db.now().Add(-stats.KeepProcesses)), statsPruned}},
	} {
		for n := int64(statsPruned); n == statsPruned; {
			err := db.write(ctx, func(tx *sql.Tx) error {
				done, err := tx.ExecContext(ctx, p.query, p.args...)
				if err != nil {
					return err
				}
				n, err = done.RowsAffected()
				return err
			})
			if err != nil {
				return fmt.Errorf("delete old statistics: %w", err)
			}
		}
	}
	return nil
}
