package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/tollgate-authz/tollgate/tokens"
)

// AddTokens stores what of newly issued tokens must be known: the family of a refresh
// token, an access token that is opaque or has terms of its own, or both. Either may be
// nil. The revision of a token's limits is kept where it has one, as after a rotation.
func (db *DB) AddTokens(ctx context.Context, f *tokens.Family, g *tokens.Grant) error {
	return db.write(ctx, func(tx *sql.Tx) error {
		if f != nil {
			if err := addFamily(ctx, tx, f); err != nil {
				return err
			}
		}
		return db.addGrant(ctx, tx, g)
	})
}

// addFamily appends no change to the feed: nobody asks for a family until it has ended.
func addFamily(ctx context.Context, tx *sql.Tx, f *tokens.Family) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO families (id, client, token, generation, scopes, audience, counter, created_at, rotated_at,
		idle_until, expires_at, ended_at, tokens_until) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		f.ID, f.Client, f.Token, f.Generation, strings.Join(f.Scopes, " "), f.Audience, f.Counter, micros(f.CreatedAt), micros(f.RotatedAt),
		micros(f.IdleUntil), micros(f.ExpiresAt), micros(f.EndedAt), micros(f.TokensUntil))
	if err != nil {
		return fmt.Errorf("store the refresh token's family: %w", err)
	}
	return nil
}

func (db *DB) addGrant(ctx context.Context, tx *sql.Tx, g *tokens.Grant) error {
	if g == nil {
		return nil
	}
	if g.Terms != nil {
		if err := errors.Join(g.Validate()...); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO grants (id, client, account, created_at, `+grantColumns+`)
		VALUES (?, ?, coalesce((SELECT account FROM clients WHERE id = ?2), ''), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		append([]any{g.ID, g.Client, micros(g.CreatedAt)}, grantValues(g)...)...)
	if err != nil {
		return fmt.Errorf("store the token: %w", err)
	}
	if !g.IsOpaque() && g.RevokedAt.IsZero() {
		if err := db.outliveToken(ctx, tx, g.ExpiresAt); err != nil {
			return err
		}
	}
	return db.record(ctx, tx, kindGrant, g.ID)
}

// grantColumns are those of a token that an edit may change.
const grantColumns = `hash, family, generation, scopes, audience, expires_at, revoked_at, deleted, name, trusted_ips, total_requests, paid_requests,
	per_minute, per_day, wallet_amount, limits_rev, environment, lives_from, rotation, old_hash, old_until`

// grantValues are what belongs into them.
func grantValues(g *tokens.Grant) []any {
	var terms tokens.Terms
	if g.Terms != nil {
		terms = *g.Terms
	}
	if terms.Limits != (tokens.TokenLimits{}) {
		terms.LimitsRev = max(1, terms.LimitsRev)
	}
	return []any{
		hashValue(&g.Hash), g.Family, g.Generation, strings.Join(g.Scopes, " "), g.Audience, micros(g.ExpiresAt), micros(g.RevokedAt), g.Deleted,
		terms.Name, joinPrefixes(terms.TrustedIPs), terms.Limits.TotalRequests, terms.Limits.PaidRequests, terms.Limits.PerMinute, terms.Limits.PerDay,
		int64(terms.Limits.WalletAmount), terms.LimitsRev, string(terms.Environment), micros(terms.LivesFrom), terms.Rotation, hashValue(&terms.OldHash), micros(terms.OldUntil),
	}
}

// hashValue is NULL where there is no hash.
func hashValue(hash *[sha256.Size]byte) []byte {
	if *hash == [sha256.Size]byte{} {
		return nil
	}
	return hash[:]
}

// Family returns the family of that ID.
func (db *DB) Family(ctx context.Context, id string) (*tokens.Family, error) {
	return oneFamily(ctx, db.reader, id)
}

// RotateFamily puts the family's next refresh token in force, next to which new
// access tokens were issued, and stores what of those must be known. next is the
// family as it is to be; its Counter is one more than that of the token that was
// used. ErrSpent: that token is not the most recent one. ErrEnded: the family has
// ended. Of any number of rotations at once with one token, one succeeds.
func (db *DB) RotateFamily(ctx context.Context, next *tokens.Family, g *tokens.Grant) error {
	return db.write(ctx, func(tx *sql.Tx) error {
		f, err := oneFamily(ctx, tx, next.ID)
		switch {
		case err != nil:
			return err
		case !f.Live(next.RotatedAt):
			return tokens.ErrEnded
		case f.Counter+1 != next.Counter:
			return tokens.ErrSpent
		}
		_, err = tx.ExecContext(ctx, `UPDATE families SET generation = ?, counter = ?, rotated_at = ?, idle_until = ?, tokens_until = max(tokens_until, ?) WHERE id = ?`,
			next.Generation, next.Counter, micros(next.RotatedAt), micros(next.IdleUntil), micros(next.TokensUntil), next.ID)
		if err != nil {
			return fmt.Errorf("rotate the refresh token: %w", err)
		}
		return db.addGrant(ctx, tx, g)
	})
}

// EndFamily ends a family with all of its tokens. One that has ended stays as it is.
func (db *DB) EndFamily(ctx context.Context, id string) error {
	return db.write(ctx, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, `UPDATE families SET ended_at = ? WHERE id = ? AND ended_at = 0`, micros(db.now()), id)
		if err != nil {
			return fmt.Errorf("end the refresh token's family: %w", err)
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return db.record(ctx, tx, kindFamily, id)
	})
}

