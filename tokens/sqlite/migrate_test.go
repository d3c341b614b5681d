package sqlite

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pressly/goose/v3"

	"github.com/tollgate-authz/tollgate/tokens"
	"github.com/tollgate-authz/tollgate/tokens/storetest"
)

// storeOfVersion makes a store as an older tollgate did, and fills it.
func storeOfVersion(t *testing.T, version int64, fill func(db *DB) error) string {
	t.Helper()
	path := newFile(t)
	sealer, err := newSealer(&kek)
	if err != nil {
		t.Fatal(err)
	}
	db := &DB{now: config("").Now, sealer: sealer}
	if err := db.openFile(path); err != nil {
		t.Fatal(err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := goose.NewProvider(goose.DialectSQLite3, db.writer, files, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err == nil {
		_, err = schema.UpTo(t.Context(), version)
	}
	if err == nil {
		err = fill(db)
	}
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestMigrationKeepsCredentials: with the store of version 1, clients keep their
// secrets, tokens their keys, and registries their place in the feed.
func TestMigrationKeepsCredentials(t *testing.T) {
	t.Parallel()
	var pepper tokens.Pepper
	key, err := tokens.NewSigningKey("ES256", rand.Reader, storetest.Epoch)
	if err != nil {
		t.Fatal(err)
	}
	old := []*tokens.Client{storetest.NewClient("client1"), storetest.NewClient("client2"), storetest.NewClient("client3")}
	old[1].Account, old[1].Alias = "initech", ""
	old[2].CreatedAt = storetest.Epoch.Add(-time.Hour)
	path := storeOfVersion(t, 1, func(db *DB) error {
		for _, c := range old {
			_, err := db.writer.Exec(`INSERT INTO clients (id, name, alias, account, plan, environment, scopes, trusted_ips, token_ttl, secret_hash, created_at)
				VALUES (?, ?, nullif(?, ''), ?, ?, ?, ?, ?, ?, ?, ?)`, c.ID, c.Name, c.Alias, c.Account, c.Plan, string(c.Environment),
				joinScopes(c.Scopes), joinPrefixes(c.TrustedIPs), int64(c.TokenTTL/time.Second), c.Secrets[0].Hash, micros(c.CreatedAt))
			if err != nil {
				return err
			}
			if _, err := db.writer.Exec(`INSERT INTO changes (kind, id, at) VALUES ('client', ?, ?)`, c.ID, micros(c.CreatedAt)); err != nil {
				return err
			}
		}
		sealed, err := db.seal(key)
		if err != nil {
			return err
		}
		_, err = db.writer.Exec(`INSERT INTO signing_keys (id, alg, sealed, created_at) VALUES (?, ?, ?, ?)`, key.ID, key.Alg, sealed, micros(key.CreatedAt))
		return err
	})

	for range 2 { // the second time there is nothing to do
		db, err := Open(t.Context(), config(path))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range old {
			c.Format, c.Refresh = "", false // nobody could ask for them
			got, err := db.Client(t.Context(), c.ID)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Prefix{})); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			if generation := got.Secret(&pepper, tokens.Secret("secret of "+c.ID), storetest.Epoch); generation != 1 {
				t.Errorf("the secret of %s has generation %d, want 1", c.ID, generation)
			}
		}
		accounts, err := db.ListAccounts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]*tokens.Account{{Name: "acme", CreatedAt: old[2].CreatedAt}, {Name: "initech", CreatedAt: storetest.Epoch}}, accounts); d != "" {
			t.Errorf("accounts: -want +got:\n%s", d)
		}
		if again, err := ensure(t, db, "ES256"); err != nil || again.ID != key.ID || !again.SignsFrom.Equal(storetest.Epoch) || !again.VerifiesUntil.IsZero() {
			t.Errorf("the signing key is %+v, %v; want the old one, in force", again, err)
		}
		all, err := db.Snapshot(t.Context())
		if err != nil || all.Last != int64(len(old)) || len(all.Clients) != len(old) {
			t.Errorf("a snapshot of %d clients at change %d, %v", len(all.Clients), all.Last, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}

	// A new secret is the second one.
	db := open(t, config(path))
	if c, err := db.AddSecret(t.Context(), "client1", pepper.Hash("second"), time.Time{}); err != nil || c.Generation != 2 {
		t.Errorf("%+v, %v; want generation 2", c, err)
	}
}
