package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/term"
)

// stop is one stop of the tour: a request and the answer that the contract
// promises.
type stop struct {
	title  string
	token  string // which token of the tour; empty: none
	method string
	path   string
	status int
	code   string // R-code; empty: allowed
	times  int    // how often to ask: the last answer counts; 0: once
	before func(context.Context) error
}

// tour makes the clients, gets their tokens and walks through the stops.
func (d *demo) tour(ctx context.Context) error {
	d.heading("1. A client and its token")
	reader, err := d.makeClient(ctx, "reader", "--scope", "contacts:read")
	if err != nil {
		return err
	}
	tokens := map[string]string{}
	if tokens["TOKEN"], err = d.getToken(ctx, reader, true); err != nil {
		return err
	}
	others := map[string][]string{
		"SHORT":  {"short-lived", "--scope", "contacts:read", "--token-ttl", "1s"},
		"BACK":   {"back", "--scope", "contacts:read"},
		"OFFICE": {"office", "--scope", "contacts:read"},
		"BURSTY": {"bursty", "--scope", "contacts:read", "--plan", "bursty"},
		"SLOW":   {"slow", "--scope", "contacts:read", "--plan", "slow"},
	}
	made := map[string]credential{}
	for name, args := range others {
		c, err := d.makeClient(ctx, args[0], args[1:]...)
		if err != nil {
			return err
		}
		if c.token, err = d.getToken(ctx, c, false); err != nil {
			return err
		}
		made[name], tokens[name] = c, c.token
	}
	if err := d.writeTokens(tokens); err != nil {
		return err
	}
	d.heading("2. What Envoy lets through, and what it refuses")
	for _, s := range d.stops(made["OFFICE"], made["SHORT"], made["BACK"]) {
		if err := d.visit(ctx, s, tokens); err != nil {
			return err
		}
	}
	return nil
}

// writeTokens lets a shell have the tokens under the names of the curl lines.
func (d *demo) writeTokens(tokens map[string]string) error {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(tokens)) {
		fmt.Fprintf(&text, "%s=%s\n", name, tokens[name])
	}
	path := filepath.Join(d.dir, "tokens.sh")
	d.printf("%s\n\n", d.paint.command("$ . "+path+"   # sets "+strings.Join(slices.Sorted(maps.Keys(tokens)), ", ")))
	return os.WriteFile(path, []byte(text.String()), 0o600)
}

func (d *demo) stops(office, short, back credential) []stop {
	const path = "/v1/contacts/7"
	return []stop{
		{title: "a token with the scope: allowed", token: "TOKEN", path: path, status: 200},
		{title: "no token", path: path, status: 401, code: "R1"},
		{title: "an expired token", token: "SHORT", path: path, status: 401, code: "R5", before: d.expired(short.token)},
		{title: "a token that was given back", token: "BACK", path: path, status: 401, code: "R1", before: func(ctx context.Context) error { return d.revoke(ctx, back) }},
		{title: "a token without the scope", token: "TOKEN", method: "POST", path: "/v1/contacts", status: 401, code: "R6"},
		{title: "an address that its client does not trust", token: "OFFICE", path: path, status: 403, code: "R4", before: func(ctx context.Context) error {
			if _, err := d.tollgateCommand(ctx, true, "client", "update", office.ID, "--ip", "203.0.113.0/24"); err != nil {
				return err
			}
			return d.until(ctx, "serve has heard of the change", func() bool {
				status, _, _ := d.ask(ctx, http.MethodGet, path, office.token)
				return status == http.StatusForbidden
			})
		}},
		{title: "four requests at once, with a burst of three", token: "BURSTY", path: path, status: 429, code: "R7", times: 4},
		{title: "four requests in a minute, with three allowed", token: "SLOW", path: path, status: 429, code: "R3", times: 4},
	}
}

