package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/tollgate-authz/tollgate/tokens"
)

// CreateUser stores a new user, of revision 1, and its account where there is none of
// that name. tokens.ErrExists: somebody has that e-mail address, in any case.
func (db *DB) CreateUser(ctx context.Context, u *tokens.User) error {
	if err := checkUser(u); err != nil {
		return err
	}
	return db.write(ctx, func(tx *sql.Tx) error {
		if err := db.ensureAccount(ctx, tx, u.Account, u.CreatedAt); err != nil {
			return err
		}
		done, err := tx.ExecContext(ctx, `INSERT INTO users (id, email, name, role, account, suspended, created_at, rev)
			VALUES (?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT (email) DO NOTHING`, u.ID, u.Email, u.Name, string(u.Role), u.Account, u.Suspended, micros(u.CreatedAt))
		if err != nil {
			return fmt.Errorf("store the user: %w", err)
		}
		if n, err := done.RowsAffected(); err != nil {
			return fmt.Errorf("store the user: %w", err)
		} else if n == 0 {
			return fmt.Errorf("user %q: %w", u.Email, tokens.ErrExists)
		}
		return nil
	})
}

// User returns the user of that ID or e-mail address; tokens.ErrNotFound when there is
// none.
func (db *DB) User(ctx context.Context, idOrEmail string) (*tokens.User, error) {
	return oneUser(ctx, db.reader, idOrEmail)
}

// UsersPage returns at most limit users by creation, after a position: an account's, or
// all without one.
func (db *DB) UsersPage(ctx context.Context, account string, after tokens.Position, limit int) ([]*tokens.User, error) {
	where, args := page(account, after, limit)
	return queryUsers(ctx, db.reader, where, args...)
}

// EditUser changes the name, the role, the account and the suspension of a user, as
// EditClient does a client's; another account is made where there is none. The revision
// grows by one with every change. Users show in no feed: nothing about requests depends
// on them.
func (db *DB) EditUser(ctx context.Context, idOrEmail string, edit func(*tokens.User) error) (*tokens.User, error) {
	var u *tokens.User
	err := db.write(ctx, func(tx *sql.Tx) error {
		read := func() (*tokens.User, error) { return oneUser(ctx, tx, idOrEmail) }
		was, now, err := edited(read, edit, func(to, from *tokens.User) {
			to.Name, to.Role, to.Account, to.Suspended = from.Name, from.Role, from.Account, from.Suspended
		})
		if err != nil {
			return err
		}
		if u = now; *now == *was {
			return nil
		}
		if err := checkUser(now); err != nil {
			return err
		}
		if err := db.ensureAccount(ctx, tx, now.Account, db.now()); err != nil {
			return err
		}
		now.Rev++
		_, err = tx.ExecContext(ctx, `UPDATE users SET name = ?, role = ?, account = ?, suspended = ?, rev = ? WHERE id = ?`,
			now.Name, string(now.Role), now.Account, now.Suspended, now.Rev, now.ID)
		if err != nil {
			return fmt.Errorf("change the user %s: %w", now.ID, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return u, nil
}

// DeleteUser removes the user of that ID or e-mail address, unless check (nil: none)
// returns an error.
func (db *DB) DeleteUser(ctx context.Context, idOrEmail string, check func(*tokens.User) error) error {
	return db.write(ctx, func(tx *sql.Tx) error {
		u, err := oneUser(ctx, tx, idOrEmail)
		if err != nil {
			return err
		}
		if err := permit(check, u); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM users WHERE id = ?`, u.ID); err != nil {
			return fmt.Errorf("delete the user: %w", err)
		}
		return nil
	})
}

// checkUser refuses what could not be read back, or would be nonsense to use.
func checkUser(u *tokens.User) error {
	faults := u.Validate()
	if u.ID == "" || strings.ContainsFunc(u.ID, func(r rune) bool { return r <= ' ' || r > '~' || r == '@' }) {
		faults = append(faults, fmt.Errorf("user ID %q: visible ASCII without spaces and @ is needed", u.ID))
	}
	if u.CreatedAt.IsZero() {
		faults = append(faults, errors.New("the user does not say when it was created"))
	}
	return errors.Join(faults...)
}

func oneUser(ctx context.Context, q querier, idOrEmail string) (*tokens.User, error) {
	users, err := queryUsers(ctx, q, `WHERE id = ?1 OR email = ?1`, idOrEmail)
	if err != nil {
		return nil, err
	}
	if len(users) == 0 {
		return nil, fmt.Errorf("user %q: %w", idOrEmail, tokens.ErrNotFound)
	}
	return users[0], nil
}

func queryUsers(ctx context.Context, q querier, where string, args ...any) ([]*tokens.User, error) {
	var users []*tokens.User
	err := eachRow(ctx, q, "users", `SELECT id, email, name, role, account, suspended, created_at, rev FROM users `+where, args, func(rows *sql.Rows) error {
		var u tokens.User
		var role string
		var created int64
		err := rows.Scan(&u.ID, &u.Email, &u.Name, &role, &u.Account, &u.Suspended, &created, &u.Rev)
		if err != nil {
			return err
		}
		if u.Role, err = tokens.ParseRole(role); err != nil {
			return fmt.Errorf("user %s: %w", u.ID, err)
		}
		u.CreatedAt = timeOf(created)
		users = append(users, &u)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return users, nil
}
