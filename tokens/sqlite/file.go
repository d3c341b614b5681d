package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	sqlite3 "modernc.org/sqlite/lib"
)

// makeFile makes the file, and its directory, when there is none: readable by
// nobody else. SQLite gives the files that it lays beside it the same mode.
//
// A file that exists is not opened here. Closing it again would release the locks
// that this process holds on it through SQLite (POSIX advisory locks belong to
// the process and the file, not to the descriptor).
func makeFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the directory of the store: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		return f.Close()
	}
	info, statErr := os.Stat(path)
	switch {
	case statErr != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a directory: the store needs the name of a file in it, such as %s", path, filepath.Join(path, "tollgate.db"))
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file", path)
	}
	return nil
}

// explain says in the operator's words why the store cannot be opened.
func explain(path string, err error) error {
	if path == "" {
		return fmt.Errorf("open the store in memory: %w", err)
	}
	if abs, absErr := filepath.Abs(path); absErr == nil {
		path = abs
	}
	switch {
	case errors.Is(err, fs.ErrPermission), hasCode(err, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
		return fmt.Errorf("cannot write %s: %s: %w", path, whose(path), err)
	case hasCode(err, sqlite3.SQLITE_NOTADB):
		return fmt.Errorf("%s is no SQLite database, or an encrypted one: move it away, or name another file in store: %w", path, err)
	case hasCode(err, sqlite3.SQLITE_FULL):
		return fmt.Errorf("cannot write %s: the disk is full: %w", path, err)
	}
	return fmt.Errorf("open the store %s: %w", path, err)
}

// whose names the owners of the file and of the nearest directory on the way to
// it. They are what stands in the way, nine times of ten, when a container runs as
// another user than the one who made its volume.
func whose(path string) string {
	says := ""
	for {
		info, err := os.Lstat(path)
		switch {
		case err == nil && info.IsDir():
			return says + fmt.Sprintf("the directory %s, and this process runs as %s", belongs(path, info), self())
		case err == nil:
			says += fmt.Sprintf("the file %s, ", belongs(path, info))
		}
		parent := filepath.Dir(path)
		if parent == path {
			return says + "there is no such directory"
		}
		path = parent
	}
}

func belongs(path string, info fs.FileInfo) string {
	return fmt.Sprintf("%s belongs to %s with mode %04o", path, owner(info), info.Mode().Perm())
}