// expired waits until a token's lifetime of one second is over.
func (d *demo) expired(bearer string) func(context.Context) error {
	return func(ctx context.Context) error {
		return d.until(ctx, "the token has expired", func() bool {
			_, body, _ := d.ask(ctx, http.MethodGet, "/v1/contacts/7", bearer)
			return strings.Contains(body, `"R5"`)
		})
	}
}

// visit shows the request as a curl line, asks, shows the answer and judges it.
func (d *demo) visit(ctx context.Context, s stop, tokens map[string]string) error {
	if s.method == "" {
		s.method = http.MethodGet
	}
	d.printf("%s\n", d.paint.title("# "+s.title))
	if s.before != nil {
		if err := s.before(ctx); err != nil {
			return err
		}
	}
	line := "curl -i"
	if s.method != http.MethodGet {
		line += " -X " + s.method
	}
	if s.token != "" {
		line += fmt.Sprintf(` -H "Authorization: Bearer $%s"`, s.token)
	}
	line += fmt.Sprintf(" http://%s%s", d.front, s.path)
	if s.times > 1 {
		line = fmt.Sprintf("for i in $(seq %d); do %s; done   # the last answer:", s.times, line)
	}
	d.printf("%s\n", d.paint.command("$ "+line))
	var status int
	var body string
	var header http.Header
	for range max(1, s.times) {
		var err error
		if status, body, header, err = d.request(ctx, s.method, s.path, tokens[s.token]); err != nil {
			return err
		}
	}
	d.showAnswer(status, body, header)
	documented := status == s.status && header.Get("x-tollgate-code") == s.code
	if s.code != "" {
		documented = documented && strings.HasPrefix(body, fmt.Sprintf(`{"code":%q,"message":`, s.code)) && header.Get("content-type") == "application/json"
	}
	if !documented {
		d.wrong = append(d.wrong, fmt.Sprintf("%s: %d %s, want %d %s", s.title, status, header.Get("x-tollgate-code"), s.status, s.code))
		d.printf("%s\n", d.paint.bad(fmt.Sprintf("not the documented answer: want %d %s", s.status, s.code)))
	}
	d.printf("\n")
	return nil
}

// shownHeaders are the headers worth showing on the tour.
var shownHeaders = []string{"www-authenticate", "retry-after", "ratelimit", "x-tollgate-code"}

func (d *demo) showAnswer(status int, body string, header http.Header) {
	text := fmt.Sprintf("HTTP/1.1 %d %s", status, http.StatusText(status))
	if status < 400 {
		text = d.paint.good(text)
	} else {
		text = d.paint.refused(text)
	}
	d.printf("%s\n", text)
	for _, name := range shownHeaders {
		if value := header.Get(name); value != "" {
			d.printf("%s\n", d.paint.dim(name+": "+value))
		}
	}
	d.printf("%s\n", strings.TrimSpace(body))
}

func (d *demo) ask(ctx context.Context, method, path, bearer string) (int, string, error) {
	status, body, _, err := d.request(ctx, method, path, bearer)
	return status, body, err
}

func (d *demo) request(ctx context.Context, method, path, bearer string) (int, string, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+d.front+path, nil)
	if err != nil {
		return 0, "", nil, err
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	return send(req)
}

func send(req *http.Request) (int, string, http.Header, error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, string(body), resp.Header, err
}

// credential is a client of the tour.
type credential struct {
	ID     string `json:"client_id"`
	Secret string `json:"client_secret"`
	token  string
}

func (d *demo) makeClient(ctx context.Context, name string, args ...string) (c credential, err error) {
	show := name == "reader"
	out, err := d.tollgateCommand(ctx, show, append([]string{"client", "create", "--name", name, "--output", "json"}, args...)...)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(out, &c); err != nil {
		return c, fmt.Errorf("client create: %w", err)
	}
	if show {
		d.printf("client_id:     %s\nclient_secret: %s\n\n", c.ID, c.Secret)
	}
	return c, nil
}

