package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tollgate-authz/tollgate/tokens"
)

// CreateAPIKey stores a new API key for the given APIs, the names of all that it would
// open. ErrMoved: the account has moved on to OAuth 2.0 at one that the key names,
// or at all of them (row I5).
func (db *DB) CreateAPIKey(ctx context.Context, k *tokens.APIKey, opens []string) error {
	if err := errors.Join(k.Validate()...); err != nil {
		return err
	}
	return db.write(ctx, func(tx *sql.Tx) error {
		moves, err := queryMoves(ctx, tx, `WHERE account = ?`, k.Account)
		if err != nil {
			return err
		}
		var moved []string
		for _, m := range moves {
			if slices.Contains(opens, m.API) {
				moved = append(moved, m.API)
			}
		}
		if len(moved) > 0 && (len(k.APIs) > 0 || len(moved) == len(opens)) {
			return fmt.Errorf("account %s, API %s: %w", k.Account, strings.Join(moved, ", "), tokens.ErrMoved)
		}
		if err := db.ensureAccount(ctx, tx, k.Account, k.CreatedAt); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO api_keys (id, hash, name, account, plan, environment, scopes, trusted_ips, apis, created_at, expires_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, k.ID, k.Hash[:], k.Name, k.Account, k.Plan, string(k.Environment),
			joinScopes(k.Scopes), joinPrefixes(k.TrustedIPs), strings.Join(k.APIs, " "), micros(k.CreatedAt), micros(k.ExpiresAt))
		if err != nil {
			return fmt.Errorf("store the API key: %w", err)
		}
		return db.record(ctx, tx, kindAPIKey, k.ID)
	})
}

// ListAPIKeys returns all API keys by creation.
func (db *DB) ListAPIKeys(ctx context.Context) ([]*tokens.APIKey, error) {
	return queryAPIKeys(ctx, db.reader, byCreation)
}

// APIKeysPage returns at most limit API keys by creation, after a position: an
// account's, or all without one.
func (db *DB) APIKeysPage(ctx context.Context, account string, after tokens.Position, limit int) ([]*tokens.APIKey, error) {
	where, args := page(account, after, limit)
	return queryAPIKeys(ctx, db.reader, where, args...)
}

// APIKey returns the API key of that ID; tokens.ErrNotFound when there is none.
func (db *DB) APIKey(ctx context.Context, id string) (*tokens.APIKey, error) {
	return oneAPIKey(ctx, db.reader, id)
}

