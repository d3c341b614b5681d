package manage

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"sort"
	"testing"
	"time"
)

// BenchmarkListTokens reads 1,000,000 recorded tokens by pages of 100, all of them once,
// and reports the slowest page and how much memory is kept.
func BenchmarkListTokens(b *testing.B) {
	if testing.Short() {
		b.Skip("a store of a million tokens takes a while to make")
	}
	const all = 1_000_000
	path := filepath.Join(b.TempDir(), "tollgate.db")
	w := newWorldOn(b, path)
	boss := w.client("boss", "acme", "tollgate:admin", "contacts:read")
	fillTokens(b, path, all)
	w = newWorldOn(b, path)
	by := w.bearer(boss)
	runtime.GC()
	for b.Loop() {
		var pages []time.Duration
		var before, now runtime.MemStats
		runtime.ReadMemStats(&before)
		seen := 0
		for target := "/tokens?limit=100"; target != ""; {
			r := httptest.NewRequest(http.MethodGet, target, nil)
			r.Header.Set("Authorization", "Bearer "+by)
			rec := httptest.NewRecorder()
			began := time.Now()
			w.api.ServeHTTP(rec, r)
			pages = append(pages, time.Since(began))
			var got pageOf[struct{ ID string }]
			if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || rec.Code != http.StatusOK {
				b.Fatalf("%d %s: %v", rec.Code, rec.Body, err)
			}
			seen += len(got.Data)
			target = ""
			if got.NextCursor != nil {
				target = "/tokens?limit=100&cursor=" + *got.NextCursor
			}
		}
		if seen != all {
			b.Fatalf("%d tokens were listed, want %d", seen, all)
		}
		sort.Slice(pages, func(i, j int) bool { return pages[i] < pages[j] })
		b.ReportMetric(float64(pages[len(pages)/2].Microseconds())/1000, "ms/page")
		b.ReportMetric(float64(pages[len(pages)*999/1000].Microseconds())/1000, "ms/page-p99.9")
		b.ReportMetric(float64(pages[len(pages)-1].Microseconds())/1000, "ms/page-slowest")
		runtime.GC()
		runtime.ReadMemStats(&now)
		b.ReportMetric((float64(now.HeapAlloc)-float64(before.HeapAlloc))/(1<<20), "MiB-kept")
	}
}

// fillTokens adds opaque tokens of the client boss, made within ten seconds.
func fillTokens(b *testing.B, path string, n int) {
	b.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	_, err = db.ExecContext(b.Context(), fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
		INSERT INTO grants (id, client, account, created_at, hash, family, generation, scopes, audience, expires_at, revoked_at)
		SELECT 'token' || i, 'boss', 'acme', %d + i * 10, randomblob(32), '', 1, 'contacts:read', 'https://tollgate.example', %d, 0 FROM n`,
		n, start.UnixMicro(), start.Add(time.Hour).UnixMicro()))
	if err != nil {
		b.Fatal(err)
	}
}