// tollgateCommand runs a command of this binary and returns what it printed.
func (d *demo) tollgateCommand(ctx context.Context, show bool, args ...string) ([]byte, error) {
	if show {
		shown := strings.Join(slices.DeleteFunc(slices.Clone(args), func(s string) bool { return s == "--output" || s == "json" }), " ")
		d.printf("%s\n", d.paint.command("$ tollgate "+shown))
	}
	cmd, err := d.command(ctx, args...)
	if err != nil {
		return nil, err
	}
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("tollgate %s: %w: %s", strings.Join(args, " "), err, complaint.String())
	}
	return out, nil
}

// getToken asks the token endpoint, through Envoy.
func (d *demo) getToken(ctx context.Context, c credential, show bool) (string, error) {
	if show {
		d.printf("%s\n", d.paint.command(fmt.Sprintf(`$ curl -u %s:%s -d grant_type=client_credentials http://%s/oauth2/token`, c.ID, c.Secret, d.front)))
	}
	status, body, err := d.post(ctx, c, "/oauth2/token", "grant_type=client_credentials")
	if err != nil {
		return "", err
	}
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK || answer.AccessToken == "" {
		return "", fmt.Errorf("the token endpoint answered %d: %s", status, body)
	}
	if show {
		d.printf("%s\n\n", strings.TrimSpace(body))
	}
	return answer.AccessToken, nil
}

// revoke gives a client's token back (RFC 7009).
func (d *demo) revoke(ctx context.Context, c credential) error {
	d.printf("%s\n", d.paint.command(fmt.Sprintf(`$ curl -u %s:%s -d "token=$BACK" http://%s/oauth2/revoke`, c.ID, c.Secret, d.front)))
	status, body, err := d.post(ctx, c, "/oauth2/revoke", "token="+url.QueryEscape(c.token))
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("the revocation endpoint answered %d: %s", status, body)
	}
	return err
}

// post sends a form as a client does.
func (d *demo) post(ctx context.Context, c credential, path, form string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+d.front+path, strings.NewReader(form))
	if err != nil {
		return 0, "", err
	}
	req.SetBasicAuth(c.ID, c.Secret)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	status, body, _, err = send(req)
	return status, body, err
}

// invite prints what to try while the demo stays up.
func (d *demo) invite() {
	d.heading("3. Try it yourself")
	d.printf(`  tollgate client create --name me --scope contacts:read,contacts:write --config %[1]s/tollgate.yaml
  TOKEN=$(curl -s -u CLIENT_ID:CLIENT_SECRET -d grant_type=client_credentials http://%[2]s/oauth2/token | python3 -c 'import json,sys; print(json.load(sys.stdin)["access_token"])')
  curl -i -H "Authorization: Bearer $TOKEN" http://%[2]s/v1/contacts/7
  tollgate explain --url http://%[2]s/v1/contacts/7 --header "Authorization: Bearer $TOKEN" --config %[1]s/tollgate.yaml
  curl -s http://%[3]s/metrics | grep tollgate_

Everything stays up until you press Ctrl-C.
`, d.dir, d.front, d.ops)
}

func (d *demo) heading(text string) { d.printf("%s\n\n", d.paint.heading(text)) }

// painter colours what goes to a terminal.
type painter bool

func wantColor(a *app, when string) painter {
	f, ok := a.out.(*os.File)
	_, never := a.getenv("NO_COLOR")
	return painter(when == "always" || when != "never" && !never && ok && term.IsTerminal(int(f.Fd())))
}

func (p painter) with(code, text string) string {
	if !p {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p painter) heading(s string) string { return p.with("1;36", s) }
func (p painter) title(s string) string   { return p.with("1", s) }
func (p painter) command(s string) string { return p.with("33", s) }
func (p painter) good(s string) string    { return p.with("32", s) }
func (p painter) refused(s string) string { return p.with("31", s) }
func (p painter) bad(s string) string     { return p.with("1;41", s) }
func (p painter) dim(s string) string     { return p.with("2", s) }
