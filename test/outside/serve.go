package outside

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Server is a tollgate that runs until its test ends.
type Server struct {
	URL    string // of listen.http, which is the default of the key issuer
	binary string
	config string // the file
}

// Serve starts a tollgate. The configuration has %q for its three addresses: check, http
// and ops, in this order. What it logs goes to log, to the last line before its end.
func Serve(t *testing.T, configuration string, log *LockedBuffer) *Server {
	t.Helper()
	s := &Server{binary: Require(t, binary), config: filepath.Join(t.TempDir(), "tollgate.yaml")}
	// Between the choice of a port and its use, somebody else may take it.
	for try := 1; !s.start(t, configuration, log); try++ {
		if try == 3 || !strings.Contains(log.String(), "address already in use") {
			t.Fatalf("tollgate does not start:\n%s", log)
		}
	}
	return s
}

// start reports whether tollgate became ready.
func (s *Server) start(t *testing.T, configuration string, log *LockedBuffer) bool {
	t.Helper()
	check, http, ops := FreeAddress(t), FreeAddress(t), FreeAddress(t)
	s.URL = "http://" + http
	if err := os.WriteFile(s.config, fmt.Appendf(nil, configuration, check, http, ops), 0o600); err != nil {
		t.Fatal(err)
	}
	serve := exec.Command(s.binary, "serve", "--config", s.config)
	serve.Stderr = log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = serve.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = serve.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !answers("http://" + ops + "/readyz") {
		select {
		case <-deadline:
			t.Fatal("tollgate is not ready after 20 s")
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

// Tollgate runs a command on the server's configuration, and returns what it printed. It
// is the given test that fails with it, which may be one of several on a server.
func (s *Server) Tollgate(t *testing.T, args ...string) string {
	t.Helper()
	var out, complaint bytes.Buffer
	cmd := exec.Command(s.binary, append(args, "--config", s.config)...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		t.Fatalf("tollgate %s: %v: %s", strings.Join(args, " "), err, &complaint)
	}
	return out.String()
}

// LockedBuffer is written by a child and read by a test.
type LockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *LockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *LockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// ports hands out ports once each, from a range that systems leave alone when they
// choose a port themselves: none of the many connections of a test takes one between
// two runs of a serve. Other processes that run these tests begin elsewhere.
var ports = struct {
	sync.Mutex
	next int
}{next: 10_000 + os.Getpid()*97%20_000}

// FreeAddress is a loopback address where nobody listens at this moment, and that
// nobody else in this process is given.
func FreeAddress(t *testing.T) string {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	for range 1000 {
		if ports.next++; ports.next > 32_000 {
			ports.next = 10_000
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", ports.next))
		if err == nil {
			_ = l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}
