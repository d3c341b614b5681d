package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Backup writes a copy of the store to a new file, as it is at one moment, while
// others go on writing to it.
func (db *DB) Backup(ctx context.Context, path string) error {
	path, err := filepath.Abs(path) // SQLite would take file:copy.db for a URI
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // SQLite fills an empty file, with the mode that it has
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s exists already: name a file that does not", path)
	case err != nil:
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if _, err := db.writer.ExecContext(ctx, `VACUUM INTO ?`, path); err != nil {
		return errors.Join(fmt.Errorf("copy the store to %s: %w", path, err), os.Remove(path))
	}
	return syncFile(path)
}

// syncFile makes the copy survive a power failure.
func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
