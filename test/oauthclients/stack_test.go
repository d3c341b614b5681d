package oauthclients

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/envoy"
)

// stack is a tollgate, and an Envoy with one API behind it.
type stack struct {
	t      *testing.T
	binary string
	config string // the file
	issuer string // where clients get tokens
	api    string // where they use them
	log    *lockedBuffer
}

// lockedBuffer is written by a child and read by a test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
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
	envoyBinary := require(t, func() (string, error) {
		found, err := envoy.Find(root, os.Getenv)
		if err != nil {
			return "", missingError{err.Error()}
		}
		return found, nil
	})
	s := &stack{t: t, binary: require(t, binary), config: filepath.Join(t.TempDir(), "tollgate.yaml"), log: &lockedBuffer{}}
	// Between the choice of a port and its use, somebody else may take it.
	for try := 1; !s.startServe(); try++ {
		if try == 3 || !strings.Contains(s.log.String(), "address already in use") {
			t.Fatalf("tollgate does not start:\n%s", s.log)
		}
	}
	s.startEnvoy(envoyBinary)
	return s
}

// freeAddresses are loopback addresses where nobody listens at this moment.
func freeAddresses(t *testing.T) (list [3]string) {
	t.Helper()
	for i := range list {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }() // not before all three are known to differ
		list[i] = l.Addr().String()
	}
	return list
}

// startServe reports whether tollgate became ready.
func (s *stack) startServe() bool {
	s.t.Helper()
	address := freeAddresses(s.t)
	check, http, ops := address[0], address[1], address[2]
	s.issuer = "http://" + http // the default of the key issuer
	if err := os.WriteFile(s.config, fmt.Appendf(nil, configuration, check, http, ops), 0o600); err != nil {
		s.t.Fatal(err)
	}
	serve := exec.Command(s.binary, "serve", "--config", s.config)
	serve.Stderr = s.log
	if err := serve.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = serve.Wait()
		close(ended)
	}()
	s.t.Cleanup(func() {
		_ = serve.Process.Signal(syscall.SIGTERM)
		<-ended
		if s.t.Failed() {
			s.t.Logf("tollgate's log:\n%s", s.log)
		}
	})
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !answers("http://" + ops + "/readyz") {
		select {
		case <-deadline:
			s.t.Fatal("tollgate is not ready after 20 s")
		case <-ended:
			return false
		case <-tick.C:
		}
	}
	return true
}

func answers(url string) bool {
	resp, err := http.Get(url)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// startEnvoy puts Envoy before an API that tells its callers who they are.
func (s *stack) startEnvoy(binary string) {
	s.t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"client": r.Header.Get("x-tollgate-client"), "scopes": r.Header.Get("x-tollgate-scopes")})
	}))
	s.t.Cleanup(api.Close)
	front := s.tollgate("envoy", "bootstrap", "--upstream", api.Listener.Addr().String(), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	process, err := envoy.Start(ctx, envoy.StartConfig{Binary: binary, Config: []byte(front), Concurrency: 1})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(process.Stop)
	address, err := process.ListenerAddr(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	s.api = "http://" + address
}

// tollgate runs a command and returns what it printed.
func (s *stack) tollgate(args ...string) string {
	s.t.Helper()
	var out, complaint bytes.Buffer
	cmd := exec.Command(s.binary, append(args, "--config", s.config)...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("tollgate %s: %v: %s", strings.Join(args, " "), err, &complaint)
	}
	return out.String()
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
	own := *s
	own.t = t
	out := own.tollgate(append([]string{"client", "create", "--name", "test", "--scope", "contacts:read,contacts:write", "--output", "json"}, flags...)...)
	var c credential
	if err := json.Unmarshal([]byte(out), &c); err != nil || c.Secret == "" {
		t.Fatalf("client create printed %q: %v", out, err)
	}
	return c
}
