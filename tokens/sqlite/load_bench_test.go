package sqlite

import (
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"flag"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
	"github.com/tollgate-authz/tollgate/tokens/storetest"
)

// loadGrants is how many opaque tokens BenchmarkRegistry_Load fills a store with, and
// and a tenth of that many clients: go test -run '^$' -bench Registry_Load -load.grants 1000000
var loadGrants = flag.Int("load.grants", 100_000, "opaque tokens in the store of BenchmarkRegistry_Load")

// BenchmarkRegistry_Load loads a registry from a large store, and tells what it
// keeps for each record.
func BenchmarkRegistry_Load(b *testing.B) {
	db := open(b, config(newFile(b)))
	fillStore(b, db, *loadGrants/10, *loadGrants)
	var before, after runtime.MemStats
	var kept, allocated float64
	for b.Loop() {
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&before)
		b.StartTimer()
		r, err := tokens.NewRegistry(b.Context(), db, newRing(), storetest.Epoch)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&after)
		records := float64(r.Len() + r.Grants())
		kept = (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / records
		allocated = float64(after.TotalAlloc-before.TotalAlloc) / records
		if r.Grants() != *loadGrants {
			b.Fatalf("%d tokens, want %d", r.Grants(), *loadGrants)
		}
		b.StartTimer()
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/load")
	b.ReportMetric(kept, "B/record")
	b.ReportMetric(allocated, "B-allocated/record")
	b.ReportMetric(0, "ns/op")
}

// fillStore stores clients, and tokens of theirs, as the commands would.
func fillStore(b *testing.B, db *DB, clients, grants int) {
	b.Helper()
	ids := make([]string, clients)
	const batch = 50_000
	inBatches := func(n int, query string, row func(i int) []any) {
		for done := 0; done < n; done += batch {
			tx, err := db.writer.Begin()
			if err != nil {
				b.Fatal(err)
			}
			insert(b, tx, query, min(batch, n-done), func(i int) []any { return row(done + i) })
			if err := tx.Commit(); err != nil {
				b.Fatal(err)
			}
		}
	}
	for i := range ids {
		id, err := tokens.NewClientID(tokens.Opaque, rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		ids[i] = id
	}
	now := storetest.Epoch.UnixMicro()
	inBatches(clients, `INSERT INTO clients (id, name, alias, account, plan, environment, scopes, trusted_ips, token_ttl, format, refresh, suspended, generation, ended, created_at)
		VALUES (?, ?, NULL, ?, 'default', 'production', 'contacts:read contacts:write', '', 0, 'opaque', 1, 0, 1, 0, ?)`,
		func(i int) []any {
			return []any{ids[i], fmt.Sprintf("client %d", i), fmt.Sprintf("account%d", i/10), now}
		})
	inBatches(clients, `INSERT INTO client_secrets (client, generation, hash, until) VALUES (?, 1, ?, 0)`,
		func(i int) []any { return []any{ids[i], make([]byte, 32)} })
	inBatches(grants, `INSERT INTO grants (id, client, hash, family, generation, scopes, audience, created_at, expires_at, revoked_at)
		VALUES (?, ?, ?, ?, 1, ?, 'https://api.example.com', ?, ?, 0)`, func(i int) []any {
		token, hash, id, err := tokens.NewOpaqueToken(tokens.Opaque, rand.Reader)
		if err != nil || token == "" {
			b.Fatal(err)
		}
		family := ""
		if i%2 == 0 { // half of them came with a refresh token
			var raw [8]byte
			binary.BigEndian.PutUint64(raw[:], uint64(i))
			family = fmt.Sprintf("family-%015x", raw)
		}
		scopes := [...]string{"contacts:read", "contacts:read contacts:write"}[i%2]
		return []any{id, ids[i%clients], hash[:], family, scopes, now, now + time.Hour.Microseconds()}
	})
}

func insert(b *testing.B, tx *sql.Tx, query string, n int, row func(i int) []any) {
	b.Helper()
	stmt, err := tx.Prepare(query)
	if err != nil {
		b.Fatal(err)
	}
	defer stmt.Close()
	for i := range n {
		if _, err := stmt.Exec(row(i)...); err != nil {
			b.Fatal(err)
		}
	}
}
