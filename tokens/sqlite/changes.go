package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// Kinds of records in the feed.
const (
	kindClient     = "client"
	kindSigningKey = "signing_key"
	kindGrant      = "grant"
	kindFamily     = "family"
	kindAPIKey     = "api_key"
	kindMove       = "move" // its id is account, tab, API
	kindAccount    = "account"
	kindLockout    = "lockout" // its id is issuer, tab, token
)

// record appends a change to the feed, in the transaction that makes it.
func (db *DB) record(ctx context.Context, tx *sql.Tx, kind, id string) error {
	if _, err := tx.ExecContext(ctx, `INSERT INTO changes (kind, id, at) VALUES (?, ?, ?)`, kind, id, db.now().UnixMicro()); err != nil {
		return fmt.Errorf("record a change: %w", err)
	}
	return nil
}

// The newest row of the feed is never pruned.
const lastChange = `SELECT coalesce(max(seq), 0) FROM changes`

// Snapshot returns all records that decide about requests (tokens.Records).
func (db *DB) Snapshot(ctx context.Context) (all *tokens.Changes, err error) {
	all = &tokens.Changes{}
	now := db.now()
	err = db.read(ctx, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, lastChange).Scan(&all.Last); err != nil {
			return fmt.Errorf("find the last change: %w", err)
		}
		if err := collect(ctx, tx, &all.Clients, queryClients, clientID, ``); err != nil {
			return err
		}
		if err := collect(ctx, tx, &all.Grants, queryGrants, grantID, mostGrants, now.Add(-tokens.KeepExpired).UnixMicro()); err != nil {
			return err
		}
		if err := collect(ctx, tx, &all.Families, queryFamilies, familyID, `WHERE ended_at != 0 AND tokens_until > ?`, now.UnixMicro()); err != nil {
			return err
		}
		if err := collect(ctx, tx, &all.APIKeys, queryAPIKeys, apiKeyID, ``); err != nil {
			return err
		}
		if err := collect(ctx, tx, &all.Moves, queryMoves, moveID, ``); err != nil {
			return err
		}
		if err := collect(ctx, tx, &all.Accounts, queryAccounts, accountID, ``); err != nil {
			return err
		}
		return collect(ctx, tx, &all.Lockouts, queryLockouts, (*tokens.Lockout).ID, notOver, now.UnixMicro())
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// mostGrants is for a condition that nearly all rows meet: the plus keeps SQLite from
// using the index, and from looking up a million rows one by one.
const mostGrants = `WHERE +expires_at > ?`

// The names under which the registry knows records.
func clientID(c *tokens.Client) string    { return c.ID }
func grantID(g *tokens.Grant) string      { return g.ID }
func familyID(f *tokens.Family) string    { return f.ID }
func apiKeyID(k *tokens.APIKey) string    { return k.ID }
func accountID(a *tokens.Account) string  { return a.Name }
func moveID(m *tokens.Move) tokens.MoveID { return tokens.MoveID{Account: m.Account, API: m.API} }

// query reads the records that a condition selects.
type query[R any] func(ctx context.Context, q querier, where string, args ...any) ([]*R, error)

// collect adds the selected records to a map.
func collect[ID comparable, R any](ctx context.Context, tx *sql.Tx, into *map[ID]*R, read query[R], id func(*R) ID, where string, args ...any) error {
	records, err := read(ctx, tx, where, args...)
	if err != nil {
		return err
	}
	if *into == nil {
		*into = make(map[ID]*R, len(records))
	}
	for _, r := range records {
		(*into)[id(r)] = r
	}
	return nil
}

// Changes returns the records changed after a change (tokens.Records).
func (db *DB) Changes(ctx context.Context, after int64) (*tokens.Changes, error) {
	var last int64
	if err := db.last.QueryRowContext(ctx).Scan(&last); err != nil {
		return nil, fmt.Errorf("find the last change: %w", err)
	}
	if last == after {
		return &tokens.Changes{Last: after}, nil
	}
	changes := &tokens.Changes{}
	err := db.read(ctx, func(tx *sql.Tx) error { return readChanges(ctx, tx, after, changes) })
	if err != nil {
		return nil, err
	}
	return changes, nil
}

func readChanges(ctx context.Context, tx *sql.Tx, after int64, c *tokens.Changes) error {
	var first int64
	if err := tx.QueryRowContext(ctx, `SELECT coalesce(min(seq), 0), coalesce(max(seq), 0) FROM changes`).Scan(&first, &c.Last); err != nil {
		return fmt.Errorf("find the last change: %w", err)
	}
	switch {
	case c.Last < after:
		return fmt.Errorf("the store is at change %d but was at %d before: it was replaced by an older one; restart to follow it", c.Last, after)
	case first > after+1:
		return tokens.ErrGap
	}
	gone, err := changedIDs(ctx, tx, after)
	if err != nil {
		return err
	}
	const changed = `WHERE id IN (SELECT id FROM changes WHERE seq > ? AND kind = ?)`
	if ids := gone[kindClient]; ids != nil {
		c.Clients = absent[tokens.Client](ids)
		if err := collect(ctx, tx, &c.Clients, queryClients, clientID, changed, after, kindClient); err != nil {
			return err
		}
	}
	if ids := gone[kindGrant]; ids != nil {
		c.Grants = absent[tokens.Grant](ids)
		if err := collect(ctx, tx, &c.Grants, queryGrants, grantID, changed, after, kindGrant); err != nil {
			return err
		}
	}
	if gone[kindFamily] != nil {
		if err := collect(ctx, tx, &c.Families, queryFamilies, familyID, changed+` AND ended_at != 0`, after, kindFamily); err != nil {
			return err
		}
	}
	if ids := gone[kindAPIKey]; ids != nil {
		c.APIKeys = absent[tokens.APIKey](ids)
		if err := collect(ctx, tx, &c.APIKeys, queryAPIKeys, apiKeyID, changed, after, kindAPIKey); err != nil {
			return err
		}
	}
	if ids := gone[kindAccount]; ids != nil {
		c.Accounts = absent[tokens.Account](ids)
		if err := collect(ctx, tx, &c.Accounts, queryAccounts, accountID, `WHERE name IN (SELECT id FROM changes WHERE seq > ? AND kind = ?)`, after, kindAccount); err != nil {
			return err
		}
	}
	if ids := gone[kindLockout]; ids != nil {
		if err := changedLockouts(ctx, tx, after, ids, c); err != nil {
			return err
		}
	}
	if ids := gone[kindMove]; ids != nil {
		c.Moves = map[tokens.MoveID]*tokens.Move{}
		for _, id := range ids {
			account, api, _ := strings.Cut(id, "\t")
			c.Moves[tokens.MoveID{Account: account, API: api}] = nil
		}
		moves, err := queryMoves(ctx, tx, ``) // there are few
		if err != nil {
			return err
		}
		for _, m := range moves {
			if _, changed := c.Moves[moveID(m)]; changed {
				c.Moves[moveID(m)] = m
			}
		}
	}
	c.SigningKeys = gone[kindSigningKey] != nil
	return nil
}

// changedLockouts looks each up by its key: an attack makes many, of which few change
// from one poll to the next.
func changedLockouts(ctx context.Context, tx *sql.Tx, after int64, ids []string, c *tokens.Changes) error {
	c.Lockouts = make(map[tokens.LockoutID]*tokens.Lockout, len(ids))
	for _, id := range ids {
		issuer, token, _ := strings.Cut(id, "\t")
		c.Lockouts[tokens.LockoutID{Issuer: issuer, Token: token}] = nil
	}
	const changed = `WHERE (issuer, token) IN (SELECT substr(id, 1, instr(id, char(9)) - 1), substr(id, instr(id, char(9)) + 1) FROM changes WHERE seq > ? AND kind = ?)`
	return collect(ctx, tx, &c.Lockouts, queryLockouts, (*tokens.Lockout).ID, changed, after, kindLockout)
}

// absent says of records that they are gone, until they are found.
func absent[R any](ids []string) map[string]*R {
	gone := make(map[string]*R, len(ids))
	for _, id := range ids {
		gone[id] = nil
	}
	return gone
}

// changedIDs returns what changed, by kind.
func changedIDs(ctx context.Context, tx *sql.Tx, after int64) (map[string][]string, error) {
	ids := map[string][]string{}
	err := eachRow(ctx, tx, "the changes", `SELECT DISTINCT kind, id FROM changes WHERE seq > ?`, []any{after}, func(rows *sql.Rows) error {
		var kind, id string
		if err := rows.Scan(&kind, &id); err != nil {
			return err
		}
		ids[kind] = append(ids[kind], id)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}

// texts keeps one copy of what many records say alike.
type texts struct {
	words map[string]string
	lists map[string][]string
}

func newTexts() *texts { return &texts{map[string]string{}, map[string][]string{}} }

func (t *texts) word(s string) string {
	if known, ok := t.words[s]; ok {
		return known
	}
	t.words[s] = s
	return s
}

func (t *texts) list(s string) []string {
	known, ok := t.lists[s]
	if !ok {
		known = strings.Fields(s)
		t.lists[s] = known
	}
	return known
}

// Times are microseconds since 1970; 0 is no time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func timeOf(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}
