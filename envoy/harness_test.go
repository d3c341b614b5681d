package envoy

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// forEachEnvoy runs a test on every Envoy that is installed: a front has to
// hold on the oldest that it is made for as on the newest.
func forEachEnvoy(t *testing.T, test func(t *testing.T, binary string)) {
	t.Helper()
	installed, err := Installed("..")
	if err != nil {
		t.Fatal(err)
	}
	found, err := Find("..", os.Getenv)
	switch {
	case err == nil && !slices.Contains(installed, found):
		installed = append(installed, found)
	case err != nil && os.Getenv("CI") == "true":
		t.Fatal(err)
	case err != nil:
		t.Skip(err)
	}
	for _, binary := range installed {
		name := strings.TrimSuffix(binary, "/envoy/_bin/envoy")
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			test(t, binary)
		})
	}
}

// stage is an Envoy between a Check service and an upstream that both remember
// what they were sent.
type stage struct {
	*checkService
	*upstream
	addr string // where callers are served
	log  *buffer
	proc *Process
}

// newStage starts Envoy with what front says. Addresses that it leaves out are
// filled in.
func newStage(t *testing.T, binary string, front Front) *stage {
	t.Helper()
	return newStageWith(t, binary, front, newCheckService(t))
}

func newStageWith(t *testing.T, binary string, front Front, checks *checkService) *stage {
	t.Helper()
	s := &stage{checkService: checks, upstream: newUpstream(t), log: &buffer{}}
	front.Check, front.Upstream, front.Admin = s.checkService.addr, s.upstream.addr, "127.0.0.1:0"
	if front.Listen == "" {
		front.Listen = "127.0.0.1:0"
	}
	config, err := YAML(front)
	if err != nil {
		t.Fatal(err)
	}
	s.proc, s.addr = startEnvoy(t, binary, config, s.log)
	return s
}

func startEnvoy(t *testing.T, binary string, config []byte, log io.Writer) (*Process, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	p, err := Start(ctx, StartConfig{Binary: binary, Config: config, Concurrency: 1, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	addr, err := p.ListenerAddr(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return p, addr
}

// healthy tells what Envoy thinks of the Check service.
func (s *stage) healthy(t *testing.T) bool {
	t.Helper()
	text, err := s.proc.get(t.Context(), "/clusters")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(text), "tollgate_check::"+s.checkService.addr+"::health_flags::healthy")
}

// answer is what a caller gets.
type answer struct {
	*http.Response
	body string
}

// send writes a request byte for byte, since net/http would tidy it up.
func (s *stage) send(t *testing.T, target string, headers ...string) answer {
	t.Helper()
	request := "GET " + target + " HTTP/1.1\r\n"
	if !slices.ContainsFunc(headers, func(h string) bool { return strings.HasPrefix(h, "Host:") }) {
		request += "Host: api.example.com\r\n"
	}
	request += strings.Join(append(headers, "Connection: close"), "\r\n") + "\r\n\r\n"
	return exchange(t, s.addr, request)
}

func exchange(t *testing.T, addr, request string) answer {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stop := context.AfterFunc(t.Context(), func() { conn.Close() })
	defer stop()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp, string(body)}
}

// upstream is the service behind Envoy.
type upstream struct {
	addr string

	mu       sync.Mutex // guards requests
	requests []*http.Request
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		u.requests = append(u.requests, r.Clone(context.Background()))
		u.mu.Unlock()
		io.WriteString(w, "upstream")
	}))
	t.Cleanup(server.Close)
	u.addr = server.Listener.Addr().String()
	return u
}

// lastRequest returns what arrived since the last call, at most one request.
func (u *upstream) lastRequest(t *testing.T) *http.Request {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	defer func() { u.requests = nil }()
	switch len(u.requests) {
	case 0:
		return nil
	case 1:
		return u.requests[0]
	}
	t.Fatalf("got %d requests at the upstream, want one", len(u.requests))
	return nil
}

// until waits for what another process does in its own time.
func until(t *testing.T, what string, happened func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !happened() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s", what)
		case <-ticker.C:
		}
	}
}

// buffer is a log that a test reads while it is written.
type buffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
