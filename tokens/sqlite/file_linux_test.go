package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// asNobody runs do with the rights of a user who owns nothing, for root as well.
// The thread that has them ends with the goroutine.
func asNobody(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if os.Geteuid() == 0 {
			runtime.LockOSThread()
			_, _ = unix.SetfsuidRetUid(65534)
			_, _ = unix.SetfsgidRetGid(65534)
		}
		do()
	}()
	<-done
}

// TestForeignDirectory is a volume that belongs to somebody else, the usual
// trouble of a container that does not run as root.
func TestForeignDirectory(t *testing.T) {
	t.Parallel()
	base, err := os.MkdirTemp("", "tollgate") // t.TempDir lies below directories that not everybody may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	for _, tt := range []struct {
		name, path string
		prepare    func(path string) error
		want       string
	}{
		{"no file yet", "tollgate.db", nil, "the directory " + base},
		{"no directory yet", "data/tollgate.db", nil, "the directory " + base},
		{"a file of somebody else", "theirs.db", func(path string) error { return os.WriteFile(path, nil, 0o444) }, "the file " + filepath.Join(base, "theirs.db")},
		{"a store of somebody else", "store.db", func(path string) error {
			db, err := Open(t.Context(), config(path))
			if err != nil {
				return err
			}
			return errors.Join(db.Close(), os.Chmod(path, 0o444))
		}, "the file " + filepath.Join(base, "store.db")},
	} {
		path := filepath.Join(base, tt.path)
		if tt.prepare != nil {
			if err := tt.prepare(path); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(base, 0o555); err != nil {
			t.Fatal(err)
		}
		var openErr error
		asNobody(func() {
			db, err := Open(t.Context(), config(path))
			if err == nil {
				_ = db.Close()
			}
			openErr = err
		})
		if err := os.Chmod(base, 0o755); err != nil {
			t.Fatal(err)
		}
		if openErr == nil {
			t.Fatalf("%s: it was opened", tt.name)
		}
		t.Log(openErr)
		owner := fmt.Sprintf("(uid %d)", os.Getuid())
		for _, want := range []string{"cannot write " + path, tt.want + " belongs to", owner} {
			if !strings.Contains(openErr.Error(), want) {
				t.Errorf("%s: got error %q, want it to say %q", tt.name, openErr, want)
			}
		}
	}
}
