package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// CreateClient stores a new client, and its account where there is none of that name.
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
		if err := db.ensureAccount(ctx, tx, c.Account, c.CreatedAt); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO clients (id, name, alias, account, plan, environment, scopes, trusted_ips,
			token_ttl, format, refresh, suspended, generation, ended, created_at) VALUES (?, ?, nullif(?, ''), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			c.ID, c.Name, c.Alias, c.Account, c.Plan, string(c.Environment), joinScopes(c.Scopes), joinPrefixes(c.TrustedIPs),
			int64(c.TokenTTL/time.Second), string(c.Format), c.Refresh, c.Suspended, c.Generation, c.Ended, c.CreatedAt.UnixMicro())
		if err != nil {
			return fmt.Errorf("store the client: %w", err)
		}
		for i := range c.Secrets {
			if err := addSecret(ctx, tx, c.ID, &c.Secrets[i]); err != nil {
				return err
			}
		}
		if err := db.outliveClient(ctx, tx, c.TokenTTL); err != nil {
			return err
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
func (db *DB) Client(ctx context.Context, idOrAlias string) (c *tokens.Client, err error) {
	err = db.read(ctx, func(tx *sql.Tx) (err error) { // a client and its secrets of one moment
		c, err = oneClient(ctx, tx, idOrAlias, byName, idOrAlias)
		return err
	})
	return c, err
}

// ListClients returns every client, the oldest first.
func (db *DB) ListClients(ctx context.Context) (list []*tokens.Client, err error) {
	err = db.read(ctx, func(tx *sql.Tx) (err error) {
		list, err = queryClients(ctx, tx, byCreation)
		return err
	})
	return list, err
}

// ClientsPage returns at most limit clients by creation, after a position: an account's,
// or all without one.
func (db *DB) ClientsPage(ctx context.Context, account string, after tokens.Position, limit int) (list []*tokens.Client, err error) {
	where, args := page(account, after, limit)
	err = db.read(ctx, func(tx *sql.Tx) (err error) {
		list, err = queryClients(ctx, tx, where, args...)
		return err
	})
	return list, err
}

// EditClient changes the scopes, the trusted addresses and the suspension of the client
// of that ID or alias, and returns the client as it is then. edit is given a copy of it
// as it is, and nobody changes it meanwhile: of two edits at once none is lost. An error
// of edit is returned and changes nothing, and so does an edit of anything else (row
// I2): tokens.ErrFixed. What is the same as before is not written, and shows in no feed.
//
// The store is locked while edit runs: it must not wait, nor ask the store.
func (db *DB) EditClient(ctx context.Context, idOrAlias string, edit func(*tokens.Client) error) (*tokens.Client, error) {
	var c *tokens.Client
	err := db.write(ctx, func(tx *sql.Tx) error {
		read := func() (*tokens.Client, error) { return oneClient(ctx, tx, idOrAlias, byName, idOrAlias) }
		was, now, err := edited(read, edit, func(to, from *tokens.Client) {
			to.Scopes, to.TrustedIPs, to.Suspended = from.Scopes, from.TrustedIPs, from.Suspended
		})
		if err != nil {
			return err
		}
		c, now.Scopes = now, sorted(now.Scopes)
		widened := !slices.Equal(now.Scopes, was.Scopes) || !slices.Equal(now.TrustedIPs, was.TrustedIPs)
		if !widened && now.Suspended == was.Suspended {
			return nil
		}
		if widened { // a suspension is never refused, whatever is wrong with the client
			if err := check(now); err != nil {
				return fmt.Errorf("change the client %s: %w", now.ID, err)
			}
		}
		_, err = tx.ExecContext(ctx, `UPDATE clients SET scopes = ?, trusted_ips = ?, suspended = ? WHERE id = ?`,
			joinScopes(now.Scopes), joinPrefixes(now.TrustedIPs), now.Suspended, now.ID)
		if err != nil {
			return fmt.Errorf("change the client %s: %w", now.ID, err)
		}
		return db.record(ctx, tx, kindClient, now.ID)
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// changeClient changes one client, which may be named by its alias, and returns it as
// it is then.
func (db *DB) changeClient(ctx context.Context, idOrAlias string, change func(*sql.Tx, *tokens.Client) error) (*tokens.Client, error) {
	var c *tokens.Client
	err := db.write(ctx, func(tx *sql.Tx) (err error) {
		if c, err = oneClient(ctx, tx, idOrAlias, byName, idOrAlias); err != nil {
			return err
		}
		if err := change(tx, c); err != nil {
			return fmt.Errorf("change the client %s: %w", c.ID, err)
		}
		return db.record(ctx, tx, kindClient, c.ID)
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// DeleteClient removes the client of that ID or alias, and with it all of its tokens,
// unless check (nil: none) returns an error.
func (db *DB) DeleteClient(ctx context.Context, idOrAlias string, check func(*tokens.Client) error) error {
	_, err := db.changeClient(ctx, idOrAlias, func(tx *sql.Tx, c *tokens.Client) error {
		if err := permit(check, c); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM clients WHERE id = ?`, c.ID)
		return err
	})
	return err
}

// check refuses what could not be read back, or would be nonsense to use.
func check(c *tokens.Client) error {
	faults := c.Validate()
	if c.ID == "" || strings.ContainsFunc(c.ID, func(r rune) bool { return r <= ' ' || r > '~' }) {
		faults = append(faults, fmt.Errorf("client ID %q: visible ASCII without spaces is needed", c.ID))
	}
	for i := range c.Secrets {
		if err := checkSecret(&c.Secrets[i]); err != nil {
			faults = append(faults, err)
		}
	}
	if len(c.Secrets) > 0 && c.Secrets[0].Generation != c.Generation {
		faults = append(faults, fmt.Errorf("the newest secret is of generation %d, and the client says %d", c.Secrets[0].Generation, c.Generation))
	}
	if c.CreatedAt.IsZero() {
		faults = append(faults, errors.New("the client does not say when it was created"))
	}
	return errors.Join(faults...)
}

// querier is a pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

const byName = `WHERE id = ?1 OR alias = ?1`

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
	var clients []*tokens.Client
	byID, shared := map[string]*tokens.Client{}, newTexts()
	err := eachRow(ctx, q, "clients", `SELECT id, name, coalesce(alias, ''), account, plan, environment, scopes, trusted_ips,
		token_ttl, format, refresh, suspended, generation, ended, created_at FROM clients `+where, args, func(rows *sql.Rows) error {
		c, err := scanClient(rows, shared)
		if err != nil {
			return err
		}
		clients = append(clients, c)
		byID[c.ID] = c
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(clients) == 0 {
		return nil, nil
	}
	return clients, querySecrets(ctx, q, byID, where, args...)
}

// scanList reads a list of trusted addresses. An entry that cannot be read is an
// error: without it others would be trusted than was meant, perhaps everybody.
func scanList(text string) (list []netip.Prefix, err error) {
	for _, word := range strings.Fields(text) {
		p, err := netip.ParsePrefix(word)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

func scanClient(rows *sql.Rows, shared *texts) (*tokens.Client, error) {
	var c tokens.Client
	var environment, scopes, trusted, format string
	var ttl, created int64
	err := rows.Scan(&c.ID, &c.Name, &c.Alias, &c.Account, &c.Plan, &environment, &scopes, &trusted,
		&ttl, &format, &c.Refresh, &c.Suspended, &c.Generation, &c.Ended, &created)
	if err != nil {
		return nil, err
	}
	if c.Environment, err = tokens.ParseEnvironment(environment); err != nil {
		return nil, fmt.Errorf("client %s: %w", c.ID, err)
	}
	if c.TrustedIPs, err = scanList(trusted); err != nil {
		return nil, fmt.Errorf("client %s: %w", c.ID, err)
	}
	c.Account, c.Plan, c.Format = shared.word(c.Account), shared.word(c.Plan), tokens.Format(shared.word(format))
	c.Scopes = shared.list(scopes)
	c.TokenTTL = time.Duration(ttl) * time.Second
	c.CreatedAt = timeOf(created)
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
