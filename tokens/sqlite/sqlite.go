// Package sqlite keeps the records of package tokens in SQLite: clients, signing
// keys and the feed of their changes; and the ledger of package quota. Several
// processes may use one file at once, such as the command line beside `serve`.
//
// It owns the file, its schema and its locks. It does not judge credentials:
// secrets arrive hashed, and private keys are sealed under a key that is kept
// elsewhere, so that a stolen file is worth little.
package sqlite

import (
	"context"
	"crypto/cipher"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Config is what Open needs.
type Config struct {
	// Path of the file. Empty: a store in memory, gone with Close.
	Path string
	// KEK encrypts the private signing keys (keys.encryption_key). Whoever never
	// touches signing keys may leave it zero; those who do are refused.
	KEK [32]byte
	// Now dates the changes; nil: time.Now.
	Now func() time.Time
}

// DB is an open store. It is safe for concurrent use.
type DB struct {
	writer *sql.DB // one connection: SQLite has one writer at a time anyway, and a queue here is fairer than its lock
	reader *sql.DB // in memory the same as writer
	sealer cipher.AEAD
	now    func() time.Time
	ledger *Ledger
	last   *sql.Stmt // lastChange, which is asked ten times a second: to read the text is most of the work
}

const (
	// lockWait is how long a write may take, nearly all of it spent on waiting for
	// the lock of another process: bar B15 promises callers their 503 within five
	// seconds.
	lockWait = 4500 * time.Millisecond
	// lockStep is how long SQLite itself waits for a lock in one go. Its wait does
	// not heed a context, so it is short and repeated.
	lockStep = 250 * time.Millisecond
	// readers of a file in WAL mode wait only while another process recovers it
	// after a crash.
	readWait = 5 * time.Second
	readers  = 4
)

// Open opens the store, makes it when there is none, and brings its schema up to
// date. A store of a newer schema is refused.
func Open(ctx context.Context, c Config) (*DB, error) {
	db := &DB{now: c.Now}
	if db.now == nil {
		db.now = time.Now
	}
	var err error
	if db.sealer, err = newSealer(&c.KEK); err != nil {
		return nil, err
	}
	if c.Path == "" {
		err = db.openMemory()
	} else {
		err = db.openFile(c.Path)
	}
	if err == nil {
		err = db.migrate(ctx)
	}
	if err == nil {
		db.ledger, err = newLedger(ctx, db)
	}
	if err == nil {
		db.last, err = db.reader.PrepareContext(ctx, lastChange)
	}
	if err != nil {
		return nil, errors.Join(explain(c.Path, err), db.Close())
	}
	return db, nil
}

// Every connection: no guessing what "name" in double quotes means, no statement
// that could damage the file, no functions called from a schema that somebody
// else has written.
const everyConnection = "_dqs=0&_defensive=1&_foreign_keys=1&_pragma=trusted_schema(0)"

func (db *DB) openMemory() (err error) {
	// The database is its one connection; another would be another database.
	db.writer, err = connect("file::memory:?"+everyConnection+"&_txlock=immediate", 1)
	db.reader = db.writer
	return err
}

func (db *DB) openFile(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if err := makeFile(path); err != nil {
		return err
	}
	name := (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String() + "?" + everyConnection
	// synchronous=FULL: what was acknowledged survives a power failure (contract section 6).
	db.writer, err = connect(fmt.Sprintf("%s&_txlock=immediate&_busy_timeout=%d&_journal_mode=WAL&_synchronous=FULL", name, lockStep.Milliseconds()), 1)
	if err != nil {
		return err
	}
	db.reader, err = connect(fmt.Sprintf("%s&_busy_timeout=%d&_query_only=1", name, readWait.Milliseconds()), readers)
	return err
}

// connect makes a pool whose connections stay open. They are opened on first use.
func connect(dsn string, size int) (*sql.DB, error) {
	pool, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	return pool, nil
}

// Close closes the store. Transactions under way are rolled back.
func (db *DB) Close() error {
	var errs []error
	if db.last != nil {
		errs = append(errs, db.last.Close())
	}
	if db.reader != nil && db.reader != db.writer {
		errs = append(errs, db.reader.Close())
	}
	if db.writer != nil {
		errs = append(errs, db.writer.Close()) // last: it merges the log into the file
	}
	return errors.Join(errs...)
}

// write runs do in a transaction that holds the write lock from its start, so
// that what do reads stays true until it commits.
func (db *DB) write(ctx context.Context, do func(*sql.Tx) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, lockWait, errLocked)
	defer cancel()
	var tx *sql.Tx
	err := untilUnlocked(ctx, func() (err error) {
		tx, err = db.writer.BeginTx(ctx, nil)
		return err
	})
	if err != nil {
		return fmt.Errorf("write to the store: %w", err)
	}
	if err := do(tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("write to the store: %w", err)
	}
	return nil
}

// ignoreDone passes over that a transaction has already ended, with its context.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// read runs do in a transaction, so that all of its queries see one state.
func (db *DB) read(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := db.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("read the store: %w", err)
	}
	return errors.Join(do(tx), ignoreDone(tx.Rollback()))
}

// errLocked is why a write gave up.
var errLocked = fmt.Errorf("locked by another process for %s", lockWait)

// untilUnlocked repeats do while another process holds the lock, until ctx ends.
// The waiting happens in do: every try waits lockStep for the lock.
func untilUnlocked(ctx context.Context, do func() error) error {
	for {
		err := do()
		if err != nil && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !hasCode(err, sqlite3.SQLITE_BUSY) {
			return err
		}
	}
}

// hasCode reports whether err is SQLite's and has one of the primary result codes.
func hasCode(err error, codes ...int) bool {
	var fault *sqlite.Error
	if !errors.As(err, &fault) {
		return false
	}
	for _, code := range codes {
		if fault.Code()&0xff == code {
			return true
		}
	}
	return false
}

// eachRow runs a query, and f for every row of its answer. what it reads stands in its
// errors.
func eachRow(ctx context.Context, q querier, what, query string, args []any, f func(*sql.Rows) error) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return fmt.Errorf("read %s: %w", what, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	return nil
}
