package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/envoy"
	"github.com/tollgate-authz/tollgate/test/outside"
)

// stack is an upstream, a tollgate and an Envoy between them.
type stack struct {
	t        *testing.T
	dir      string
	wrap     []string // a command that runs serve
	check    string   // listen.check
	http     string
	ops      string
	upstream *upstream
	serve    *exec.Cmd
	log      *outside.LockedBuffer
	envoyLog *outside.LockedBuffer
	front    string // where Envoy listens
	envoy    *envoy.Process
	args     []string // for serve
	direct   requester
}

// requester keeps its connections.
type requester struct{ http.Transport }

// upstream is the protected service; it remembers what reached it.
type upstream struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
}

func newUpstream(t *testing.T) *upstream {
	u := &upstream{}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		u.seen = append(u.seen, r.Clone(context.Background()))
		u.mu.Unlock()
		_, _ = io.WriteString(w, "upstream\n")
	}))
	t.Cleanup(u.Close)
	return u
}

// last returns the latest request that reached the upstream, and forgets all.
func (u *upstream) last() *http.Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.seen) == 0 {
		return nil
	}
	r := u.seen[len(u.seen)-1]
	u.seen = nil
	return r
}

func (u *upstream) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.seen)
}

// plans and apis of most tests. %s is replaced by what a test adds.
const commonConfig = `
tokens: {generations_per_minute: 1000}
plans:
  default: {burst: {rate: 1000, size: 1000}, per_minute: 100000}
  bursty: {burst: {rate: 0.5, size: 3}}
  slow: {per_minute: 3}
apis:
  - name: contacts
    hosts: [api.example.com]
    sandbox_hosts: [sandbox.example.com]
    routes:
      - {match: "GET /v1/contacts/{id}", name: contacts.get, scopes: [contacts:read]}
      - {match: "POST /v1/contacts", any_scope: [contacts:write, contacts:admin]}
      - {match: "GET /v1/free"}
      - {match: "POST /grpc.Service/Method", scopes: [grpc:call]}
  - name: hidden
    hosts: [hidden.example.com]
    forward_token: false
    routes: [{match: "GET /v1/free"}]
  - name: public
    hosts: [www.example.com]
    auth: none
    routes: [{match: "/"}]
`

// newStack starts everything with the common configuration.
func newStack(t *testing.T, envoyBinary string) *stack {
	t.Helper()
	s := newTollgate(t, commonConfig)
	s.startEnvoy(envoyBinary)
	return s
}

// newTollgate starts an upstream and a tollgate with that configuration behind
// the listen and store keys.
func newTollgate(t *testing.T, config string, args ...string) *stack {
	t.Helper()
	s := prepareTollgate(t, config, args...)
	s.startServe()
	return s
}

// prepareTollgate is newTollgate without the start.
func prepareTollgate(t *testing.T, config string, args ...string) *stack {
	t.Helper()
	s := &stack{t: t, dir: t.TempDir(), upstream: newUpstream(t), args: args}
	s.check, s.http, s.ops = outside.FreeAddress(t), outside.FreeAddress(t), outside.FreeAddress(t)
	s.writeConfig(config)
	return s
}

func (s *stack) configFile() string { return filepath.Join(s.dir, "tollgate.yaml") }

