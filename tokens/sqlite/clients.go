package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// CreateClient stores a new client. Its alias may be no other client's alias or
// ID, and its ID no other's alias: both may be sent as client_id.
func (db *DB) CreateClient(ctx context.Context, c *tokens.Client) error {
	if err := check(c); err != nil {
		return err
	}
	return db.write(ctx, func(tx *sql.Tx) error {
		if err := requireFree(ctx, tx, c.ID, tokens.ErrIDTaken); err != nil {
			return err
		}
		if c.Alias != "" {
			if err := requireFree(ctx, tx, c.Alias, tokens.ErrAliasTaken); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO clients (id, name, alias, account, plan, environment,
			scopes, trusted_ips, token_ttl, secret_hash, created_at) VALUES (?, ?, nullif(?, ''), ?, ?, ?, ?, ?, ?, ?, ?)`,
			c.ID, c.Name, c.Alias, c.Account, c.Plan, string(c.Environment),
			joinScopes(c.Scopes), joinPrefixes(c.TrustedIPs), int64(c.TokenTTL/time.Second), c.SecretHash, c.CreatedAt.UnixMicro())
		if err != nil {
			return fmt.Errorf("store the client: %w", err)
		}
		return db.record(ctx, tx, kindClient, c.ID)
	})
}

// requireFree refuses a name under which a client could already be addressed.
func requireFree(ctx context.Context, tx *sql.Tx, name string, taken error) error {
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM clients WHERE id = ?1 OR alias = ?1`, name).Scan(&n); err != nil {
		return fmt.Errorf("look for clients of that name: %w", err)
	}
	if n > 0 {
		return fmt.Errorf("%w: %q", taken, name)
	}
	return nil
}

// Client returns the client of that ID or alias; tokens.ErrNotFound when there
// is none.
func (db *DB) Client(ctx context.Context, idOrAlias string) (*tokens.Client, error) {
	return oneClient(ctx, db.reader, idOrAlias, `WHERE id = ?1 OR alias = ?1`, idOrAlias)
}

// ListClients returns every client, the oldest first.
func (db *DB) ListClients(ctx context.Context) ([]*tokens.Client, error) {
	return queryClients(ctx, db.reader, byCreation)
}

// UpdateClient replaces the scopes or the trusted addresses of the client of that
// ID, nil leaves them; nothing else of a client can be edited (row I2). It
// returns the client as it is now.
func (db *DB) UpdateClient(ctx context.Context, id string, scopes *[]string, trusted *[]netip.Prefix) (*tokens.Client, error) {
	var c *tokens.Client
	err := db.write(ctx, func(tx *sql.Tx) (err error) {
		if c, err = oneClient(ctx, tx, id, `WHERE id = ?`, id); err != nil {
			return err
		}
		if scopes != nil {
			c.Scopes = sorted(*scopes)
		}
		if trusted != nil {
			c.TrustedIPs = slices.Clone(*trusted)
		}
		if err := check(c); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE clients SET scopes = ?, trusted_ips = ? WHERE id = ?`,
			joinScopes(c.Scopes), joinPrefixes(c.TrustedIPs), id); err != nil {
			return fmt.Errorf("update the client: %w", err)
		}
		return db.record(ctx, tx, kindClient, id)
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// DeleteClient removes the client of that ID, and with it all of its tokens.
func (db *DB) DeleteClient(ctx context.Context, id string) error {
	return db.write(ctx, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, `DELETE FROM clients WHERE id = ?`, id)
		if err != nil {
			return fmt.Errorf("delete the client: %w", err)
		}
		if n, err := done.RowsAffected(); err != nil {
			return fmt.Errorf("delete the client: %w", err)
		} else if n == 0 {
			return fmt.Errorf("client %q: %w", id, tokens.ErrNotFound)
		}
		return db.record(ctx, tx, kindClient, id)
	})
}

// check refuses what could not be read back, or would be nonsense to use.
func check(c *tokens.Client) error {
	faults := c.Validate()
	if c.ID == "" || strings.ContainsFunc(c.ID, func(r rune) bool { return r <= ' ' || r > '~' }) {
		faults = append(faults, fmt.Errorf("client ID %q: visible ASCII without spaces is needed", c.ID))
	}
	if len(c.SecretHash) != sha256.Size {
		faults = append(faults, fmt.Errorf("a secret's hash has %d bytes, not %d: it must come from Pepper.Hash", sha256.Size, len(c.SecretHash)))
	}
	if c.CreatedAt.IsZero() {
		faults = append(faults, errors.New("the client does not say when it was created"))
	}
	for _, p := range c.TrustedIPs {
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
			faults = append(faults, fmt.Errorf("trusted IP %s is not as ParseTrustedIP makes them", p))
		}
	}
	return errors.Join(faults...)
}

// querier is a pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

const byCreation = `ORDER BY created_at, seq`

func oneClient(ctx context.Context, q querier, name, where string, args ...any) (*tokens.Client, error) {
	clients, err := queryClients(ctx, q, where, args...)
	if err != nil {
		return nil, err
	}
	if len(clients) == 0 {
		return nil, fmt.Errorf("client %q: %w", name, tokens.ErrNotFound)
	}
	return clients[0], nil
}

func queryClients(ctx context.Context, q querier, where string, args ...any) ([]*tokens.Client, error) {
	rows, err := q.QueryContext(ctx, `SELECT id, name, coalesce(alias, ''), account, plan, environment,
		scopes, trusted_ips, token_ttl, secret_hash, created_at FROM clients `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read clients: %w", err)
	}
	defer rows.Close()
	var clients []*tokens.Client
	for rows.Next() {
		c, err := scanClient(rows)
		if err != nil {
			return nil, fmt.Errorf("read clients: %w", err)
		}
		clients = append(clients, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read clients: %w", err)
	}
	return clients, nil
}

func scanClient(rows *sql.Rows) (*tokens.Client, error) {
	var c tokens.Client
	var environment, scopes, trusted string
	var ttl, created int64
	err := rows.Scan(&c.ID, &c.Name, &c.Alias, &c.Account, &c.Plan, &environment, &scopes, &trusted, &ttl, &c.SecretHash, &created)
	if err != nil {
		return nil, err
	}
	if c.Environment, err = tokens.ParseEnvironment(environment); err != nil {
		return nil, fmt.Errorf("client %s: %w", c.ID, err)
	}
	c.Scopes = strings.Fields(scopes)
	for _, text := range strings.Fields(trusted) {
		p, err := netip.ParsePrefix(text)
		if err != nil { // a list read without this entry would trust others than meant, perhaps everybody
			return nil, fmt.Errorf("client %s: %w", c.ID, err)
		}
		c.TrustedIPs = append(c.TrustedIPs, p)
	}
	c.TokenTTL = time.Duration(ttl) * time.Second
	c.CreatedAt = time.UnixMicro(created).UTC()
	return &c, nil
}

// sorted returns the scopes as a Client has them: sorted, each once.
func sorted(scopes []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(scopes)))
}

func joinScopes(scopes []string) string { return strings.Join(sorted(scopes), " ") }

func joinPrefixes(list []netip.Prefix) string {
	texts := make([]string, len(list))
	for i, p := range list {
		texts[i] = p.String()
	}
	return strings.Join(texts, " ")
}
