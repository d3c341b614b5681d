package endpoint

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/tokens"
	"github.com/tollgate-authz/tollgate/tokens/sqlite"
)

const (
	issuerURL = "https://tollgate.example"
	audience  = "https://tollgate.example/default"
	apiOne    = "https://api.example/one"
)

// epoch is when the test's clock starts.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is a token endpoint with everything real around it but the clock.
type world struct {
	t       testing.TB
	handler http.Handler
	db      *sqlite.DB
	key     *tokens.SigningKey
	pepper  tokens.Pepper

	mu       sync.Mutex
	now      time.Time
	settings Settings
	events   []Event

	client *tokens.Client // any source, scopes read and write
	secret tokens.Secret
}

func newWorld(t testing.TB, change ...func(*Config)) *world {
	t.Helper()
	w := &world{t: t, now: epoch, pepper: tokens.Pepper{7}, settings: Settings{
		Audience: audience, APIAudiences: []string{apiOne}, AccessTTL: time.Hour, GenerationsPerMinute: 10,
	}}
	db, err := sqlite.Open(context.Background(), sqlite.Config{KEK: [32]byte{1}, Now: w.clock})
	w.must(err)
	t.Cleanup(func() { w.must(db.Close()) })
	w.db = db
	w.key, err = db.EnsureSigningKey(t.Context(), "ES256", rand.Reader, epoch)
	w.must(err)
	issuer, err := tokens.NewIssuer(issuerURL, w.key, rand.Reader)
	w.must(err)
	keySet, err := tokens.KeySetDocument([]*tokens.SigningKey{w.key})
	w.must(err)
	c := Config{
		Clients: db, Pepper: &w.pepper,
		Issuer: func() *tokens.Issuer { return issuer },
		KeySet: func() []byte { return keySet },
		Limits: newTable(t), Failures: newTable(t),
		Settings: func() Settings { w.mu.Lock(); defer w.mu.Unlock(); return w.settings },
		Now:      w.clock,
		Observe:  func(ev Event) { w.mu.Lock(); defer w.mu.Unlock(); w.events = append(w.events, ev) },
	}
	for _, f := range change {
		f(&c)
	}
	w.handler, err = New(c)
	w.must(err)
	w.client, w.secret = w.create("reports", nil)
	return w
}

func newTable(t testing.TB) *limiter.Table {
	t.Helper()
	table, err := limiter.New(limiter.Config{MaxBytes: 1 << 20, Epoch: epoch})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// create makes a client with the alias name.
func (w *world) create(name string, change func(*tokens.Client)) (*tokens.Client, tokens.Secret) {
	w.t.Helper()
	id, secret, err := tokens.NewCredential(rand.Reader)
	w.must(err)
	c := &tokens.Client{
		ID: id, Name: name, Alias: name, Account: "acme", Plan: "default", Environment: tokens.Production,
		Scopes: []string{"contacts:read", "contacts:write"}, SecretHash: w.pepper.Hash(secret), CreatedAt: epoch,
	}
	if change != nil {
		change(c)
	}
	w.must(w.db.CreateClient(w.t.Context(), c))
	return c, secret
}

func trusted(prefix string) func(*tokens.Client) {
	return func(c *tokens.Client) { c.TrustedIPs = []netip.Prefix{netip.MustParsePrefix(prefix)} }
}

// request is an HTTP request in the making. Its source is 192.0.2.1.
type request struct {
	method, target, body string
	source               string
	header               http.Header
}

func (w *world) do(q request) response { return do(w.handler, q) }

func do(handler http.Handler, q request) response {
	r := httptest.NewRequest(q.method, "http://tollgate.example/", strings.NewReader(q.body))
	if u, err := url.ParseRequestURI(q.target); err == nil {
		r.URL, r.RequestURI = u, q.target
	}
	for name, values := range q.header {
		r.Header[name] = values
	}
	r.RemoteAddr = "192.0.2.1:1234"
	if q.source != "" {
		r.RemoteAddr = q.source
	}
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, r)
	res := response{status: rec.Code, header: rec.Header(), body: rec.Body.String()}
	_ = json.Unmarshal(rec.Body.Bytes(), &res.fields) // what is no JSON has no fields
	return res
}

// jsonRequest asks /auth/token. A nil value leaves the member out.
func jsonRequest(id string, secret tokens.Secret, scope any) request {
	members := map[string]any{"client_id": id, "client_secret": secret.Reveal()}
	if scope != nil {
		members["scope"] = scope
	}
	body, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	return jsonBody(string(body))
}

func jsonBody(body string) request {
	return request{method: "POST", target: pathAuthToken, body: body, header: http.Header{"Content-Type": {"application/json"}}}
}

// formRequest asks /oauth2/token; pairs are names and values of parameters.
func formRequest(pairs ...string) request {
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return formBody(form.Encode())
}

func formBody(body string) request {
	return request{method: "POST", target: pathOAuth2Token, body: body, header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}}
}

func (q request) basic(id string, secret tokens.Secret) request {
	return q.with("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(id+":"+secret.Reveal())))
}

// with adds a line of a header.
func (q request) with(name, value string) request {
	q.header = q.header.Clone()
	q.header.Add(name, value)
	return q
}

func (q request) from(source string) request {
	q.source = netip.AddrPortFrom(netip.MustParseAddr(source), 1234).String()
	return q
}

type response struct {
	status int
	header http.Header
	body   string
	fields struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int64  `json:"expires_in"`
		Scope       string `json:"scope"`
		Error       string
		Description string `json:"error_description"`
		Code        string
		Message     string
	}
}

func (r response) String() string { return fmt.Sprintf("%d %s", r.status, r.body) }

// is reports whether a token was refused with that status and code, or given.
func (r response) is(status int, code string) bool {
	given := r.fields.AccessToken != ""
	return r.status == status && r.fields.Code == code && given == (status == http.StatusOK)
}

func (r response) want(t testing.TB, status int, code string) {
	t.Helper()
	if !r.is(status, code) {
		t.Errorf("got %v, want %d %s", r, status, code)
	}
}

// verify returns the token as the gate would see it.
func (w *world) verify(r response) *tokens.Token {
	w.t.Helper()
	if r.status != http.StatusOK {
		w.t.Fatalf("got %v, want a token", r)
	}
	keySet := do(w.handler, request{method: "GET", target: pathKeySet})
	keys, err := tokens.ParseKeySet([]byte(keySet.body))
	w.must(err)
	registry, err := tokens.NewRegistry(w.t.Context(), w.db, w.clock())
	w.must(err)
	verifier := tokens.NewVerifier(registry, nil)
	verifier.Trust([]*tokens.Trust{{
		Issuer: issuerURL, Keys: tokens.FixedKeys(keys), Algorithms: []string{"ES256"}, Types: []string{"at+jwt"}, Leeway: tokens.Leeway, Own: true,
	}})
	token, err := verifier.Verify(w.t.Context(), r.fields.AccessToken, w.clock())
	w.must(err)
	return token
}
