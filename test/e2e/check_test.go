package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// checker asks the Check service as Envoy does, without Envoy between.
type checker struct{ authv3.AuthorizationClient }

func (s *stack) checker() checker {
	s.t.Helper()
	conn, err := grpc.NewClient(s.check, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return checker{authv3.NewAuthorizationClient(conn)}
}

// code is the R-code of GET /v1/free with that token, empty when it is allowed. It
// may be called from any goroutine.
func (c checker) code(ctx context.Context, bearer string) (string, error) {
	return c.codeAt(ctx, "/v1/free", bearer)
}

// codeAt is code for GET of another path.
func (c checker) codeAt(ctx context.Context, path, bearer string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	resp, err := c.Check(ctx, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
			SocketAddress: &corev3.SocketAddress{Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 40000}},
		}}},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: http.MethodGet, Host: "api.example.com", Path: path, Headers: map[string]string{"authorization": "Bearer " + bearer},
		}},
	}})
	if err != nil {
		return "", err
	}
	for _, h := range resp.GetDeniedResponse().GetHeaders() {
		if h.GetHeader().GetKey() == "x-tollgate-code" {
			return h.GetHeader().GetValue(), nil
		}
	}
	if resp.GetOkResponse() == nil {
		return "neither allowed nor refused", nil
	}
	return "", nil
}

// must is code for the test's own goroutine.
func (c checker) must(s *stack, bearer string) string {
	s.t.Helper()
	code, err := c.code(s.t.Context(), bearer)
	if err != nil {
		s.t.Fatal(err)
	}
	return code
}

// issued is what the token endpoint answered.
type issued struct {
	Status      int    `json:"-"`
	RetryAfter  string `json:"-"`
	Body        string `json:"-"`
	Access      string `json:"access_token"`
	Refresh     string `json:"refresh_token"`
	Type        string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
	Error       string `json:"error"`
	Description string `json:"error_description"`
	Code        string `json:"code"`
	Active      bool   `json:"active"`
}

// form sends a form to the HTTP service directly; connections stay open. It may be
// called from any goroutine.
func (s *stack) form(ctx context.Context, path string, c credential, values ...string) (issued, error) {
	body := url.Values{}
	for i := 0; i < len(values); i += 2 {
		body.Set(values[i], values[i+1])
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.http+path, strings.NewReader(body.Encode()))
	if err != nil {
		return issued{}, err
	}
	req.SetBasicAuth(c.ID, c.Secret)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	a, err := s.direct.try(req)
	if err != nil {
		return issued{}, err
	}
	i := issued{Status: a.status, RetryAfter: a.header.Get("retry-after"), Body: a.body}
	if a.body != "" {
		err = json.Unmarshal([]byte(a.body), &i)
	}
	return i, err
}

// grant asks for tokens; refresh for the next pair.
func (s *stack) grant(ctx context.Context, c credential) (issued, error) {
	return s.form(ctx, "/oauth2/token", c, "grant_type", "client_credentials")
}

func (s *stack) refresh(ctx context.Context, c credential, token string) (issued, error) {
	return s.form(ctx, "/oauth2/token", c, "grant_type", "refresh_token", "refresh_token", token)
}

func (s *stack) revoke(ctx context.Context, c credential, token string) (issued, error) {
	return s.form(ctx, "/oauth2/revoke", c, "token", token)
}

// answered is for the test's own goroutine: the answer must have that status.
func (s *stack) answered(status int) func(i issued, err error) issued {
	return func(i issued, err error) issued {
		s.t.Helper()
		if err != nil || i.Status != status {
			s.t.Fatalf("the HTTP service answered %d %s, %v; want %d", i.Status, i.Body, err, status)
		}
		return i
	}
}

// endsWithin holds every request that begins later than limit after this call to that
// R-code, and returns after the first that has it.
func (s *stack) endsWithin(limit time.Duration, what, want string, code func() string) {
	s.t.Helper()
	for from := time.Now(); ; {
		began := time.Since(from)
		got := code()
		switch {
		case got == want:
			s.t.Logf("%s: %q for requests that begin from %s on", what, want, began.Round(time.Millisecond))
			return
		case began > limit:
			s.t.Errorf("%s: a request that began %s after it got %q, want %q", what, began.Round(time.Millisecond), got, want)
			return
		}
	}
}

// follows is how soon serve must follow the command line (contract section 1).
const follows = 200 * time.Millisecond

// percentiles writes the figures of a series for the log of the test.
func percentiles(list []time.Duration) string {
	if len(list) == 0 {
		return "none"
	}
	slices.Sort(list)
	at := func(share int) time.Duration { return list[(len(list)-1)*share/100].Round(10 * time.Microsecond) }
	return "p50 " + at(50).String() + ", p99 " + at(99).String() + ", most " + at(100).String()
}
