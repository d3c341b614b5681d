package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/tollgate-authz/tollgate/tokens"
)

// Recorded tokens, as those see them who administer them.

// Token returns the recorded token of that ID, with the family of its refresh token.
func (db *DB) Token(ctx context.Context, id string) (h *tokens.Holding, err error) {
	err = db.read(ctx, func(tx *sql.Tx) (err error) {
		h, err = oneHolding(ctx, tx, id)
		return err
	})
	return h, err
}

// EditToken changes one recorded token and its family, and returns them as they are
// then. edit is given copies as they are now, so that of edits at once none is lost; its
// error leaves everything as it was. It may give the token another family. An edit that
// changes nothing writes nothing. ID, client and time of creation never change.
func (db *DB) EditToken(ctx context.Context, id string, edit func(*tokens.Holding) error) (h *tokens.Holding, err error) {
	err = db.write(ctx, func(tx *sql.Tx) error {
		before, err := oneHolding(ctx, tx, id)
		if err != nil {
			return err
		}
		h = before.Clone()
		if err := edit(h); err != nil {
			return err
		}
		if h.Family != nil && !reflect.DeepEqual(h.Family, before.Family) {
			if err := editFamily(ctx, tx, before.Family, h.Family); err != nil {
				return err
			}
			if !h.Family.EndedAt.IsZero() {
				if err := db.record(ctx, tx, kindFamily, h.Family.ID); err != nil {
					return err
				}
			}
		}
		if reflect.DeepEqual(h.Grant, before.Grant) {
			return nil
		}
		return db.editGrant(ctx, tx, before.Grant, h.Grant)
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

func (db *DB) editGrant(ctx context.Context, tx *sql.Tx, before, g *tokens.Grant) error {
	if g.ID != before.ID || g.Client != before.Client || !g.CreatedAt.Equal(before.CreatedAt) {
		return errors.New("a token's ID, client and time of creation cannot be changed")
	}
	if err := errors.Join(g.Validate()...); err != nil {
		return err
	}
	set := strings.ReplaceAll(strings.Join(strings.Fields(grantColumns), " "), ",", " = ?,") + " = ?"
	if _, err := tx.ExecContext(ctx, `UPDATE grants SET `+set+` WHERE id = ?`, append(grantValues(g), g.ID)...); err != nil {
		return fmt.Errorf("change the token: %w", err)
	}
	if !g.IsOpaque() && g.RevokedAt.IsZero() && g.ExpiresAt.After(before.ExpiresAt) {
		if err := db.outliveToken(ctx, tx, g.ExpiresAt); err != nil {
			return err
		}
	}
	return db.record(ctx, tx, kindGrant, g.ID)
}

// editFamily stores a family that is another one than before, or as it was changed.
func editFamily(ctx context.Context, tx *sql.Tx, before, f *tokens.Family) error {
	if before == nil || before.ID != f.ID {
		return addFamily(ctx, tx, f)
	}
	_, err := tx.ExecContext(ctx, `UPDATE families SET token = ?, generation = ?, scopes = ?, counter = ?, rotated_at = ?, idle_until = ?, ended_at = ?, tokens_until = ? WHERE id = ?`,
		f.Token, f.Generation, strings.Join(f.Scopes, " "), f.Counter, micros(f.RotatedAt), micros(f.IdleUntil), micros(f.EndedAt), micros(f.TokensUntil), f.ID)
	if err != nil {
		return fmt.Errorf("change the refresh token's family: %w", err)
	}
	return nil
}

// TokensPage returns recorded tokens by creation: at most limit, after a position (zero:
// from the oldest), of one account and one client where these are not empty. Those that
// were deleted are left out.
func (db *DB) TokensPage(ctx context.Context, account, client string, after tokens.Position, limit int) ([]*tokens.Grant, error) {
	where, args := `WHERE deleted = 0 AND (created_at, id) > (?, ?)`, []any{micros(after.At), after.ID}
	switch {
	case client != "": // of which account it is, its client says
		where += ` AND client = ?`
		args = append(args, client)
		if account != "" {
			where += ` AND +account = ?`
			args = append(args, account)
		}
	case account != "":
		where += ` AND account = ?`
		args = append(args, account)
	}
	return queryGrants(ctx, db.reader, where+` ORDER BY created_at, id LIMIT ?`, append(args, max(0, limit))...)
}

func oneHolding(ctx context.Context, q querier, id string) (*tokens.Holding, error) {
	grants, err := queryGrants(ctx, q, `WHERE id = ? AND deleted = 0`, id)
	if err != nil {
		return nil, err
	}
	if len(grants) == 0 {
		return nil, fmt.Errorf("token %q: %w", id, tokens.ErrNotFound)
	}
	h := &tokens.Holding{Grant: grants[0]}
	if h.Grant.Family != "" {
		if h.Family, err = oneFamily(ctx, q, h.Grant.Family); errors.Is(err, tokens.ErrNotFound) {
			err = nil
		}
	}
	return h, err
}
