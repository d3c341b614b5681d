package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
)

// AddCredit puts money into an account's wallet, and returns the account as it is
// then. Whoever did not get the answer asks again with the same ID, amount and words,
// and pays once; tokens.ErrExists: that ID is another credit's. tokens.ErrCredit: the
// account's credit would be negative, or too much to be counted.
func (db *DB) AddCredit(ctx context.Context, c *tokens.Credit) (*tokens.Account, error) {
	if err := errors.Join(c.Validate()...); err != nil {
		return nil, err
	}
	var account *tokens.Account
	err := db.write(ctx, func(tx *sql.Tx) (err error) {
		if account, err = oneAccount(ctx, tx, c.Account); err != nil {
			return err
		}
		known, err := queryCredits(ctx, tx, `WHERE account = ? AND id = ?`, c.Account, c.ID)
		switch {
		case err != nil:
			return err
		case len(known) == 0:
			return db.addCredit(ctx, tx, account, c)
		case known[0].Amount != c.Amount || known[0].What != c.What:
			return fmt.Errorf("account %s, credit %s of another amount or text: %w", c.Account, c.ID, tokens.ErrExists)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return account, nil
}

func (db *DB) addCredit(ctx context.Context, tx *sql.Tx, account *tokens.Account, c *tokens.Credit) error {
	sum := account.Credit + c.Amount // both are within ±2⁵³
	if sum < 0 || sum > quota.Most {
		return fmt.Errorf("account %s has %s, and would have %s: %w", account.Name, account.Credit, sum, tokens.ErrCredit)
	}
	account.Credit, account.CreditRev = sum, account.CreditRev+1
	_, err := tx.ExecContext(ctx, `INSERT INTO wallet_credits (account, id, amount, what, at) VALUES (?, ?, ?, ?, ?)`,
		c.Account, c.ID, int64(c.Amount), c.What, micros(c.At))
	if err != nil {
		return fmt.Errorf("store the credit: %w", err)
	}
	_, err = tx.ExecContext(ctx, `UPDATE accounts SET credit = ?, credit_rev = ? WHERE name = ?`, int64(account.Credit), account.CreditRev, account.Name)
	if err != nil {
		return fmt.Errorf("store the account's credit: %w", err)
	}
	return db.record(ctx, tx, kindAccount, account.Name)
}

// ListCredits returns an account's credits, the newest first: at most limit, after the
// one whose time and ID after has (nil: from the newest).
func (db *DB) ListCredits(ctx context.Context, account string, after *tokens.Credit, limit int) ([]*tokens.Credit, error) {
	where, args := `WHERE account = ?`, []any{account}
	if after != nil {
		where += ` AND (at, id) < (?, ?)`
		args = append(args, micros(after.At), after.ID)
	}
	return queryCredits(ctx, db.reader, where+` ORDER BY at DESC, id DESC LIMIT ?`, append(args, max(0, limit))...)
}

func queryCredits(ctx context.Context, q querier, where string, args ...any) ([]*tokens.Credit, error) {
	var credits []*tokens.Credit
	err := eachRow(ctx, q, "credits", `SELECT account, id, amount, what, at FROM wallet_credits `+where, args, func(rows *sql.Rows) error {
		var c tokens.Credit
		var at int64
		if err := rows.Scan(&c.Account, &c.ID, &c.Amount, &c.What, &at); err != nil {
			return err
		}
		c.At = timeOf(at)
		credits = append(credits, &c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return credits, nil
}
