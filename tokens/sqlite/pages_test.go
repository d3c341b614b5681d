package sqlite

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
	"github.com/tollgate-authz/tollgate/tokens/storetest"
)

// TestPagesAreFoundByIndex: no page reads a table through, or sorts it.
func TestPagesAreFoundByIndex(t *testing.T) {
	t.Parallel()
	db := open(t, config(""))
	for _, after := range []tokens.Position{{}, {At: storetest.Epoch, ID: "x"}} {
		for account, index := range map[string]string{"": "_by_creation ((", "acme": "_of_account (account=? AND ("} {
			for _, table := range []string{"clients", "api_keys", "users"} {
				where, args := page(account, after, 100)
				wantSearch(t, db, table+index, `SELECT * FROM `+table+` `+where, args...)
			}
			where, args := page(account, after, 100)
			wantSearch(t, db, "clients"+index, `SELECT hash FROM client_secrets WHERE client IN (SELECT id FROM clients `+where+`)`, args...)
			where, args = accountsPage(account, after, 100)
			wantSearch(t, db, "PRIMARY KEY (name", `SELECT * FROM accounts `+where, args...)
		}
	}
	wantSearch(t, db, "(email=?)", `SELECT * FROM users WHERE id = ?1 OR email = ?1`, "x")
}

// wantSearch wants every step of a query's plan to look something up in an index, and
// one of them in this one.
func wantSearch(t *testing.T, db *DB, index, query string, args ...any) {
	t.Helper()
	found := false
	err := eachRow(t.Context(), db.reader, "the plan", `EXPLAIN QUERY PLAN `+query, args, func(rows *sql.Rows) error {
		var id, parent, unused int
		var step string
		err := rows.Scan(&id, &parent, &unused, &step)
		found = found || strings.Contains(step, index)
		if strings.HasPrefix(step, "SCAN") || strings.Contains(step, "TEMP B-TREE") {
			t.Errorf("%s\n%s", query, step)
		}
		return err
	})
	if err != nil || !found {
		t.Errorf("%s\nfinds nothing by %s, %v", query, index, err)
	}
}

// pageBar is how long a page of 100 may take, wherever it lies in a million records.
const pageBar = 5 * time.Millisecond

// BenchmarkPages reads pages of 100 in the middle of a million API keys and of a million
// clients, of which all were made within ten moments.
func BenchmarkPages(b *testing.B) {
	if testing.Short() {
		b.Skip("it stores two million records")
	}
	const records = 1_000_000
	db := open(b, config(newFile(b)))
	numbers := fmt.Sprintf(`WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d)`, records-1)
	made := fmt.Sprintf(`%d + i * 10 / %d`, storetest.Epoch.UnixMicro(), records)
	for _, query := range []string{
		`INSERT INTO api_keys (id, hash, name, account, plan, environment, scopes, trusted_ips, apis, created_at, expires_at) ` + numbers +
			`SELECT printf('key%022d', i), randomblob(32), 'key ' || i, 'account' || (i % 10), 'default', 'production', 'contacts:read', '', '', ` + made + `, 0 FROM n`,
		`INSERT INTO clients (id, name, account, plan, environment, scopes, trusted_ips, token_ttl, created_at) ` + numbers +
			`SELECT printf('client%022d', i), 'client ' || i, 'account' || (i % 10), 'default', 'production', 'contacts:read', '', 0, ` + made + ` FROM n`,
		`INSERT INTO client_secrets (client, generation, hash, until) SELECT id, 1, randomblob(32), 0 FROM clients`,
	} {
		if _, err := db.writer.Exec(query); err != nil {
			b.Fatal(err)
		}
	}
	middle := func(prefix string) tokens.Position {
		return tokens.Position{At: storetest.Epoch.Add(5 * time.Microsecond), ID: fmt.Sprintf("%s%022d", prefix, records/2)}
	}
	for _, account := range []string{"", "account7"} {
		b.Run(fmt.Sprintf("APIKeys/account=%s", account), func(b *testing.B) {
			wantPage(b, func() (int, error) {
				list, err := db.APIKeysPage(b.Context(), account, middle("key"), 100)
				return len(list), err
			})
		})
		b.Run(fmt.Sprintf("Clients/account=%s", account), func(b *testing.B) {
			wantPage(b, func() (int, error) {
				list, err := db.ClientsPage(b.Context(), account, middle("client"), 100)
				return len(list), err
			})
		})
	}
}

func wantPage(b *testing.B, read func() (int, error)) {
	for b.Loop() {
		if n, err := read(); n != 100 || err != nil {
			b.Fatalf("a page of %d, %v; want 100", n, err)
		}
	}
	if took := b.Elapsed() / time.Duration(b.N); took > pageBar {
		b.Errorf("a page takes %s, want at most %s", took, pageBar)
	}
}
