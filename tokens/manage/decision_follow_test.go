package manage

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/authz/decisions"
)

// TestStreamsEndWithTheirToken: who may no longer read is shown nothing more, though his
// stream began when he might.
func TestStreamsEndWithTheirToken(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(w *world, boss, id string){
		"it expires": func(w *world, _, _ string) { w.advance(101 * time.Hour) },
		"its client suspended": func(w *world, boss, id string) {
			w.do(boss, "PATCH", "/clients/"+id, object{"status": "suspended"}).want(200)
		},
		"its scope is lost": func(w *world, boss, id string) {
			w.do(boss, "PATCH", "/clients/"+id, object{"scopes": []string{"x"}}).want(200)
		},
		"its role is less": func(w *world, boss, id string) {
			w.do(boss, "PATCH", "/clients/"+id, object{"scopes": []string{"tollgate:decisions:read"}}).want(200)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			boss := w.boss()
			reader := w.client("reader", "umbrella", "tollgate:viewer", "tollgate:decisions:read")
			server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				w.api.ServeHTTP(struct { // without deadlines, which go by another clock
					http.ResponseWriter
					http.Flusher
				}{rw, rw.(http.Flusher)}, r)
			}))
			defer server.Close()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/decisions?follow=1", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+w.bearer(reader))
			answer, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = answer.Body.Close() }()
			lines := bufio.NewScanner(answer.Body)
			seen := func() bool {
				for lines.Scan() {
					if strings.HasPrefix(lines.Text(), "data: ") {
						return true
					}
				}
				return false
			}
			w.ring.Add(&decisions.Entry{At: w.now(), Account: "acme"})
			if !seen() {
				t.Fatal("the stream ended at once")
			}
			end(w, boss, reader.ID)
			w.ring.Add(&decisions.Entry{At: w.now(), Account: "acme"})
			if seen() {
				t.Error("the stream goes on")
			}
		})
	}
}
