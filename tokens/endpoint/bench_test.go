package endpoint

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tollgate-authz/tollgate/tokens"
)

// inMemory finds clients in the registry, as a busy process may do.
type inMemory struct{ *tokens.Registry }

func (m inMemory) Client(_ context.Context, idOrAlias string) (*tokens.Client, error) {
	if c := m.Registry.Client(idOrAlias); c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("client: %w", tokens.ErrNotFound)
}

// BenchmarkIssue is a whole token request but for the connection, with ES256.
func BenchmarkIssue(b *testing.B) {
	for _, name := range []string{"registry", "sqlite"} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b)
			w = benchWorld(b, w, name == "registry")
			body := jsonRequest("reports", w.secret, nil).body
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest("POST", pathAuthToken, strings.NewReader(body))
				r.Header.Set("Content-Type", "application/json")
				rec := httptest.NewRecorder()
				w.handler.ServeHTTP(rec, r)
				if rec.Code != 200 {
					b.Fatal(rec.Body)
				}
			}
		})
	}
}

// benchWorld is a world without limit of generations.
func benchWorld(b *testing.B, w *world, registry bool) *world {
	made := newWorld(b, func(c *Config) {
		c.Clients, c.Pepper, c.Settings, c.Observe = w.db, &w.pepper, settingsWithout(c.Settings), nil
		if registry {
			known, err := tokens.NewRegistry(b.Context(), w.db, epoch)
			w.must(err)
			c.Clients = inMemory{known}
		}
	})
	made.secret = w.secret
	return made
}
