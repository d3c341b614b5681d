package envoy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// StartConfig says which Envoy to start, and how.
type StartConfig struct {
	Binary string // as Find returns it
	Config []byte // YAML

	// Dir is where the files of this run go. Empty: a temporary folder, which
	// Stop removes.
	Dir string

	// Concurrency is the number of worker threads; 0: one for each CPU.
	Concurrency int

	// Log gets what Envoy prints: warnings and the access log. nil: nobody
	// does. It is not called any more when Stop has returned.
	Log io.Writer
}

// pollInterval is how often Start looks whether Envoy is ready.
const pollInterval = 10 * time.Millisecond

// stopGrace is how long Envoy has to end by itself.
const stopGrace = 5 * time.Second

// Process is a running Envoy, a child of this process. Whoever started it has
// to stop it.
type Process struct {
	cmd     *exec.Cmd
	dir     string
	ownsDir bool
	output  *tail
	admin   string
	grace   time.Duration // how long Stop waits after SIGTERM

	exited chan struct{} // closed when the child is gone
	err    error         // why it went; written before exited is closed
}

// Start starts Envoy and waits until it says that it is LIVE. ctx bounds the
// waiting only: what was started runs until Stop. When Envoy exits before it is
// ready, the error holds the last lines that it printed.
func Start(ctx context.Context, c StartConfig) (*Process, error) {
	p := &Process{dir: c.Dir, output: &tail{to: c.Log}, grace: stopGrace, exited: make(chan struct{})}
	if p.dir == "" {
		dir, err := os.MkdirTemp("", "tollgate-envoy-")
		if err != nil {
			return nil, fmt.Errorf("start envoy: %w", err)
		}
		p.dir, p.ownsDir = dir, true
	}
	err := p.start(ctx, c)
	if err == nil {
		return p, nil
	}
	p.Stop() // after which nothing more is printed
	if p.cmd == nil {
		return nil, fmt.Errorf("start envoy: %w", err)
	}
	return nil, fmt.Errorf("start envoy: %w; its last lines:\n%s", err, p.output)
}

func (p *Process) start(ctx context.Context, c StartConfig) error {
	config, address := filepath.Join(p.dir, "envoy.yaml"), filepath.Join(p.dir, "admin-address")
	if err := os.WriteFile(config, c.Config, 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	// A file of an earlier run would tell an address where nobody listens, or
	// somebody else does.
	if err := os.Remove(address); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the last run's address: %w", err)
	}
	args := []string{"--config-path", config, "--admin-address-path", address, "--disable-hot-restart", "--log-level", "warn",
		"--file-flush-interval-msec", "100"} // of the access log; Envoy's default is ten seconds
	if c.Concurrency > 0 {
		args = append(args, "--concurrency", strconv.Itoa(c.Concurrency))
	}
	p.cmd = exec.Command(c.Binary, args...)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	p.cmd.SysProcAttr = dieWithParent()
	// Somebody who inherited the pipes must not keep Wait from returning.
	p.cmd.WaitDelay = stopGrace

	if err := p.launch(); err != nil {
		return err
	}
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for !p.ready(ctx, address) {
		select {
		case <-p.exited:
			return fmt.Errorf("it exited before it was ready: %v", p.err)
		case <-ctx.Done():
			return fmt.Errorf("it is not ready: %w", ctx.Err())
		case <-ticker.C:
		}
	}
	return nil
}

// launch starts the child from a thread that lives as long as it does: the
// kernel sends the parent-death signal when the thread that forked is gone, not
// when the process is.
func (p *Process) launch() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	err := <-started
	if err != nil {
		p.cmd = nil // there is nothing to stop
	}
	return err
}

// ready asks whether Envoy has loaded all it needs and listens.
func (p *Process) ready(ctx context.Context, addressFile string) bool {
	if p.admin == "" {
		address, err := os.ReadFile(addressFile)
		// Envoy makes the file before it writes it.
		if _, _, splitErr := net.SplitHostPort(string(address)); err != nil || splitErr != nil {
			return false
		}
		p.admin = string(address)
	}
	body, err := p.get(ctx, "/ready")
	return err == nil && strings.TrimSpace(string(body)) == "LIVE"
}

// AdminAddr is the host:port of the admin interface.
func (p *Process) AdminAddr() string { return p.admin }

// Exited is closed when Envoy is gone, stopped or not.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// ListenerAddr is the host:port where callers are served, which only Envoy
// knows when the configuration says port 0.
func (p *Process) ListenerAddr(ctx context.Context) (string, error) {
	body, err := p.get(ctx, "/listeners?format=json")
	if err != nil {
		return "", fmt.Errorf("ask envoy for its listeners: %w", err)
	}
	var answer struct {
		Listeners []struct {
			Name    string `json:"name"`
			Address struct {
				Socket struct {
					Address string `json:"address"`
					Port    int    `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", fmt.Errorf("ask envoy for its listeners: %w", err)
	}
	for _, l := range answer.Listeners {
		if l.Name == listenerName {
			return net.JoinHostPort(l.Address.Socket.Address, strconv.Itoa(l.Address.Socket.Port)), nil
		}
	}
	return "", fmt.Errorf("envoy has no listener named %q", listenerName)
}

func (p *Process) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := adminClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, resp.Status)
	}
	return body, nil
}

// adminClient goes to a loopback address: no proxy of the environment stands
// between, and no connection is left behind.
var adminClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}

// Stop asks Envoy to end, ends it when it does not within five seconds, and
// returns when it is gone. It may be called more than once, and after Envoy has
// died by itself.
func (p *Process) Stop() {
	if p.cmd != nil {
		// Process.Signal knows when the child was waited for, so that it never
		// reaches a stranger who got its number.
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		grace := time.NewTimer(p.grace)
		defer grace.Stop()
		select {
		case <-p.exited:
		case <-grace.C:
			_ = p.cmd.Process.Kill()
			<-p.exited
		}
	}
	if p.ownsDir {
		_ = os.RemoveAll(p.dir)
	}
}

// Validate has Envoy itself check a configuration (YAML), without listening
// anywhere.
func Validate(ctx context.Context, binary string, config []byte) error {
	dir, err := os.MkdirTemp("", "tollgate-envoy-")
	if err != nil {
		return fmt.Errorf("validate envoy configuration: %w", err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return fmt.Errorf("validate envoy configuration: %w", err)
	}
	var output tail
	cmd := exec.CommandContext(ctx, binary, "--mode", "validate", "--config-path", file, "--log-level", "warn")
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.WaitDelay = stopGrace
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("validate envoy configuration: %w:\n%s", err, &output)
	}
	return nil
}
