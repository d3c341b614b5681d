package oauthclients

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/envoy"
	"github.com/tollgate-authz/tollgate/test/outside"
)

// stack is a tollgate, and an Envoy with one API behind it.
type stack struct {
	tollgate *outside.Server
	issuer   string // where clients get tokens
	api      string // where they use them
}

// The API has any name, so that clients need no resolver.
const configuration = `
listen: {check: %q, http: %q, ops: %q}
store: sqlite:data/tollgate.db
tokens: {generations_per_minute: 1000}
plans: {default: {}}
apis:
  - name: contacts
    hosts: ["*"]
    routes:
      - {match: "GET /v1/contacts/{id}", scopes: [contacts:read]}
      - {match: "POST /v1/contacts", scopes: [contacts:write]}
`

// newStack starts everything. The clients of one library share it.
func newStack(t *testing.T) *stack {
	t.Helper()
	envoyBinary := outside.Require(t, func() (string, error) {
		found, err := envoy.Find(outside.Root, os.Getenv)
		if err != nil {
			return "", outside.Missing("%v", err)
		}
		return found, nil
	})
	log := &outside.LockedBuffer{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("tollgate's log:\n%s", log)
		}
	})
	s := &stack{tollgate: outside.Serve(t, configuration, log)}
	s.issuer = s.tollgate.URL
	s.startEnvoy(t, envoyBinary)
	return s
}

// startEnvoy puts Envoy before an API that tells its callers who they are.
func (s *stack) startEnvoy(t *testing.T, binary string) {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"client": r.Header.Get("x-tollgate-client"), "scopes": r.Header.Get("x-tollgate-scopes")})
	}))
	t.Cleanup(api.Close)
	front := s.tollgate.Tollgate(t, "envoy", "bootstrap", "--upstream", api.Listener.Addr().String(), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	process, err := envoy.Start(ctx, envoy.StartConfig{Binary: binary, Config: []byte(front), Concurrency: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(process.Stop)
	address, err := process.ListenerAddr(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.api = "http://" + address
}

// credential is a client as client create prints it.
type credential struct {
	ID     string `json:"client_id"`
	Secret string `json:"client_secret"`
}

// client makes one that may read and write contacts. A test that fails to get it
// fails alone, so it is t's and not the stack's.
func (s *stack) client(t *testing.T, flags ...string) credential {
	t.Helper()
	out := s.tollgate.Tollgate(t, append([]string{"client", "create", "--name", "test", "--scope", "contacts:read,contacts:write", "--output", "json"}, flags...)...)
	var c credential
	if err := json.Unmarshal([]byte(out), &c); err != nil || c.Secret == "" {
		t.Fatalf("client create printed %q: %v", out, err)
	}
	return c
}
