package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
	"github.com/tollgate-authz/tollgate/tokens/storetest"
)

var kek = [32]byte{1, 2, 3}

func config(path string) Config {
	return Config{Path: path, KEK: kek, Now: func() time.Time { return storetest.Epoch }}
}

func open(t testing.TB, c Config) *DB {
	t.Helper()
	db, err := Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func newFile(t testing.TB) string { return filepath.Join(t.TempDir(), "data", "tollgate.db") }

// emptyFile is the path of a store that somebody has made and closed again: for tests
// that are about something else than how a store is made, which costs more than most of
// what they do with it.
func emptyFile(t testing.TB) string {
	t.Helper()
	empty.once.Do(func() {
		path := newFile(t)
		var db *DB
		if db, empty.err = Open(context.Background(), config(path)); empty.err != nil {
			return
		}
		if empty.err = db.Close(); empty.err == nil {
			empty.file, empty.err = os.ReadFile(path)
		}
	})
	path := filepath.Join(t.TempDir(), "tollgate.db")
	if err := errors.Join(empty.err, os.WriteFile(path, empty.file, 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

var empty struct {
	once sync.Once
	file []byte
	err  error
}

func newRing() *tokens.KeyRing {
	return tokens.NewKeyRing("https://tollgate.example", rand.Reader, func() time.Time { return storetest.Epoch })
}

// ensure returns the newest key after there is one of that algorithm.
func ensure(t testing.TB, db *DB, alg string) (*tokens.SigningKey, error) {
	if err := db.EnsureSigningKey(t.Context(), alg, rand.Reader, time.Hour); err != nil {
		return nil, err
	}
	keys, err := db.SigningKeys(t.Context())
	if err != nil {
		return nil, err
	}
	return keys[0], nil
}

func TestMemory(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, now func() time.Time) storetest.Store {
		return open(t, Config{KEK: kek, Now: now})
	})
}

func TestFile(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, now func() time.Time) storetest.Store {
		return open(t, Config{Path: emptyFile(t), KEK: kek, Now: now})
	})
}

// TestReopen sees that everything is there after a restart.
func TestReopen(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	db, err := Open(t.Context(), config(path))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.CreateClient(t.Context(), storetest.NewClient("client1")); err != nil {
		t.Fatal(err)
	}
	key, err := ensure(t, db, "ES256")
	if err != nil {
		t.Fatal(err)
	}
	before, err := db.Snapshot(t.Context())
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}

	db = open(t, config(path))
	if _, err := db.Client(t.Context(), "client1"); err != nil {
		t.Error(err)
	}
	again, err := ensure(t, db, "ES256")
	if err != nil {
		t.Fatal(err)
	}
	if again.ID != key.ID {
		t.Errorf("key %s after the restart, %s before", again.ID, key.ID)
	}
	// Numbers of changes go on; they are not given out twice.
	if err := db.DeleteClient(t.Context(), "client1", nil); err != nil {
		t.Fatal(err)
	}
	if changes, err := db.Changes(t.Context(), before.Last); err != nil || changes.Last <= before.Last {
		t.Errorf("changes %+v after %d, %v", changes, before.Last, err)
	}
}

// TestTwoProcesses is the command line beside serve: two stores on one file.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	serve, cli := open(t, config(path)), open(t, config(path))
	registry, err := tokens.NewRegistry(t.Context(), serve, newRing(), storetest.Epoch)
	if err != nil {
		t.Fatal(err)
	}
	if err := cli.CreateClient(t.Context(), storetest.NewClient("client1")); err != nil {
		t.Fatal(err)
	}
	if err := registry.Refresh(t.Context(), storetest.Epoch); err != nil {
		t.Fatal(err)
	}
	if registry.Client("client1") == nil {
		t.Error("serve does not know the client that the command line made")
	}
	if err := cli.DeleteClient(t.Context(), "client1", nil); err != nil {
		t.Fatal(err)
	}
	if err := registry.Refresh(t.Context(), storetest.Epoch); err != nil {
		t.Fatal(err)
	}
	if registry.Client("client1") != nil {
		t.Error("serve still knows the client that the command line deleted")
	}
}

