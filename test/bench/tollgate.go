package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// installation is a tollgate with a configuration and a store of its own. It may
// be started more than once.
type installation struct{ binary, config string }

// server is an installation that runs.
type server struct {
	*process
	addresses map[string]string // by service: check, http, ops
}

// foreignIssuer is the issuer whose tokens the benchmark signs itself: hundreds
// of thousands of them, which is not what the token endpoint is measured for here.
const (
	foreignIssuer   = "https://idp.example.net/"
	foreignAudience = "https://api.example.com"
	foreignClient   = "bench-client"
)

// configuration has limits that are counted, and told with every answer, but are
// never reached: 10⁶ requests a second are more than any core answers.
var configuration = template.Must(template.New("").Parse(`
listen: {check: "127.0.0.1:0", http: "127.0.0.1:0", ops: "127.0.0.1:0"}
issuer: https://tollgate.example.net
store: sqlite:tollgate.db
tokens: {generations_per_minute: 1000000}
trust:
  - issuer: {{.Issuer}}
    jwks_file: issuer.json
    audiences: [{{.Audience}}]
    algorithms: [ES256]
    client_claim: client_id
plans:
  default:
    burst: {rate: 1000000, size: 1000000}
    per_minute: 1000000000
apis:
  - name: contacts
    hosts: [{{.Host}}]
    audience: {{.Audience}}
    routes:
      - {match: "GET /v1/contacts/{id}", name: contacts.get, scopes: ["{{.Scope}}"]}
      - {match: "POST /v1/contacts", name: contacts.post, scopes: ["contacts:write"]}
{{- with .MaxMemory}}
limits: {max_memory: {{.}}}
{{- end}}
`))

// install writes a configuration into dir; keySet is the foreign issuer's.
// maxMemory is limits.max_memory, "" for the default.
func install(binary, dir string, keySet []byte, maxMemory string) (*installation, error) {
	n := &installation{binary: binary, config: filepath.Join(dir, "tollgate.yaml")}
	var text bytes.Buffer
	err := configuration.Execute(&text, map[string]string{
		"Issuer": foreignIssuer, "Audience": foreignAudience, "Host": callHost, "Scope": callScope, "MaxMemory": maxMemory,
	})
	return n, errors.Join(err,
		os.MkdirAll(dir, 0o700),
		os.WriteFile(n.config, text.Bytes(), 0o600),
		os.WriteFile(filepath.Join(dir, "issuer.json"), keySet, 0o600))
}

// readyLimit is far beyond any start that works.
const readyLimit = 20 * time.Second

// start runs tollgate and waits until it is ready. It returns how long that
// took, from before the process was made.
func (n *installation) start(ctx context.Context) (*server, time.Duration, error) {
	began := now()
	p, err := start(ctx, "tollgate", n.binary, "serve", "--config", n.config, "--log-format", "json")
	if err != nil {
		return nil, 0, err
	}
	s := &server{process: p}
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	every := time.NewTicker(time.Millisecond)
	defer every.Stop()
	for !s.ready(ctx) {
		select {
		case <-ctx.Done():
			p.stop()
			return nil, 0, p.failed(errors.New("did not become ready"))
		case <-every.C:
		}
	}
	return s, now().Sub(began), nil
}

// ready asks /readyz, once the log tells where that is.
func (s *server) ready(ctx context.Context) bool {
	if s.addresses = listening(s.log.String()); len(s.addresses) < 3 {
		return false
	}
	_, err := s.get(ctx, "/readyz")
	return err == nil
}

// listening finds in the log on which address each service listens. Ports chosen
// beforehand could be taken by others until they are used.
func listening(log string) map[string]string {
	addresses := map[string]string{}
	for line := range strings.Lines(log) {
		var entry struct{ Msg, Service, Address string }
		if json.Unmarshal([]byte(line), &entry) != nil || entry.Msg != "listening" {
			continue
		}
		if entry.Service == "check" || entry.Service == "http" || entry.Service == "ops" {
			addresses[entry.Service] = entry.Address
		}
	}
	return addresses
}

// get reads a page of the ops endpoint.
func (s *server) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addresses["ops"]+path, nil)
	if err != nil {
		return nil, err
	}
	return fetch(req)
}

// misses is how many tokens had to be verified so far.
func (s *server) misses(ctx context.Context) (float64, error) {
	page, err := s.get(ctx, "/metrics")
	if err != nil {
		return 0, s.failed(err)
	}
	return parseMetric(page, "tollgate_token_cache_misses_total")
}

// parseMetric finds a metric without labels in Prometheus's text format.
func parseMetric(page []byte, name string) (float64, error) {
	for line := range strings.Lines(string(page)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("no metric %s", name)
}

// fetch returns the body of a 200.
func fetch(req *http.Request) ([]byte, error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %.500q", req.Method, req.URL, resp.Status, body)
	}
	return body, err
}

// client is one that `client create` made.
type client struct {
	ID     string `json:"client_id"`
	Secret string `json:"client_secret"`
}

func (n *installation) createClient(ctx context.Context) (client, error) {
	cmd := exec.CommandContext(ctx, n.binary, "client", "create", "--config", n.config,
		"--name", "bench", "--scope", callScope, "--output", "json")
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return client{}, fmt.Errorf("client create: %w\n%s", err, said.String())
	}
	var c client
	if err := json.Unmarshal(out, &c); err != nil {
		return client{}, fmt.Errorf("client create printed %q: %w", out, err)
	}
	return c, nil
}

// token gets an access token from the token endpoint.
func (s *server) token(ctx context.Context, c client) (string, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {callScope}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.addresses["http"]+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret)) // RFC 6749 section 2.3.1
	body, err := fetch(req)
	if err != nil {
		return "", s.failed(err)
	}
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.AccessToken == "" {
		return "", fmt.Errorf("get a token: the answer is %q", body)
	}
	return answer.AccessToken, nil
}
