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

// SigningKeys returns our signing keys, the newest first. That one signs; the
// others verify what they have signed before.
func (db *DB) SigningKeys(ctx context.Context) ([]*tokens.SigningKey, error) {
	return db.signingKeys(ctx, db.reader)
}

// EnsureSigningKey returns the key that signs. It makes one when there is none
// or the newest has another algorithm. Of several processes that start at once
// one makes the key, and all get it.
func (db *DB) EnsureSigningKey(ctx context.Context, alg string, random io.Reader, now time.Time) (*tokens.SigningKey, error) {
	// All keys are opened first: a new key under another encryption key than the
	// old ones would make a store that no key opens.
	keys, err := db.SigningKeys(ctx)
	if err != nil {
		return nil, err
	}
	if len(keys) > 0 && keys[0].Alg == alg {
		return keys[0], nil
	}
	if db.sealer == nil {
		return nil, errNoKEK
	}
	// Drawn before the transaction: an RSA key takes long enough to keep others waiting.
	key, err := tokens.NewSigningKey(alg, random, now.Truncate(time.Microsecond).UTC())
	if err != nil {
		return nil, err
	}
	sealed, err := db.seal(key)
	if err != nil {
		return nil, err
	}
	err = db.write(ctx, func(tx *sql.Tx) error {
		keys, err := db.signingKeys(ctx, tx)
		if err != nil {
			return err
		}
		if len(keys) > 0 && keys[0].Alg == alg { // another process was faster
			key = keys[0]
			return nil
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO signing_keys (id, alg, sealed, created_at) VALUES (?, ?, ?, ?)`,
			key.ID, key.Alg, sealed, key.CreatedAt.UnixMicro()); err != nil {
			return fmt.Errorf("store the signing key: %w", err)
		}
		return db.record(ctx, tx, kindSigningKey, key.ID)
	})
	if err != nil {
		return nil, err
	}
	return key, nil
}

func (db *DB) signingKeys(ctx context.Context, q querier) ([]*tokens.SigningKey, error) {
	rows, err := q.QueryContext(ctx, `SELECT id, alg, sealed, created_at FROM signing_keys ORDER BY seq DESC`)
	if err != nil {
		return nil, fmt.Errorf("read the signing keys: %w", err)
	}
	defer rows.Close()
	var keys []*tokens.SigningKey
	for rows.Next() {
		var id, alg string
		var sealed []byte
		var created int64
		if err := rows.Scan(&id, &alg, &sealed, &created); err != nil {
			return nil, fmt.Errorf("read the signing keys: %w", err)
		}
		key, err := db.open(id, alg, sealed, time.UnixMicro(created).UTC())
		if err != nil {
			return nil, fmt.Errorf("read the signing keys: %w", err)
		}
		keys = append(keys, key)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the signing keys: %w", err)
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