// EditAPIKey changes the scopes and the trusted addresses of an API key, as EditClient
// does a client's.
func (db *DB) EditAPIKey(ctx context.Context, id string, edit func(*tokens.APIKey) error) (*tokens.APIKey, error) {
	var k *tokens.APIKey
	err := db.write(ctx, func(tx *sql.Tx) error {
		read := func() (*tokens.APIKey, error) { return oneAPIKey(ctx, tx, id) }
		was, now, err := edited(read, edit, func(to, from *tokens.APIKey) { to.Scopes, to.TrustedIPs = from.Scopes, from.TrustedIPs })
		if err != nil {
			return err
		}
		k, now.Scopes = now, sorted(now.Scopes)
		if slices.Equal(now.Scopes, was.Scopes) && slices.Equal(now.TrustedIPs, was.TrustedIPs) {
			return nil
		}
		if err := errors.Join(now.Validate()...); err != nil {
			return fmt.Errorf("change the API key %s: %w", id, err)
		}
		_, err = tx.ExecContext(ctx, `UPDATE api_keys SET scopes = ?, trusted_ips = ? WHERE id = ?`, joinScopes(now.Scopes), joinPrefixes(now.TrustedIPs), id)
		if err != nil {
			return fmt.Errorf("change the API key %s: %w", id, err)
		}
		return db.record(ctx, tx, kindAPIKey, id)
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

// DeleteAPIKey ends an API key, unless check (nil: none) returns an error.
func (db *DB) DeleteAPIKey(ctx context.Context, id string, check func(*tokens.APIKey) error) error {
	return db.write(ctx, func(tx *sql.Tx) error {
		k, err := oneAPIKey(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := permit(check, k); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM api_keys WHERE id = ?`, id); err != nil {
			return fmt.Errorf("delete the API key: %w", err)
		}
		return db.record(ctx, tx, kindAPIKey, id)
	})
}

// AddMove marks an API as moved to OAuth 2.0 for an account. The first mark stays.
func (db *DB) AddMove(ctx context.Context, m *tokens.Move) error {
	return db.write(ctx, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, `INSERT INTO moves (account, api, client, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`, m.Account, m.API, m.Client, micros(m.At))
		if err != nil {
			return fmt.Errorf("mark an API as moved: %w", err)
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return db.record(ctx, tx, kindMove, m.Account+"\t"+m.API)
	})
}

// DeleteMove takes a mark back.
func (db *DB) DeleteMove(ctx context.Context, id tokens.MoveID) error {
	return db.write(ctx, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, `DELETE FROM moves WHERE account = ? AND api = ?`, id.Account, id.API)
		if err != nil {
			return fmt.Errorf("take a mark back: %w", err)
		}
		if n, err := done.RowsAffected(); err != nil {
			return fmt.Errorf("take a mark back: %w", err)
		} else if n == 0 {
			return fmt.Errorf("account %q has not moved at the API %q: %w", id.Account, id.API, tokens.ErrNotFound)
		}
		return db.record(ctx, tx, kindMove, id.Account+"\t"+id.API)
	})
}

// ListMoves returns all marks.
func (db *DB) ListMoves(ctx context.Context) ([]*tokens.Move, error) {
	return queryMoves(ctx, db.reader, `ORDER BY account, api`)
}

func oneAPIKey(ctx context.Context, q querier, id string) (*tokens.APIKey, error) {
	keys, err := queryAPIKeys(ctx, q, `WHERE id = ?`, id)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("API key %q: %w", id, tokens.ErrNotFound)
	}
	return keys[0], nil
}

func queryAPIKeys(ctx context.Context, q querier, where string, args ...any) ([]*tokens.APIKey, error) {
	var keys []*tokens.APIKey
	shared := newTexts()
	err := eachRow(ctx, q, "API keys", `SELECT id, hash, name, account, plan, environment, scopes, trusted_ips, apis, created_at, expires_at FROM api_keys `+where, args, func(rows *sql.Rows) error {
		k, err := scanAPIKey(rows, shared)
		if err != nil {
			return err
		}
		keys = append(keys, k)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

func scanAPIKey(rows *sql.Rows, shared *texts) (*tokens.APIKey, error) {
	var k tokens.APIKey
	var hash []byte
	var environment, scopes, trusted, apis string
	var created, expires int64
	err := rows.Scan(&k.ID, &hash, &k.Name, &k.Account, &k.Plan, &environment, &scopes, &trusted, &apis, &created, &expires)
	if err != nil {
		return nil, err
	}
	if len(hash) != sha256.Size {
		return nil, fmt.Errorf("API key %s: its hash has %d bytes, not %d", k.ID, len(hash), sha256.Size)
	}
	k.Hash = [sha256.Size]byte(hash)
	if k.Environment, err = tokens.ParseEnvironment(environment); err != nil {
		return nil, fmt.Errorf("API key %s: %w", k.ID, err)
	}
	if k.TrustedIPs, err = scanList(trusted); err != nil {
		return nil, fmt.Errorf("API key %s: %w", k.ID, err)
	}
	k.Account, k.Plan = shared.word(k.Account), shared.word(k.Plan)
	k.Scopes, k.APIs = shared.list(scopes), shared.list(apis)
	k.CreatedAt, k.ExpiresAt = timeOf(created), timeOf(expires)
	return &k, nil
}

func queryMoves(ctx context.Context, q querier, where string, args ...any) ([]*tokens.Move, error) {
	var moves []*tokens.Move
	err := eachRow(ctx, q, "moves", `SELECT account, api, client, at FROM moves `+where, args, func(rows *sql.Rows) error {
		var m tokens.Move
		var at int64
		if err := rows.Scan(&m.Account, &m.API, &m.Client, &at); err != nil {
			return err
		}
		m.At = timeOf(at)
		moves = append(moves, &m)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return moves, nil
}
