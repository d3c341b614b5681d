package sqlite

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tollgate-authz/tollgate/tokens/storetest"
)

func TestFilesAreOurs(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	db := open(t, config(path))
	if err := db.CreateClient(t.Context(), storetest.NewClient("client1")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{
		filepath.Dir(path): fs.ModeDir | 0o700,
		path:               0o600,
		path + "-wal":      0o600,
		path + "-shm":      0o600,
	} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %s, want %s", name, info.Mode(), want)
		}
	}
}

// TestUnusualPaths opens files whose names mean something in a URI.
func TestUnusualPaths(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a b.db", "a?mode=memory.db", "a#b.db", "a%20b.db", "ü.db", "a&_query_only=1.db"} {
		path := filepath.Join(t.TempDir(), name)
		db := open(t, config(path))
		if err := db.CreateClient(t.Context(), storetest.NewClient("client1")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*.db"))
		if err != nil || len(files) != 1 || files[0] != path {
			t.Errorf("files %q, want %q, %v", files, path, err)
		}
	}
}

func TestUnusableFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database at all\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, path string
		want       []string
	}{
		{"a directory", dir, []string{"is a directory", filepath.Join(dir, "tollgate.db")}},
		{"not a database", text, []string{"is no SQLite database", text}},
		{"a file where a directory should be", filepath.Join(text, "tollgate.db"), []string{"make the directory of the store", text}},
		{"a device", os.DevNull, []string{"is no regular file"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db, err := Open(t.Context(), config(tt.path))
			if err == nil {
				_ = db.Close()
				t.Fatal("it was opened")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got error %q, want it to say %q", err, want)
				}
			}
		})
	}
	if data, err := os.ReadFile(text); err != nil || !strings.HasPrefix(string(data), "no database") {
		t.Errorf("the text file was written to: %.20q, %v", data, err)
	}
}
