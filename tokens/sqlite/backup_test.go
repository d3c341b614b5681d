package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tollgate-authz/tollgate/tokens/storetest"
)

// TestBackupBesideWrites copies a store to which another process writes meanwhile:
// each copy is whole, and of one moment.
func TestBackupBesideWrites(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	serve, cli := open(t, config(path)), open(t, config(path))
	if _, err := ensure(t, serve, "ES256"); err != nil {
		t.Fatal(err)
	}
	stop, begun := make(chan struct{}), make(chan struct{})
	var writing sync.WaitGroup
	written := 0
	writing.Go(func() {
		var once sync.Once
		defer once.Do(func() { close(begun) })
		for ; ; written++ {
			if written == 1 {
				once.Do(func() { close(begun) })
			}
			select {
			case <-stop:
				return
			default:
			}
			id := fmt.Sprintf("client%d", written)
			if err := errors.Join(serve.CreateClient(t.Context(), storetest.NewClient(id)),
				serve.AddTokens(t.Context(), storetest.NewFamily(id, id), storetest.NewGrant(id, id))); err != nil {
				t.Error(err)
				return
			}
		}
	})
	<-begun
	var copies []string
	for i := range 3 {
		copies = append(copies, filepath.Join(t.TempDir(), fmt.Sprintf("copy%d.db", i)))
		if err := cli.Backup(t.Context(), copies[i]); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	writing.Wait()
	if written == 0 {
		t.Error("nothing was written meanwhile")
	}
	for _, path := range copies {
		wantWhole(t, path)
	}
	// And the store goes on as before.
	if list, err := cli.ListClients(t.Context()); err != nil || len(list) != written {
		t.Errorf("%d clients, %v; want %d", len(list), err, written)
	}
}

// wantWhole wants a copy to be a store as it was at one moment.
func wantWhole(t *testing.T, path string) {
	t.Helper()
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("the copy has mode %v, %v; want 0600", info.Mode(), err)
	}
	db := open(t, config(path))
	var says string
	if err := db.writer.QueryRow(`PRAGMA integrity_check`).Scan(&says); err != nil || says != "ok" {
		t.Errorf("integrity_check says %q, %v", says, err)
	}
	if keys, err := db.SigningKeys(t.Context()); err != nil || len(keys) != 1 {
		t.Errorf("%d signing keys, %v; want 1", len(keys), err)
	}
	all, err := db.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(all.Clients) - len(all.Grants); n != 0 && n != 1 {
		t.Errorf("%d clients and %d tokens: not of one moment", len(all.Clients), len(all.Grants))
	}
	if err := db.CreateClient(t.Context(), storetest.NewClient("after-the-copy")); err != nil {
		t.Errorf("the copy cannot be written to: %v", err)
	}
}

func TestBackupOverwritesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	db := open(t, config(path))
	notes := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(notes, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "nowhere"), link); err != nil {
		t.Fatal(err)
	}
	for _, taken := range []string{path, notes, dir, link} {
		if err := db.Backup(t.Context(), taken); err == nil || !strings.Contains(err.Error(), "exists already") {
			t.Errorf("%s: got error %v, want that it exists already", taken, err)
		}
	}
	if text, err := os.ReadFile(notes); err != nil || string(text) != "mine" {
		t.Errorf("the file was written to: %q, %v", text, err)
	}
	if err := db.Backup(t.Context(), filepath.Join(dir, "no", "such", "folder.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got error %v, want %v", err, fs.ErrNotExist)
	}
	if err := db.CreateClient(t.Context(), storetest.NewClient("client1")); err != nil {
		t.Error(err)
	}
}

// TestBackupOfUnusualNames: names that mean something in a URI or in SQL.
func TestBackupOfUnusualNames(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	db := open(t, config("store.db"))
	for _, name := range []string{"file:copy.db", "it's.db", "copy?mode=memory.db", ":memory:", "-copy.db", "ü.db"} {
		if err := db.Backup(t.Context(), name); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: there is no copy in the file of that name: %v", name, err)
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 6+3 { // the store has two files beside it
		t.Errorf("%d files, %v; want 9", len(files), err)
	}
}

// TestFailedBackupLeavesNothing: half a copy would be taken for one.
func TestFailedBackupLeavesNothing(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	db, err := Open(t.Context(), config(path))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "copy.db")
	if err := db.Backup(t.Context(), to); err == nil || !strings.Contains(err.Error(), to) {
		t.Errorf("got error %v, want one that names %s", err, to)
	}
	if _, err := os.Stat(to); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something is left of the copy: %v", err)
	}
}

// TestB14_FullDisk bounds the file as a full disk does: writes fail and say why, what
// was there is read on, and writes go on as soon as there is room.
func TestB14_FullDisk(t *testing.T) {
	t.Parallel()
	db := open(t, config(newFile(t)))
	bound := func(pages int) {
		t.Helper()
		var now int
		if err := db.writer.QueryRow(fmt.Sprintf(`PRAGMA max_page_count = %d`, pages)).Scan(&now); err != nil {
			t.Fatal(err)
		}
	}
	bound(1) // SQLite takes as many as there are
	made := 0
	var err error
	for ; err == nil && made < 1000; made++ {
		err = db.CreateClient(t.Context(), storetest.NewClient(fmt.Sprintf("client%d", made)))
	}
	if err == nil || !strings.Contains(err.Error(), "full") {
		t.Fatalf("got error %v after %d clients, want that the disk is full", err, made)
	}
	if list, err := db.ListClients(t.Context()); err != nil || len(list) != made-1 {
		t.Errorf("%d clients, %v; want %d", len(list), err, made-1)
	}
	bound(1 << 20)
	if err := db.CreateClient(t.Context(), storetest.NewClient("with-room")); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// TestB14_ReadOnlyStore writes over a connection that may only read, as on a file
// system that was mounted read-only after an error.
func TestB14_ReadOnlyStore(t *testing.T) {
	t.Parallel()
	db := open(t, config(newFile(t)))
	if err := db.CreateClient(t.Context(), storetest.NewClient("client1")); err != nil {
		t.Fatal(err)
	}
	readOnly := func(on int, pool *sql.DB) {
		t.Helper()
		if _, err := pool.Exec(fmt.Sprintf(`PRAGMA query_only = %d`, on)); err != nil {
			t.Fatal(err)
		}
	}
	readOnly(1, db.writer)
	for _, err := range []error{
		db.CreateClient(t.Context(), storetest.NewClient("client2")), db.AddTokens(t.Context(), nil, storetest.NewGrant("token1", "client1")),
		db.DeleteClient(t.Context(), "client1", nil),
	} {
		if err == nil || !strings.Contains(err.Error(), "readonly") {
			t.Errorf("got error %v, want that it is read-only", err)
		}
	}
	if _, err := db.Client(t.Context(), "client1"); err != nil {
		t.Error(err)
	}
	readOnly(0, db.writer)
	if err := db.CreateClient(t.Context(), storetest.NewClient("client2")); err != nil {
		t.Errorf("writable again: %v", err)
	}
}