// TestManyProcesses start at once on no file, and write at once: every one of
// them gets what it asks for, and a common signing key.
func TestManyProcesses(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	const processes, clients = 6, 5
	ids := make([]string, processes)
	errs := make([]error, processes)
	var all sync.WaitGroup
	for i := range processes {
		all.Go(func() {
			errs[i] = func() error {
				db, err := Open(t.Context(), config(path))
				if err != nil {
					return err
				}
				defer db.Close()
				key, err := ensure(t, db, "ES256")
				if err != nil {
					return err
				}
				ids[i] = key.ID
				for n := range clients {
					if err := db.CreateClient(t.Context(), storetest.NewClient(fmt.Sprintf("client%d-%d", i, n))); err != nil {
						return err
					}
				}
				return nil
			}()
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("signing keys %s and %s", id, ids[0])
		}
	}
	list, err := open(t, config(path)).ListClients(t.Context())
	if err != nil || len(list) != processes*clients {
		t.Errorf("%d clients, want %d, %v", len(list), processes*clients, err)
	}
}

// TestConcurrentStart makes processes race to make the tables, a few times since
// a race is not always one.
func TestConcurrentStart(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	for range 4 {
		path := newFile(t)
		for range 6 {
			all.Go(func() {
				db, err := Open(t.Context(), config(path))
				if err != nil {
					t.Error(err)
					return
				}
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
}

// TestConcurrentKeys makes two processes draw a signing key each before either
// can store it: both get the one that was stored first.
func TestConcurrentKeys(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	lock, err := open(t, config(path)).writer.Begin()
	if err != nil {
		t.Fatal(err)
	}
	stores := []*DB{open(t, config(path)), open(t, config(path))}
	keys := make([]*tokens.SigningKey, len(stores))
	errs := make([]error, len(stores))
	var all sync.WaitGroup
	for i, db := range stores {
		all.Go(func() {
			keys[i], errs[i] = ensure(t, db, "ES256")
		})
	}
	for _, db := range stores {
		for db.writer.Stats().InUse == 0 { // until it waits for the lock, its key drawn
			runtime.Gosched()
		}
	}
	if err := lock.Rollback(); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if keys[0].ID != keys[1].ID {
		t.Errorf("two signing keys, %s and %s", keys[0].ID, keys[1].ID)
	}
}

// TestB15_LockedStore holds the write lock from another process: writes fail in
// time, reads and the feed go on.
func TestB15_LockedStore(t *testing.T) { // not beside others: they would cost it the time that it measures
	path := newFile(t)
	db, other := open(t, config(path)), open(t, config(path))
	if err := db.CreateClient(t.Context(), storetest.NewClient("client1")); err != nil {
		t.Fatal(err)
	}
	lock, err := other.writer.Begin()
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 2)
	start := time.Now()
	for i := range 2 { // the second waits in the queue before it waits for the lock
		go func() {
			errs <- db.CreateClient(context.Background(), storetest.NewClient(fmt.Sprintf("locked%d", i)))
		}()
	}
	if _, err := db.Client(t.Context(), "client1"); err != nil {
		t.Error(err)
	}
	if _, err := db.Changes(t.Context(), 0); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := <-errs; err == nil || !strings.Contains(err.Error(), "locked") {
			t.Errorf("got error %v, want that the store is locked", err)
		}
	}
	if took := time.Since(start); took > 5*time.Second || took < lockWait {
		t.Errorf("writes failed after %s, want about %s", took, lockWait)
	}
	if err := lock.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := db.CreateClient(t.Context(), storetest.NewClient("client2")); err != nil {
		t.Errorf("after the lock: %v", err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	db, err := Open(t.Context(), config(path))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.writer.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), config(path))
	for _, want := range []string{path, "version 999", "newer"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want it to name %q", err, want)
		}
	}
}

func TestEncryptionKey(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	db := open(t, config(path))
	if _, err := ensure(t, db, "ES256"); err != nil {
		t.Fatal(err)
	}
	for name, wrong := range map[string][32]byte{"another key": {9}, "no key": {}} {
		c := config(path)
		c.KEK = wrong
		other := open(t, c)
		_, errKeys := other.SigningKeys(t.Context())
		_, errEnsure := ensure(t, other, "ES256")
		_, errNew := ensure(t, other, "EdDSA")
		for _, err := range []error{errKeys, errEnsure, errNew} {
			if err == nil || !strings.Contains(err.Error(), "keys.encryption_key") {
				t.Errorf("%s: got error %v, want it to name keys.encryption_key", name, err)
			}
		}
	}
	if keys, err := db.SigningKeys(t.Context()); err != nil || len(keys) != 1 {
		t.Errorf("%d keys, %v; want the first alone", len(keys), err)
	}
	c := config("")
	c.KEK = [32]byte{}
	if _, err := ensure(t, open(t, c), "ES256"); !errors.Is(err, errNoKEK) {
		t.Errorf("got error %v, want %v", err, errNoKEK)
	}
}

// TestTamperedKeys exchanges what is bound to a sealed key.
func TestTamperedKeys(t *testing.T) {
	t.Parallel()
	for name, tamper := range map[string]string{
		"another algorithm": `UPDATE signing_keys SET alg = 'EdDSA' WHERE alg = 'ES256'`,
		"another row's key": `UPDATE signing_keys SET sealed = (SELECT sealed FROM signing_keys WHERE alg = 'EdDSA')`,
		"another ID":        `UPDATE signing_keys SET id = 'kid' WHERE alg = 'ES256'`,
		"cut short":         `UPDATE signing_keys SET sealed = substr(sealed, 1, 8)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, config(""))
			for _, alg := range []string{"EdDSA", "ES256"} {
				if _, err := ensure(t, db, alg); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := db.writer.Exec(tamper); err != nil {
				t.Fatal(err)
			}
			if _, err := db.SigningKeys(t.Context()); err == nil {
				t.Error("the keys were read")
			}
		})
	}
}

// TestFileHoldsNoPrivateKey looks for the key in the bytes of the file.
func TestFileHoldsNoPrivateKey(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	db, err := Open(t.Context(), config(path))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ensure(t, db, "EdDSA")
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	private, err := key.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(file), key.ID) {
		t.Error("the file does not hold the key's ID; is it the right file?")
	}
	if strings.Contains(string(file), string(private[len(private)-32:])) {
		t.Error("the file holds the private key")
	}
}

// TestConnections sees that every connection is set up as the package promises.
func TestConnections(t *testing.T) {
	t.Parallel()
	db := open(t, config(newFile(t)))
	for _, tt := range []struct {
		pool         *sql.DB
		pragma, want string
	}{
		{db.writer, "journal_mode", "wal"}, {db.writer, "synchronous", "2"}, {db.writer, "foreign_keys", "1"},
		{db.reader, "journal_mode", "wal"}, {db.reader, "query_only", "1"}, {db.reader, "foreign_keys", "1"},
		{db.reader, "busy_timeout", "5000"}, {db.reader, "trusted_schema", "0"},
	} {
		var got string
		if err := tt.pool.QueryRow("PRAGMA " + tt.pragma).Scan(&got); err != nil || got != tt.want {
			t.Errorf("%s is %q, want %q, %v", tt.pragma, got, tt.want, err)
		}
	}
}

func BenchmarkChangesOfNothing(b *testing.B) {
	db := open(b, config(newFile(b)))
	if err := db.CreateClient(b.Context(), storetest.NewClient("client1")); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := db.Changes(b.Context(), 1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkClient(b *testing.B) {
	db := open(b, config(newFile(b)))
	if err := db.CreateClient(b.Context(), storetest.NewClient("client1")); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := db.Client(b.Context(), "alias-client1"); err != nil {
			b.Fatal(err)
		}
	}
}
