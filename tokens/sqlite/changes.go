package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/tollgate-authz/tollgate/tokens"
)

// The kinds of records in the feed.
const (
	kindClient     = "client"
	kindSigningKey = "signing_key"
)

// record appends a change to the feed, in the transaction that makes it: a
// registry can neither miss a change nor learn of one that was rolled back.
func (db *DB) record(ctx context.Context, tx *sql.Tx, kind, id string) error {
	if _, err := tx.ExecContext(ctx, `INSERT INTO changes (kind, id, at) VALUES (?, ?, ?)`, kind, id, db.now().UnixMicro()); err != nil {
		return fmt.Errorf("record a change: %w", err)
	}
	return nil
}

// lastChange looks at one end of an index: it costs microseconds however many
// changes there are.
const lastChange = `SELECT coalesce(max(seq), 0) FROM changes`

// Clients implements tokens.Records.
func (db *DB) Clients(ctx context.Context) (clients []*tokens.Client, last int64, err error) {
	err = db.read(ctx, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, lastChange).Scan(&last); err != nil {
			return fmt.Errorf("find the last change: %w", err)
		}
		clients, err = queryClients(ctx, tx, byCreation)
		return err
	})
	return clients, last, err
}

// Changes implements tokens.Records.
func (db *DB) Changes(ctx context.Context, after int64) (changed map[string]*tokens.Client, last int64, err error) {
	if err := db.reader.QueryRowContext(ctx, lastChange).Scan(&last); err != nil {
		return nil, after, fmt.Errorf("find the last change: %w", err)
	}
	if last == after {
		return nil, after, nil
	}
	err = db.read(ctx, func(tx *sql.Tx) error {
		changed, last, err = readChanges(ctx, tx, after)
		return err
	})
	if err != nil {
		return nil, after, err
	}
	return changed, last, nil
}

func readChanges(ctx context.Context, tx *sql.Tx, after int64) (map[string]*tokens.Client, int64, error) {
	var last int64
	if err := tx.QueryRowContext(ctx, lastChange).Scan(&last); err != nil {
		return nil, 0, fmt.Errorf("find the last change: %w", err)
	}
	if last < after {
		return nil, 0, fmt.Errorf("the store is at change %d but was at %d before: it was replaced by an older one; restart to follow it", last, after)
	}
	ids, err := tx.QueryContext(ctx, `SELECT DISTINCT id FROM changes WHERE seq > ? AND kind = ?`, after, kindClient)
	if err != nil {
		return nil, 0, fmt.Errorf("read the changes: %w", err)
	}
	defer ids.Close()
	changed := map[string]*tokens.Client{}
	for ids.Next() {
		var id string
		if err := ids.Scan(&id); err != nil {
			return nil, 0, fmt.Errorf("read the changes: %w", err)
		}
		changed[id] = nil
	}
	if err := ids.Err(); err != nil {
		return nil, 0, fmt.Errorf("read the changes: %w", err)
	}
	clients, err := queryClients(ctx, tx, `WHERE id IN (SELECT id FROM changes WHERE seq > ? AND kind = ?)`, after, kindClient)
	for _, c := range clients {
		changed[c.ID] = c
	}
	return changed, last, err
}
