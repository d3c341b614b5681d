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
			// No change for the feed: nobody asks for a family until it has ended.
			_, err := tx.ExecContext(ctx, `INSERT INTO families (id, client, generation, scopes, audience, counter, created_at, rotated_at,
				idle_until, expires_at, ended_at, tokens_until) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
				f.ID, f.Client, f.Generation, strings.Join(f.Scopes, " "), f.Audience, f.Counter, micros(f.CreatedAt), micros(f.RotatedAt),
				micros(f.IdleUntil), micros(f.ExpiresAt), micros(f.EndedAt), micros(f.TokensUntil))
			if err != nil {
				return fmt.Errorf("store the refresh token's family: %w", err)
			}
		}
		return db.addGrant(ctx, tx, g)
	})
}

func (db *DB) addGrant(ctx context.Context, tx *sql.Tx, g *tokens.Grant) error {
	if g == nil {
		return nil
	}
	var hash []byte
	if g.IsOpaque() {
		hash = g.Hash[:]
	}
	var terms tokens.Terms
	if g.Terms != nil {
		if err := errors.Join(g.Validate()...); err != nil {
			return err
		}
		terms = *g.Terms
	}
	if terms.Limits != (tokens.TokenLimits{}) {
		terms.LimitsRev = max(1, terms.LimitsRev)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO grants (id, client, hash, family, generation, scopes, audience, created_at, expires_at, revoked_at,
		name, trusted_ips, total_requests, paid_requests, per_minute, per_day, wallet_amount, limits_rev)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		g.ID, g.Client, hash, g.Family, g.Generation, strings.Join(g.Scopes, " "), g.Audience, micros(g.CreatedAt), micros(g.ExpiresAt), micros(g.RevokedAt),
		terms.Name, joinPrefixes(terms.TrustedIPs), terms.Limits.TotalRequests, terms.Limits.PaidRequests, terms.Limits.PerMinute, terms.Limits.PerDay,
		int64(terms.Limits.WalletAmount), terms.LimitsRev)
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
	err := eachRow(ctx, q, "refresh families", `SELECT id, client, generation, scopes, audience, counter, created_at, rotated_at, idle_until,
		expires_at, ended_at, tokens_until FROM families `+where, args, func(rows *sql.Rows) error {
		var f tokens.Family
		var scopes string
		var created, rotated, idle, expires, ended, last int64
		if err := rows.Scan(&f.ID, &f.Client, &f.Generation, &scopes, &f.Audience, &f.Counter, &created, &rotated, &idle, &expires, &ended, &last); err != nil {
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
	var scopes, trusted string
	var hash sql.RawBytes
	var created, expires, revoked int64
	var terms tokens.Terms
	limits := &terms.Limits
	err := eachRow(ctx, q, "tokens", `SELECT id, client, hash, family, generation, scopes, audience, created_at, expires_at, revoked_at,
		name, trusted_ips, total_requests, paid_requests, per_minute, per_day, wallet_amount, limits_rev FROM grants `+where, args, func(rows *sql.Rows) error {
		var g tokens.Grant
		if err := rows.Scan(&g.ID, &g.Client, &hash, &g.Family, &g.Generation, &scopes, &g.Audience, &created, &expires, &revoked,
			&terms.Name, &trusted, &limits.TotalRequests, &limits.PaidRequests, &limits.PerMinute, &limits.PerDay, &limits.WalletAmount, &terms.LimitsRev); err != nil {
			return err
		}
		if len(hash) == sha256.Size {
			g.Hash = [sha256.Size]byte(hash)
		}
		g.Client, g.Audience, g.Scopes = shared.word(g.Client), shared.word(g.Audience), shared.list(scopes)
		g.CreatedAt, g.ExpiresAt, g.RevokedAt = timeOf(created), timeOf(expires), timeOf(revoked)
		if terms.Name != "" || trusted != "" || terms.LimitsRev != 0 {
			own := terms
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
