package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/tollgate-authz/tollgate/tokens"
)

// AddLockout stores a lockout. One of that token that is there and ends later, or at
// the same time, stays. One that is not to last is passed over: see Lockout.Lasting.
func (db *DB) AddLockout(ctx context.Context, l *tokens.Lockout) error {
	if !l.Lasting() {
		return nil
	}
	return db.write(ctx, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, `INSERT INTO lockouts (issuer, token, client, account, plan, since, until) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET client = excluded.client, account = excluded.account, plan = excluded.plan,
			since = excluded.since, until = excluded.until WHERE excluded.until > until`,
			l.Issuer, l.Token, l.Client, l.Account, l.Plan, micros(l.Since), micros(l.Until))
		if err != nil {
			return fmt.Errorf("store the lockout: %w", err)
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return db.record(ctx, tx, kindLockout, l.Issuer+"\t"+l.Token)
	})
}

// DeleteLockout lifts a lockout.
func (db *DB) DeleteLockout(ctx context.Context, id tokens.LockoutID) error {
	return db.write(ctx, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, `DELETE FROM lockouts WHERE issuer = ? AND token = ?`, id.Issuer, id.Token)
		if err != nil {
			return fmt.Errorf("lift the lockout: %w", err)
		}
		if n, err := done.RowsAffected(); err != nil {
			return fmt.Errorf("lift the lockout: %w", err)
		} else if n == 0 {
			return fmt.Errorf("lockout of the token %q: %w", id.Token, tokens.ErrNotFound)
		}
		return db.record(ctx, tx, kindLockout, id.Issuer+"\t"+id.Token)
	})
}

// ListLockouts returns the lockouts that are not over, the oldest first.
func (db *DB) ListLockouts(ctx context.Context) ([]*tokens.Lockout, error) {
	return queryLockouts(ctx, db.reader, notOver+` ORDER BY since, issuer, token`, micros(db.now()))
}

const notOver = `WHERE until > ?`

func queryLockouts(ctx context.Context, q querier, where string, args ...any) ([]*tokens.Lockout, error) {
	var lockouts []*tokens.Lockout
	shared := newTexts()
	err := eachRow(ctx, q, "lockouts", `SELECT issuer, token, client, account, plan, since, until FROM lockouts `+where, args, func(rows *sql.Rows) error {
		var l tokens.Lockout
		var since, until int64
		if err := rows.Scan(&l.Issuer, &l.Token, &l.Client, &l.Account, &l.Plan, &since, &until); err != nil {
			return err
		}
		l.Issuer, l.Client = shared.word(l.Issuer), shared.word(l.Client)
		l.Account, l.Plan = shared.word(l.Account), shared.word(l.Plan)
		l.Since, l.Until = timeOf(since), timeOf(until)
		lockouts = append(lockouts, &l)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return lockouts, nil
}
