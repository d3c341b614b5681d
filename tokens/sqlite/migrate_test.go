package sqlite

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"net/netip"
	"strings"
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

// TestMigrationKeepsTokens: with the store of version 2, tokens and accounts are as they
// were, without limits and without money, and may have both from now on.
func TestMigrationKeepsTokens(t *testing.T) {
	t.Parallel()
	client, opaque, revoked := storetest.NewClient("client1"), storetest.NewGrant("opaque", "client1"), storetest.NewGrant("jwt", "client1")
	revoked.Hash, revoked.RevokedAt = [32]byte{}, storetest.Epoch
	path := storeOfVersion(t, 2, func(db *DB) error {
		exec := func(query string, args ...any) (err error) {
			_, err = db.writer.Exec(query, args...)
			return err
		}
		err := exec(`INSERT INTO clients (id, name, alias, account, plan, environment, scopes, trusted_ips, token_ttl, format, refresh, created_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, client.ID, client.Name, client.Alias, client.Account, client.Plan, string(client.Environment),
			joinScopes(client.Scopes), joinPrefixes(client.TrustedIPs), int64(client.TokenTTL/time.Second), string(client.Format), client.Refresh, micros(client.CreatedAt))
		errs := []error{err, exec(`INSERT INTO accounts (name, zone, created_at) VALUES ('acme', 'Europe/Berlin', ?)`, micros(storetest.Epoch))}
		for _, g := range []*tokens.Grant{opaque, revoked} {
			var hash []byte
			if g.IsOpaque() {
				hash = g.Hash[:]
			}
			errs = append(errs, exec(`INSERT INTO grants (id, client, hash, family, generation, scopes, audience, created_at, expires_at, revoked_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
				g.ID, g.Client, hash, g.Family, g.Generation, strings.Join(g.Scopes, " "), g.Audience, micros(g.CreatedAt), micros(g.ExpiresAt), micros(g.RevokedAt)))
		}
		return errors.Join(append(errs, exec(`INSERT INTO changes (kind, id, at) VALUES ('client', 'client1', 1), ('account', 'acme', 2), ('grant', 'opaque', 3)`))...)
	})

	db := open(t, config(path))
	all, err := db.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	acme := &tokens.Account{Name: "acme", Zone: "Europe/Berlin", CreatedAt: storetest.Epoch}
	client.Secrets = nil
	want := &tokens.Changes{
		Clients: map[string]*tokens.Client{"client1": client}, Grants: map[string]*tokens.Grant{"opaque": opaque, "jwt": revoked},
		Accounts: map[string]*tokens.Account{"acme": acme}, Last: 3,
	}
	same := cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Prefix{})}
	if d := cmp.Diff(want, all, same); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}

	limits := tokens.TokenLimits{PerDay: 5}
	opaque.Terms = &tokens.Terms{Limits: limits, LimitsRev: 1}
	if h, err := db.EditToken(t.Context(), "opaque", func(h *tokens.Holding) error { h.Grant.SetLimits(limits); return nil }); err != nil || cmp.Diff(opaque, h.Grant, same) != "" {
		t.Errorf("an old token's limits: %v\n%s", err, cmp.Diff(opaque, h.Grant, same))
	}
	acme.Credit, acme.CreditRev = 7, 1
	if a, err := db.AddCredit(t.Context(), &tokens.Credit{Account: "acme", ID: "credit1", Amount: 7, At: storetest.Epoch}); err != nil || cmp.Diff(acme, a) != "" {
		t.Errorf("an old account's credit: %v\n%s", err, cmp.Diff(acme, a))
	}
}
