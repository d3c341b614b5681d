package sqlite

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// SigningKeys returns our signing keys, the newest first. The first whose time has
// come signs; the others are published before they do, or verify what they have
// signed before.
func (db *DB) SigningKeys(ctx context.Context) ([]*tokens.SigningKey, error) {
	return db.signingKeys(ctx, db.reader)
}

// EnsureSigningKey sees to it that there is a key of that algorithm that signs or
// will sign. Of several processes that start at once one makes it.
func (db *DB) EnsureSigningKey(ctx context.Context, alg string, random io.Reader, lifetime time.Duration) error {
	_, err := db.RotateSigningKey(ctx, tokens.Rotation{
		Alg: alg, Random: random, Now: db.now(), Lifetime: lifetime,
		Unless: func(keys []*tokens.SigningKey) bool { return len(keys) > 0 && keys[0].Alg == alg },
	})
	return err
}

// RotateSigningKey makes a new key. Those before it verify until the last token that
// they can have signed has expired. It returns nil when Unless said so.
func (db *DB) RotateSigningKey(ctx context.Context, r tokens.Rotation) (*tokens.SigningKey, error) {
	// All keys are opened first: a new key under another encryption key than the
	// old ones would make a store that no key opens.
	keys, err := db.SigningKeys(ctx)
	if err != nil || r.Unless != nil && r.Unless(keys) { // nothing is drawn or locked for nothing
		return nil, err
	}
	if db.sealer == nil {
		return nil, errNoKEK
	}
	key := r.Key
	if key == nil {
		// Drawn before the transaction: an RSA key takes long enough to keep others waiting.
		if key, err = tokens.NewSigningKey(r.Alg, r.Random, r.Now.Truncate(time.Microsecond).UTC()); err != nil {
			return nil, err
		}
	}
	key.SignsFrom = key.CreatedAt.Add(r.Ahead)
	sealed, err := db.seal(key)
	if err != nil {
		return nil, err
	}
	made := false
	err = db.write(ctx, func(tx *sql.Tx) error {
		if r.Unless != nil {
			keys, err := db.signingKeys(ctx, tx)
			if err != nil || r.Unless(keys) {
				return err
			}
		}
		made = true
		var known int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM signing_keys WHERE id = ?`, key.ID).Scan(&known); err != nil {
			return fmt.Errorf("look for the signing key: %w", err)
		}
		if known > 0 {
			return fmt.Errorf("the signing key %s was replaced before: make a new one", key.ID)
		}
		var longest int64
		if err := tx.QueryRowContext(ctx, `SELECT coalesce(max(token_ttl), 0) FROM clients`).Scan(&longest); err != nil {
			return fmt.Errorf("find the longest token lifetime: %w", err)
		}
		until := key.SignsFrom.Add(max(r.Lifetime, time.Duration(longest)*time.Second, tokens.ClassicTTL) + clockSkew)
		var last int64 // a token may have been given a lifetime of its own
		err := tx.QueryRowContext(ctx, `SELECT expires_at FROM grants WHERE hash IS NULL AND revoked_at = 0 ORDER BY expires_at DESC LIMIT 1`).Scan(&last)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("find the token that lives longest: %w", err)
		}
		if end := timeOf(last).Add(clockSkew); end.After(until) {
			until = end
		}
		if _, err := tx.ExecContext(ctx, `UPDATE signing_keys SET verifies_until = ? WHERE verifies_until = 0`, micros(until)); err != nil {
			return fmt.Errorf("retire the signing key: %w", err)
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO signing_keys (id, alg, sealed, created_at, signs_from, verifies_until) VALUES (?, ?, ?, ?, ?, 0)`,
			key.ID, key.Alg, sealed, micros(key.CreatedAt), micros(key.SignsFrom)); err != nil {
			return fmt.Errorf("store the signing key: %w", err)
		}
		return db.record(ctx, tx, kindSigningKey, key.ID)
	})
	if err != nil || !made {
		return nil, err
	}
	return key, nil
}

