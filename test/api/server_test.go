package api

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tollgate-authz/tollgate/test/outside"
)

// server is a tollgate, and the token of its first administrator.
type server struct {
	t        *testing.T
	tollgate *outside.Server
	url      string
	client   string // whose token it is
	bearer   string
	log      *outside.LockedBuffer
}

// Tokens are made as fast as anybody can: how many there may be is not judged here.
const configuration = `
listen: {check: %q, http: %q, ops: %q}
store: sqlite:data/tollgate.db
tokens: {generations_per_minute: 1000000000}
plans: {default: {}, basic: {per_minute: 600}}
apis:
  - name: contacts
    auth: any
    hosts: [api.example.com]
    routes:
      - {match: "GET /v1/contacts/{id}", scopes: [contacts:read]}
      - {match: "POST /v1/contacts", scopes: [contacts:write], price: "0.02"}
      - {match: "GET /v1/status"}
`

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, log: &outside.LockedBuffer{}}
	s.tollgate = outside.Serve(t, configuration, s.log)
	s.url = s.tollgate.URL
	s.bearer = s.token()
	return s
}

// token is a bearer token of a new administrator.
func (s *server) token() string {
	s.t.Helper()
	out := s.tollgate.Tollgate(s.t, "client", "create", "--name", "administrator", "--scope", "tollgate:admin,contacts:read,contacts:write", "--output", "json")
	var made struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		s.t.Fatalf("client create printed %q: %v", out, err)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+"/oauth2/token", strings.NewReader(url.Values{"grant_type": {"client_credentials"}}.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	req.SetBasicAuth(made.ID, made.Secret)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var granted struct {
		AccessToken string `json:"access_token"`
	}
	s.ask(req, &granted)
	if granted.AccessToken == "" {
		s.t.Fatal("the token endpoint gave no token")
	}
	s.client = made.ID
	return granted.AccessToken
}

func (s *server) ask(req *http.Request, into any) {
	s.t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("%s %s: got %d %s: %v", req.Method, req.URL.Path, resp.StatusCode, body, err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		s.t.Fatalf("%s %s: %v: %s", req.Method, req.URL.Path, err, body)
	}
}

// file writes the OpenAPI file into a folder, and counts its operations.
func (s *server) file(dir string) (path string, operations int) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+"/openapi.json", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	var raw json.RawMessage
	s.ask(req, &raw)
	var file struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
		}
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		s.t.Fatal(err)
	}
	for _, item := range file.Paths {
		for _, op := range item {
			if op.OperationID != "" {
				operations++
			}
		}
	}
	if operations < 8 {
		s.t.Fatalf("the file has %d operations", operations)
	}
	path = filepath.Join(dir, "openapi.json")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path, operations
}

// requireNoFaults fails the test for what tollgate says was its own fault.
func (s *server) requireNoFaults() {
	s.t.Helper()
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, `"level":"ERROR"`) {
			s.t.Errorf("tollgate logged %s", line)
		}
	}
}

// requireAdministrator fails the test where the administrator's token was ended: what was
// sent after that was refused for it.
func (s *server) requireAdministrator() {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+"/clients/"+s.client, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.bearer)
	s.ask(req, &struct{}{})
}

// make makes a record.
func (s *server) make(path, body string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.bearer)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if answer, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusCreated {
		s.t.Fatalf("POST %s: got %d %s: %v", path, resp.StatusCode, answer, err)
	}
}
