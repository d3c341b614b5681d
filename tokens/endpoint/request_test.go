package endpoint

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/tollgate-authz/tollgate/tokens"
)

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

func withType(q request, mediaType string) request {
	q.header = q.header.Clone()
	q.header.Set("Content-Type", mediaType)
	return q
}

func withTarget(q request, target string) request {
	q.target = target
	return q
}

type response struct {
	status int
	header http.Header
	body   string
	fields struct {
		AccessToken  string `json:"access_token"`
		TokenType    string `json:"token_type"`
		ExpiresIn    int64  `json:"expires_in"`
		Scope        string `json:"scope"`
		RefreshToken string `json:"refresh_token"`
		Error        string
		Description  string `json:"error_description"`
		Code         string
		Message      string
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

// refused wants an error of RFC 6749 section 5.2.
func (r response) refused(t testing.TB, status int, code, oauth string) {
	t.Helper()
	if !r.is(status, code) || r.fields.Error != oauth || r.fields.RefreshToken != "" {
		t.Errorf("got %v, want %d %s %s", r, status, code, oauth)
	}
}

// wantInvalidGrant wants row D4's refusal, to the letter.
func (r response) wantInvalidGrant(t testing.TB) {
	t.Helper()
	const body = `{"error":"invalid_grant","error_description":"Invalid refresh token","code":"R1","message":"Invalid refresh token"}`
	if r.status != http.StatusBadRequest || r.body != body {
		t.Errorf("got %v, want 400 %s", r, body)
	}
}

// wantUnavailable wants the answer to a fault of ours.
func (r response) wantUnavailable(t testing.TB) {
	t.Helper()
	if r.refused(t, 503, "R0", "temporarily_unavailable"); r.header.Get("Retry-After") != "5" || r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %v, want Retry-After and no-store", r.header)
	}
}

// verify returns the token as the gate of this process sees it.
func (w *world) verify(r response) *tokens.Token {
	w.t.Helper()
	if r.status != http.StatusOK {
		w.t.Fatalf("got %v, want a token", r)
	}
	token, err := w.verifier.Verify(context.Background(), r.fields.AccessToken, w.clock())
	if err != nil {
		w.t.Fatalf("%v gave a token that is refused: %v", r, err)
	}
	return token
}

// wantLive wants the gate to accept the access token of an answer, or to refuse it.
func (w *world) wantLive(live bool, r response) {
	w.t.Helper()
	token := w.verify(r)
	if got := token.Identity().Ended == nil && !token.Identity().Expired(w.clock()); got != live {
		w.t.Errorf("the token is accepted: %t (%v), want %t", got, token.Identity().Ended, live)
	}
}

// caller is a client as its owner knows it.
type caller struct {
	*world
	id     string
	secret tokens.Secret
}

// caller makes a client of that alias; refreshing gives it refresh tokens.
func (w *world) caller(name string, change ...func(*tokens.Client)) caller {
	w.t.Helper()
	client, secret := w.create(name, func(c *tokens.Client) {
		for _, f := range change {
			f(c)
		}
	})
	return caller{w, client.ID, secret}
}

func refreshing(c *tokens.Client) { c.Refresh = true }

func formatted(f tokens.Format) func(*tokens.Client) {
	return func(c *tokens.Client) { c.Format = f }
}

func scoped(scopes ...string) func(*tokens.Client) {
	return func(c *tokens.Client) { c.Scopes = scopes }
}

// ask sends a form with the caller's credentials.
func (c caller) ask(path string, pairs ...string) response {
	return c.do(withTarget(formRequest(pairs...), path).basic(c.id, c.secret))
}

// token asks for tokens by client_credentials and must get them.
func (c caller) token(pairs ...string) response {
	c.t.Helper()
	r := c.ask(pathOAuth2Token, append(pairs, "grant_type", "client_credentials")...)
	if r.status != http.StatusOK {
		c.t.Fatalf("got %v, want a token", r)
	}
	return r
}

// refresh uses the refresh token of an answer.
func (c caller) refresh(r response, pairs ...string) response {
	return c.refreshWith(r.fields.RefreshToken, pairs...)
}

func (c caller) refreshWith(token string, pairs ...string) response {
	return c.ask(pathOAuth2Token, append(pairs, "grant_type", "refresh_token", "refresh_token", token)...)
}

// refreshed is refresh that must succeed.
func (c caller) refreshed(r response, pairs ...string) response {
	c.t.Helper()
	next := c.refresh(r, pairs...)
	if next.status != http.StatusOK || next.fields.RefreshToken == "" {
		c.t.Fatalf("got %v, want a new pair", next)
	}
	return next
}

func (c caller) revoke(token string, pairs ...string) response {
	return c.ask(pathRevoke, append(pairs, "token", token)...)
}

// revoked is revoke that must be answered with 200.
func (c caller) revoked(token string, pairs ...string) {
	c.t.Helper()
	if r := c.revoke(token, pairs...); r.status != http.StatusOK || r.body != "" {
		c.t.Errorf("got %v, want 200 without a body", r)
	}
}

func (c caller) introspect(token string, pairs ...string) response {
	return c.ask(pathIntrospect, append(pairs, "token", token)...)
}

// wantActive wants a token to be active or not, and nothing said about one that is
// not.
func (c caller) wantActive(active bool, token string) {
	c.t.Helper()
	const inactive = `{"active":false}`
	if r := c.introspect(token); r.status != http.StatusOK || active != strings.HasPrefix(r.body, `{"active":true,`) || !active && r.body != inactive {
		c.t.Errorf("got %v, want active to be %t", r, active)
	}
}