// RevokeToken ends one access token, of which g says what must be known when there
// is no record of it yet.
func (db *DB) RevokeToken(ctx context.Context, g *tokens.Grant) error {
	return db.write(ctx, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, `UPDATE grants SET revoked_at = CASE revoked_at WHEN 0 THEN ? ELSE revoked_at END WHERE id = ?`, micros(db.now()), g.ID)
		if err != nil {
			return fmt.Errorf("revoke the token: %w", err)
		}
		n, err := done.RowsAffected()
		switch {
		case err != nil:
			return fmt.Errorf("revoke the token: %w", err)
		case n > 0:
			return db.record(ctx, tx, kindGrant, g.ID)
		}
		revoked := *g
		revoked.RevokedAt = db.now()
		return db.addGrant(ctx, tx, &revoked)
	})
}

func oneFamily(ctx context.Context, q querier, id string) (*tokens.Family, error) {
	families, err := queryFamilies(ctx, q, `WHERE id = ?`, id)
	if err != nil {
		return nil, err
	}
	if len(families) == 0 {
		return nil, fmt.Errorf("family: %w", tokens.ErrNotFound)
	}
	return families[0], nil
}

func queryFamilies(ctx context.Context, q querier, where string, args ...any) ([]*tokens.Family, error) {
	var families []*tokens.Family
	err := eachRow(ctx, q, "refresh families", `SELECT id, client, token, generation, scopes, audience, counter, created_at, rotated_at, idle_until,
		expires_at, ended_at, tokens_until FROM families `+where, args, func(rows *sql.Rows) error {
		var f tokens.Family
		var scopes string
		var created, rotated, idle, expires, ended, last int64
		if err := rows.Scan(&f.ID, &f.Client, &f.Token, &f.Generation, &scopes, &f.Audience, &f.Counter, &created, &rotated, &idle, &expires, &ended, &last); err != nil {
			return err
		}
		f.Scopes = strings.Fields(scopes)
		f.CreatedAt, f.RotatedAt, f.IdleUntil = timeOf(created), timeOf(rotated), timeOf(idle)
		f.ExpiresAt, f.EndedAt, f.TokensUntil = timeOf(expires), timeOf(ended), timeOf(last)
		families = append(families, &f)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return families, nil
}

func queryGrants(ctx context.Context, q querier, where string, args ...any) ([]*tokens.Grant, error) {
	var grants []*tokens.Grant
	shared := newTexts()
	var scopes, trusted, environment string
	var hash, oldHash sql.RawBytes
	var created, expires, revoked, livesFrom, oldUntil int64
	var terms tokens.Terms
	limits := &terms.Limits
	err := eachRow(ctx, q, "tokens", `SELECT id, client, created_at, `+grantColumns+` FROM grants `+where, args, func(rows *sql.Rows) error {
		var g tokens.Grant
		if err := rows.Scan(&g.ID, &g.Client, &created, &hash, &g.Family, &g.Generation, &scopes, &g.Audience, &expires, &revoked, &g.Deleted,
			&terms.Name, &trusted, &limits.TotalRequests, &limits.PaidRequests, &limits.PerMinute, &limits.PerDay, &limits.WalletAmount, &terms.LimitsRev,
			&environment, &livesFrom, &terms.Rotation, &oldHash, &oldUntil); err != nil {
			return err
		}
		if len(hash) == sha256.Size {
			g.Hash = [sha256.Size]byte(hash)
		}
		g.Client, g.Audience, g.Scopes = shared.word(g.Client), shared.word(g.Audience), shared.list(scopes)
		g.CreatedAt, g.ExpiresAt, g.RevokedAt = timeOf(created), timeOf(expires), timeOf(revoked)
		if terms.Name != "" || trusted != "" || terms.LimitsRev != 0 || environment != "" || livesFrom != 0 {
			own := terms
			own.Environment, own.LivesFrom, own.OldUntil = tokens.Environment(environment), timeOf(livesFrom), timeOf(oldUntil)
			if len(oldHash) == sha256.Size {
				own.OldHash = [sha256.Size]byte(oldHash)
			}
			var err error
			if own.TrustedIPs, err = scanList(trusted); err != nil {
				return fmt.Errorf("token %s: %w", g.ID, err)
			}
			g.Terms = &own
		}
		grants = append(grants, &g)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return grants, nil
}