// clockSkew is how much longer than its longest token a key verifies: clocks differ.
const clockSkew = time.Minute

// outliveClient lets keys that sign until the next one does, and verify until a time
// that is settled, verify the tokens of a client that was not there when it was.
func (db *DB) outliveClient(ctx context.Context, tx *sql.Tx, ttl time.Duration) error {
	return db.outlive(ctx, tx, `next.signs_from + ?1`, (ttl + clockSkew).Microseconds())
}

// outliveToken does so for one token that has a lifetime of its own.
func (db *DB) outliveToken(ctx context.Context, tx *sql.Tx, expires time.Time) error {
	return db.outlive(ctx, tx, `?1`, micros(expires.Add(clockSkew)))
}

func (db *DB) outlive(ctx context.Context, tx *sql.Tx, until string, arg int64) error {
	done, err := tx.ExecContext(ctx, `UPDATE signing_keys SET verifies_until = `+until+`
		FROM (SELECT max(signs_from) AS signs_from FROM signing_keys WHERE verifies_until = 0) AS next
		WHERE next.signs_from > ?2 AND verifies_until > ?2 AND verifies_until < `+until, arg, micros(db.now()))
	if err != nil {
		return fmt.Errorf("keep the signing keys for tokens that live longer: %w", err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return err
	}
	return db.record(ctx, tx, kindSigningKey, "")
}

func (db *DB) signingKeys(ctx context.Context, q querier) ([]*tokens.SigningKey, error) {
	var keys []*tokens.SigningKey
	err := eachRow(ctx, q, "the signing keys", `SELECT id, alg, sealed, created_at, signs_from, verifies_until FROM signing_keys ORDER BY seq DESC`, nil, func(rows *sql.Rows) error {
		var id, alg string
		var sealed []byte
		var created, from, until int64
		if err := rows.Scan(&id, &alg, &sealed, &created, &from, &until); err != nil {
			return err
		}
		key, err := db.open(id, alg, sealed, timeOf(created))
		if err != nil {
			return err
		}
		key.SignsFrom, key.VerifiesUntil = timeOf(from), timeOf(until)
		keys = append(keys, key)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

var errNoKEK = errors.New("keys.encryption_key is not set: without it no signing key can be read or stored")

// newSealer makes the cipher of the signing keys: AES-256-GCM. nil without a key.
func newSealer(kek *[32]byte) (cipher.AEAD, error) {
	if *kek == [32]byte{} {
		return nil, nil
	}
	block, err := aes.NewCipher(kek[:])
	if err != nil {
		return nil, fmt.Errorf("use keys.encryption_key: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// seal encrypts a private key, nonce first. ID and algorithm are bound to it:
// somebody who can write to the file cannot exchange the keys of two rows or make
// one sign under another algorithm.
func (db *DB) seal(key *tokens.SigningKey) ([]byte, error) {
	private, err := key.Marshal()
	if err != nil {
		return nil, fmt.Errorf("encode the signing key: %w", err)
	}
	return db.sealer.Seal(nil, nil, private, rowOf(key.ID, key.Alg)), nil
}

func (db *DB) open(id, alg string, sealed []byte, created time.Time) (*tokens.SigningKey, error) {
	if db.sealer == nil {
		return nil, errNoKEK
	}
	private, err := db.sealer.Open(nil, nil, sealed, rowOf(id, alg))
	if err != nil {
		return nil, fmt.Errorf("keys.encryption_key does not open the signing key %s: it is not the one this store was made with, or the store was tampered with", id)
	}
	key, err := tokens.UnmarshalSigningKey(alg, private, created)
	if err != nil {
		return nil, err
	}
	if key.ID != id {
		return nil, fmt.Errorf("the signing key %s is stored under the ID %s", key.ID, id)
	}
	return key, nil
}

// rowOf is what a sealed key is bound to. No kid and no algorithm has a NUL.
func rowOf(id, alg string) []byte { return []byte("tollgate signing key\x00" + id + "\x00" + alg) }
