package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// CreateAccount stores a new account. It begins without credit: see AddCredit.
func (db *DB) CreateAccount(ctx context.Context, a *tokens.Account) error {
	if err := errors.Join(a.Validate()...); err != nil {
		return err
	}
	return db.write(ctx, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, `INSERT INTO accounts (name, zone, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, a.Name, a.Zone, micros(a.CreatedAt))
		if err != nil {
			return fmt.Errorf("store the account: %w", err)
		}
		if n, err := done.RowsAffected(); err != nil {
			return fmt.Errorf("store the account: %w", err)
		} else if n == 0 {
			return fmt.Errorf("account %q: %w", a.Name, tokens.ErrExists)
		}
		return db.record(ctx, tx, kindAccount, a.Name)
	})
}

// ensureAccount makes the account of a new credential where there is none.
func (db *DB) ensureAccount(ctx context.Context, tx *sql.Tx, name string, now time.Time) error {
	done, err := tx.ExecContext(ctx, `INSERT INTO accounts (name, zone, created_at) VALUES (?, '', ?) ON CONFLICT DO NOTHING`, name, micros(now))
	if err != nil {
		return fmt.Errorf("store the account: %w", err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return err
	}
	return db.record(ctx, tx, kindAccount, name)
}

// Account returns the account of that name; tokens.ErrNotFound when there is none.
func (db *DB) Account(ctx context.Context, name string) (*tokens.Account, error) {
	return oneAccount(ctx, db.reader, name)
}

// ListAccounts returns all accounts by name.
func (db *DB) ListAccounts(ctx context.Context) ([]*tokens.Account, error) {
	return queryAccounts(ctx, db.reader, `ORDER BY name`)
}

// AccountsPage returns at most limit accounts by name, after a position: the account of
// a name, or all without one.
func (db *DB) AccountsPage(ctx context.Context, account string, after tokens.Position, limit int) ([]*tokens.Account, error) {
	where, args := accountsPage(account, after, limit)
	return queryAccounts(ctx, db.reader, where, args...)
}

// EditAccount changes the time zone of an account, as EditClient does what may be
// changed of a client.
func (db *DB) EditAccount(ctx context.Context, name string, edit func(*tokens.Account) error) (*tokens.Account, error) {
	var a *tokens.Account
	err := db.write(ctx, func(tx *sql.Tx) error {
		read := func() (*tokens.Account, error) { return oneAccount(ctx, tx, name) }
		was, now, err := edited(read, edit, func(to, from *tokens.Account) { to.Zone = from.Zone })
		if err != nil {
			return err
		}
		if a = now; *now == *was {
			return nil
		}
		if err := errors.Join(now.Validate()...); err != nil {
			return fmt.Errorf("change the account %s: %w", name, err)
		}
		if _, err := tx.ExecContext(ctx, `UPDATE accounts SET zone = ? WHERE name = ?`, now.Zone, name); err != nil {
			return fmt.Errorf("change the account %s: %w", name, err)
		}
		return db.record(ctx, tx, kindAccount, name)
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

func oneAccount(ctx context.Context, q querier, name string) (*tokens.Account, error) {
	accounts, err := queryAccounts(ctx, q, `WHERE name = ?`, name)
	if err != nil {
		return nil, err
	}
	if len(accounts) == 0 {
		return nil, fmt.Errorf("account %q: %w", name, tokens.ErrNotFound)
	}
	return accounts[0], nil
}

func queryAccounts(ctx context.Context, q querier, where string, args ...any) ([]*tokens.Account, error) {
	var accounts []*tokens.Account
	err := eachRow(ctx, q, "accounts", `SELECT name, zone, created_at, credit, credit_rev FROM accounts `+where, args, func(rows *sql.Rows) error {
		var a tokens.Account
		var created int64
		if err := rows.Scan(&a.Name, &a.Zone, &created, &a.Credit, &a.CreditRev); err != nil {
			return err
		}
		a.CreatedAt = timeOf(created)
		accounts = append(accounts, &a)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return accounts, nil
}
