package sqlite

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date. Of two processes that start at once, one
// finds the tables made that it was about to make, and looks again. Without any
// progress between two looks the fault is a real one.
func (db *DB) migrate(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, lockWait, errLocked)
	defer cancel()
	for seen := int64(-1); ; {
		var has int64
		err := untilUnlocked(ctx, func() (err error) {
			has, err = db.migrateOnce(ctx)
			return err
		})
		if err == nil || has == seen || ctx.Err() != nil {
			return err
		}
		seen = has
	}
}

// migrateOnce returns the version that it found.
func (db *DB) migrateOnce(ctx context.Context) (int64, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return 0, err
	}
	schema, err := goose.NewProvider(goose.DialectSQLite3, db.writer, files,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return 0, fmt.Errorf("read the migrations: %w", err)
	}
	has, knows, err := schema.GetVersions(ctx)
	if err != nil {
		return 0, fmt.Errorf("find the version of the schema: %w", err)
	}
	if has > knows {
		return has, &newerSchemaError{has: has, knows: knows}
	}
	if has == knows {
		return has, nil
	}
	if _, err := schema.Up(ctx); err != nil {
		return has, fmt.Errorf("bring the schema from version %d to %d: %w", has, knows, err)
	}
	return has, nil
}

// newerSchemaError refuses a store that a newer tollgate has written to: what
// this one does not know of, it would damage.
type newerSchemaError struct{ has, knows int64 }

func (e *newerSchemaError) Error() string {
	return fmt.Sprintf("its schema has version %d and this tollgate knows up to %d: run the newer tollgate, or restore the backup made before the upgrade", e.has, e.knows)
}
