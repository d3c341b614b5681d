package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// keepChanges is how far the feed reaches back. A registry that is further behind
// is loaded anew (tokens.ErrGap).
const keepChanges = time.Hour

// pruneBatch bounds how many rows go in one transaction: others wait meanwhile.
const pruneBatch = 2000

// Prune deletes what has expired and no longer decides about anything. It reports
// how many rows are gone.
func (db *DB) Prune(ctx context.Context) (pruned int64, err error) {
	now := db.now()
	for _, p := range []struct {
		where  string
		before time.Time
	}{
		// They are told apart from tokens that never were for a while.
		{`grants WHERE id IN (SELECT id FROM grants WHERE expires_at < ?1 LIMIT ?2)`, now.Add(-tokens.KeepExpired)},
		{`families WHERE id IN (SELECT id FROM families WHERE tokens_until < ?1 AND (ended_at != 0 OR idle_until < ?1 OR expires_at < ?1) LIMIT ?2)`, now},
		{`lockouts WHERE (issuer, token) IN (SELECT issuer, token FROM lockouts WHERE until <= ?1 LIMIT ?2)`, now},
		{`client_secrets WHERE until != 0 AND until < ?1 AND ?2`, now},
		{`signing_keys WHERE verifies_until != 0 AND verifies_until < ?1 AND ?2`, now},
		{`changes WHERE seq IN (SELECT seq FROM changes WHERE at < ?1 AND seq < (SELECT max(seq) FROM changes) LIMIT ?2)`, now.Add(-keepChanges)},
	} {
		for {
			n, err := db.prune(ctx, p.where, p.before)
			if pruned += n; err != nil {
				return pruned, err
			}
			if n < pruneBatch {
				break
			}
		}
	}
	return pruned, nil
}

func (db *DB) prune(ctx context.Context, where string, before time.Time) (n int64, err error) {
	err = db.write(ctx, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, `DELETE FROM `+where, before.UnixMicro(), pruneBatch)
		if err != nil {
			return fmt.Errorf("prune what has expired: %w", err)
		}
		n, err = done.RowsAffected()
		return err
	})
	return n, err
}