func (s *stack) writeConfig(config string) {
	s.t.Helper()
	text := fmt.Sprintf("listen: {check: %q, http: %q, ops: %q}\nstore: sqlite:data/tollgate.db\n%s", s.check, s.http, s.ops, config)
	if err := os.WriteFile(s.configFile(), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stack) startServe() {
	s.t.Helper()
	s.direct.CloseIdleConnections() // of the run before
	s.direct.MaxIdleConnsPerHost = 64
	s.log = &outside.LockedBuffer{}
	command := append(slices.Clone(s.wrap), binary, "serve", "--config", s.configFile(), "--log-format", "json")
	command = append(command, s.args...)
	s.serve = exec.Command(command[0], command[1:]...)
	s.serve.Stderr = s.log
	if err := s.serve.Start(); err != nil {
		s.t.Fatal(err)
	}
	// The clean end has tests of its own; here its pause for Envoy's health checks
	// would be most of the time that the tests take.
	s.t.Cleanup(func() { s.stopServe(syscall.SIGKILL) })
	s.until("tollgate is ready", func() bool {
		return s.opsStatus("/readyz") == http.StatusOK || strings.Contains(s.log.String(), `"msg":"ready"`)
	})
}

// stopServe ends tollgate; it may have ended already.
func (s *stack) stopServe(sig syscall.Signal) {
	if s.serve.ProcessState == nil {
		_ = s.serve.Process.Signal(sig)
		_ = s.serve.Wait()
	}
}

func (s *stack) opsStatus(path string) int {
	resp, err := http.Get("http://" + s.ops + path)
	if err != nil {
		return 0
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode
}

// startEnvoy runs the front that envoy bootstrap prints. change may edit it.
func (s *stack) startEnvoy(envoyBinary string, change ...func(string) string) {
	s.t.Helper()
	front := s.tollgate("envoy", "bootstrap", "--upstream", s.upstream.Listener.Addr().String(), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--with-token-endpoint")
	for _, f := range change {
		edited := f(front)
		if edited == front {
			s.t.Fatal("the change of the front changed nothing")
		}
		front = edited
	}
	s.envoyLog = &outside.LockedBuffer{}
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	var err error
	if s.envoy, err = envoy.Start(ctx, envoy.StartConfig{Binary: envoyBinary, Config: []byte(front), Concurrency: 1, Log: s.envoyLog}); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(s.envoy.Stop)
	if s.front, err = s.envoy.ListenerAddr(ctx); err != nil {
		s.t.Fatal(err)
	}
}

// until waits for a condition, at most 20 seconds.
func (s *stack) until(what string, holds func() bool) {
	s.t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			s.t.Fatalf("waited in vain until %s; the log:\n%s", what, s.log)
		case <-tick.C:
		}
	}
}

// tollgate runs a command and returns what it printed.
func (s *stack) tollgate(args ...string) string {
	s.t.Helper()
	out, complaint, status := s.tryTollgate(args...)
	if status != 0 {
		s.t.Fatalf("tollgate %s: status %d: %s", strings.Join(args, " "), status, complaint)
	}
	return out
}

func (s *stack) tryTollgate(args ...string) (out, complaint string, status int) {
	s.t.Helper()
	return s.pipe("", args...)
}

// pipe runs a command that reads a text.
func (s *stack) pipe(text string, args ...string) (out, complaint string, status int) {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(binary, append(args, "--config", s.configFile())...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(text), &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// credential is a client as client create prints it.
type credential struct {
	ID     string `json:"client_id"`
	Secret string `json:"client_secret"`
}

func (s *stack) client(args ...string) credential {
	s.t.Helper()
	var c credential
	out := s.tollgate(append([]string{"client", "create", "--name", "test", "--output", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &c); err != nil || c.Secret == "" {
		s.t.Fatalf("client create printed %q: %v", out, err)
	}
	return c
}

// token gets one from the token endpoint directly.
func (s *stack) token(c credential) string {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+s.http+"/oauth2/token", strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		s.t.Fatal(err)
	}
	req.SetBasicAuth(c.ID, c.Secret)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	a := s.do(req)
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(a.body), &answer); err != nil || a.status != http.StatusOK {
		s.t.Fatalf("the token endpoint answered %d %s", a.status, a.body)
	}
	return answer.AccessToken
}

// answer is what a caller got.
type answer struct {
	status int
	header http.Header
	body   string
}

func (s *stack) do(req *http.Request) answer {
	s.t.Helper()
	a, err := (&requester{http.Transport{DisableKeepAlives: true}}).try(req)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// try may be called from any goroutine.
func (r *requester) try(req *http.Request) (answer, error) {
	resp, err := r.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(body)}, err
}

// request is one to Envoy, for a host of the configuration.
func (s *stack) request(method, host, path, bearer string, header ...string) answer {
	s.t.Helper()
	req, err := http.NewRequest(method, "http://"+s.front+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Host = host
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	return s.do(req)
}

func (s *stack) get(path, bearer string, header ...string) answer {
	s.t.Helper()
	return s.request(http.MethodGet, "api.example.com", path, bearer, header...)
}
