package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// AddSecret gives a client another secret, by its hash. Those it has are refused
// from until on; a zero until lets them be used on.
func (db *DB) AddSecret(ctx context.Context, client string, hash []byte, until time.Time) (*tokens.Client, error) {
	return db.changeClient(ctx, client, func(tx *sql.Tx, c *tokens.Client) error {
		for i := range c.Secrets {
			if s := &c.Secrets[i]; !until.IsZero() && (s.Until.IsZero() || until.Before(s.Until)) {
				s.Until = until.Truncate(time.Microsecond).UTC()
				if _, err := tx.ExecContext(ctx, `UPDATE client_secrets SET until = ? WHERE client = ? AND generation = ?`, micros(until), c.ID, s.Generation); err != nil {
					return err
				}
			}
		}
		c.Generation++
		secret := tokens.ClientSecret{Generation: c.Generation, Hash: hash}
		if err := checkSecret(&secret); err != nil {
			return err
		}
		c.Secrets = slices.Insert(c.Secrets, 0, secret)
		if _, err := tx.ExecContext(ctx, `UPDATE clients SET generation = ? WHERE id = ?`, c.Generation, c.ID); err != nil {
			return err
		}
		return addSecret(ctx, tx, c.ID, &secret)
	})
}

// RevokeSecret ends the secret of that generation and those before it, with all
// tokens that were made with them (row V2).
func (db *DB) RevokeSecret(ctx context.Context, client string, generation int64) (*tokens.Client, error) {
	return db.changeClient(ctx, client, func(tx *sql.Tx, c *tokens.Client) error {
		if generation < 1 || generation > c.Generation {
			return fmt.Errorf("%w: a secret of generation %d; the newest is %d", tokens.ErrNotFound, generation, c.Generation)
		}
		c.Ended = max(c.Ended, generation)
		c.Secrets = slices.DeleteFunc(c.Secrets, func(s tokens.ClientSecret) bool { return s.Generation <= generation })
		if _, err := tx.ExecContext(ctx, `UPDATE clients SET ended = ? WHERE id = ?`, c.Ended, c.ID); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM client_secrets WHERE client = ? AND generation <= ?`, c.ID, generation)
		return err
	})
}

func addSecret(ctx context.Context, tx *sql.Tx, client string, s *tokens.ClientSecret) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO client_secrets (client, generation, hash, until) VALUES (?, ?, ?, ?)`, client, s.Generation, s.Hash, micros(s.Until))
	if err != nil {
		return fmt.Errorf("store the secret: %w", err)
	}
	return nil
}

func checkSecret(s *tokens.ClientSecret) error {
	if len(s.Hash) != sha256.Size {
		return fmt.Errorf("a secret's hash has %d bytes, not %d: it must come from Pepper.Hash", len(s.Hash), sha256.Size)
	}
	return nil
}

// querySecrets adds the secrets of the clients that a condition selects.
func querySecrets(ctx context.Context, q querier, clients map[string]*tokens.Client, where string, args ...any) error {
	rows, err := q.QueryContext(ctx, `SELECT client, generation, hash, until FROM client_secrets
		WHERE client IN (SELECT id FROM clients `+where+`) ORDER BY client, generation DESC`, args...)
	if err != nil {
		return fmt.Errorf("read secrets: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var client string
		var s tokens.ClientSecret
		var until int64
		if err := rows.Scan(&client, &s.Generation, &s.Hash, &until); err != nil {
			return fmt.Errorf("read secrets: %w", err)
		}
		s.Until = timeOf(until)
		if c := clients[client]; c != nil {
			c.Secrets = append(c.Secrets, s)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read secrets: %w", err)
	}
	return nil
}
