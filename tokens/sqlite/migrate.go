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

// migrate brings the schema up to date. Two processes that start at once may
// both try: the second finds the lock held, or the tables there, and looks again.
func (db *DB) migrate(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, lockWait, errLocked)
	defer cancel()
	var err error
	for range migrationTries {
		err = untilUnlocked(ctx, func() error { return db.migrateOnce(ctx) })
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	return err
}

// migrationTries is enough for a race: who loses one has been let in after the
// winner was done.
const migrationTries = 3

func (db *DB) migrateOnce(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	schema, err := goose.NewProvider(goose.DialectSQLite3, db.writer, files,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	has, knows, err := schema.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("find the version of the schema: %w", err)
	}
	if has > knows {
		return &newerSchemaError{has: has, knows: knows}
	}
	if has == knows {
		return nil
	}
	if _, err := schema.Up(ctx); err != nil {
		return fmt.Errorf("bring the schema from version %d to %d: %w", has, knows, err)
	}
	return nil
}

// newerSchemaError refuses a store that a newer tollgate has written to: what
// this one does not know of, it would damage.
type newerSchemaError struct{ has, knows int64 }

func (e *newerSchemaError) Error() string {
	return fmt.Sprintf("its schema has version %d and this tollgate knows up to %d: run the newer tollgate, or restore the backup made before the upgrade", e.has, e.knows)
}
