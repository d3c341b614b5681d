package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tollgate-authz/tollgate/envoy"
)

// demoConfig is the configuration of the demo; a reader can start from it.
const demoConfig = `# The configuration of the tollgate demo.
listen: {check: "%[1]s", http: "%[2]s", ops: "%[3]s"}
store: sqlite:data/tollgate.db
tokens: {generations_per_minute: 100}
client_ip: {http_trusted_hops: 1}         # Envoy stands in front of the token endpoint

plans:
  default: {burst: {rate: 50, size: 100}, per_minute: 1000}
  bursty: {burst: {rate: 1, size: 3}}     # the fourth request at once is R7
  slow: {per_minute: 3}                   # the fourth request in a minute is R3

apis:
  - name: contacts
    hosts: ["*"]
    routes:
      - match: GET /v1/contacts/{id}
        scopes: [contacts:read]
      - match: POST /v1/contacts
        scopes: [contacts:write]
`

func (a *app) demoCommand() *cobra.Command {
	var once bool
	var color string
	c := &cobra.Command{
		Use: "demo", Short: "Run a tour with real Envoy on loopback", Args: cobra.NoArgs,
		Long: `Start Envoy, a sample upstream and tollgate on free loopback ports, make a client,
get a token, and walk through an allowed request and every refusal. It then stays
up until interrupted.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &demo{app: a, once: once, paint: wantColor(a, color)}
			return d.run(cmd.Context())
		},
	}
	c.Flags().BoolVar(&once, "once", false, "check every answer and exit; fail if one is not the documented one")
	c.Flags().StringVar(&color, "color", "auto", "`WHEN` to use colours: auto, always or never")
	return c
}

// demo is one run of the demo: three servers and the tour through them.
type demo struct {
	*app
	once  bool
	paint painter

	dir                     string
	check, http, ops, front string // addresses
	tollgate                *exec.Cmd
	log                     *tail
	wrong                   []string // answers that were not the documented ones
}

func (d *demo) run(ctx context.Context) (err error) {
	binary, err := envoy.Find(".", d.environment)
	if err != nil {
		return err
	}
	if d.dir, err = os.MkdirTemp("", "tollgate-demo-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(d.dir) }()
	upstream, stopUpstream, err := startUpstream(ctx)
	if err != nil {
		return err
	}
	defer stopUpstream()
	if err := d.writeConfig(ctx); err != nil {
		return err
	}
	if err := d.startTollgate(ctx); err != nil {
		return err
	}
	defer d.stopTollgate()
	process, err := d.startEnvoy(ctx, binary, upstream)
	if err != nil {
		return err
	}
	defer process.Stop()
	d.heading("tollgate demo")
	d.printf("  Envoy     http://%s   (%s)\n  tollgate  check %s, http %s, ops %s\n  upstream  %s\n  files     %s\n\n", d.front, binary, d.check, d.http, d.ops, upstream, d.dir)
	if err := d.tour(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, lastLines(d.log.String(), 15))
	}
	if len(d.wrong) > 0 {
		return fmt.Errorf("%d answers were not the documented ones: %s", len(d.wrong), strings.Join(d.wrong, "; "))
	}
	if d.once {
		d.printf("%s\n", d.paint.good("All answers were the documented ones."))
		return nil
	}
	d.invite()
	select {
	case <-ctx.Done():
	case <-process.Exited():
		return errors.New("envoy has ended")
	}
	return nil
}

func (d *demo) environment(name string) string { value, _ := d.getenv(name); return value }

// startUpstream is the service that is protected: it answers with what it was told.
func startUpstream(ctx context.Context) (address string, stop func(), err error) {
	l, err := listen(ctx, "127.0.0.1:0", 0)
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told := map[string]string{}
		for name := range r.Header {
			if strings.HasPrefix(name, "X-Tollgate-") {
				told[strings.ToLower(name)] = r.Header.Get(name)
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"path": r.URL.Path, "told_by_tollgate": told})
	})}
	go func() { _ = server.Serve(l) }()
	return l.Addr().String(), func() { _ = server.Close() }, nil
}

// writeConfig picks free ports and writes tollgate.yaml.
func (d *demo) writeConfig(ctx context.Context) error {
	for _, address := range []*string{&d.check, &d.http, &d.ops} {
		l, err := listen(ctx, "127.0.0.1:0", 0)
		if err != nil {
			return err
		}
		*address = l.Addr().String()
		if err := l.Close(); err != nil {
			return err
		}
	}
	text := fmt.Sprintf(demoConfig, d.check, d.http, d.ops)
	return os.WriteFile(filepath.Join(d.dir, "tollgate.yaml"), []byte(text), 0o600)
}

// command runs this very binary with the demo's configuration.
func (d *demo) command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, self, append(args, "--config", filepath.Join(d.dir, "tollgate.yaml"))...), nil
}

func (d *demo) startTollgate(ctx context.Context) (err error) {
	if d.tollgate, err = d.command(context.WithoutCancel(ctx), "serve", "--log-format", "text"); err != nil {
		return err
	}
	d.log = &tail{}
	d.tollgate.Stderr = d.log
	if err := d.tollgate.Start(); err != nil {
		return err
	}
	err = d.until(ctx, "tollgate is ready", func() bool {
		resp, err := http.Get("http://" + d.ops + "/readyz")
		if err != nil {
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		return resp.StatusCode == http.StatusOK
	})
	if err != nil {
		d.stopTollgate()
	}
	return err
}

// tail keeps the end of what a child prints.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const most = 8 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-most):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

func (d *demo) stopTollgate() {
	_ = d.tollgate.Process.Signal(syscall.SIGTERM)
	_ = d.tollgate.Wait()
}

func (d *demo) startEnvoy(ctx context.Context, binary, upstream string) (*envoy.Process, error) {
	config, err := envoy.YAML(envoy.Front{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Upstream: upstream, Check: d.check, TokenEndpoint: d.http})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	process, err := envoy.Start(ctx, envoy.StartConfig{Binary: binary, Config: config, Dir: d.dir, Concurrency: 1, Log: io.Discard})
	if err != nil {
		return nil, err
	}
	if d.front, err = process.ListenerAddr(ctx); err != nil {
		process.Stop()
	}
	return process, err
}

// until waits for a condition, at most 15 seconds.
func (d *demo) until(ctx context.Context, what string, holds func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited in vain until %s\n%s", what, lastLines(d.log.String(), 15))
		case <-tick.C:
		}
	}
	return nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
