package endpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/tollgate-authz/tollgate/tokens"
)

// dialect is one way to ask for a token: how the request is read and how the
// answers are written. What happens in between is the same for all.
type dialect struct {
	mediaType string
	tokenType string
	refreshes bool // refresh tokens come along, for clients that have them
	read      func(r *http.Request, body []byte) (credentials, error)
	refuse    func(r *http.Request, err error, ev *Event) answer
}

// credentials is what a token request says, in either dialect.
type credentials struct {
	id       string // or an alias
	secret   tokens.Secret
	scope    string // empty: all that the client has
	resource string // RFC 8707; empty: none
	grant    string // grant_type
	refresh  tokens.Secret
	token    tokens.Secret // to be revoked or introspected
}

// token serves the token requests of one dialect.
func (e *endpoint) token(d *dialect) func(*http.Request, *Event) (answer, error) {
	return func(r *http.Request, ev *Event) (answer, error) {
		g, err := e.begin(d, r, ev)
		if err != nil {
			return answer{}, err
		}
		ctx, cancel := storeContext(r)
		defer cancel()
		grant := e.clientCredentials
		if g.grant == grantRefreshToken {
			grant = e.refreshToken
		}
		if err := grant(ctx, g); err != nil {
			if g.refund != nil {
				g.refund()
			}
			return answer{}, err
		}
		return d.answer(g)
	}
}

// begin reads a request that carries client credentials, in a dialect.
func (e *endpoint) begin(d *dialect, r *http.Request, ev *Event) (*grant, error) {
	g := &grant{now: e.Now(), settings: e.Settings(), event: ev, dialect: d}
	g.source = tokens.RequestSource(r, g.settings.TrustedHops)
	if g.source.IsValid() {
		ev.Source = g.source.String()
	}
	body, err := readBody(r, d.mediaType)
	if err != nil {
		return nil, err
	}
	g.credentials, err = d.read(r, body)
	return g, err
}

// readBody reads the body of a token request. Before that it refuses what is no
// token request by its outside: another media type, or parameters in the URL,
// which end up in logs and browser histories (RFC 6749 section 2.3.1).
func readBody(r *http.Request, mediaType string) ([]byte, error) {
	query, err := parseForm(r.URL.RawQuery)
	if err != nil {
		return nil, fault("the query of the URL: %s", err.message)
	}
	for _, name := range parameters {
		if _, sent := query[name]; sent {
			return nil, fault("%s belongs in the body, not in the URL", name)
		}
	}
	if !isMediaType(r.Header["Content-Type"], mediaType) {
		return nil, fault("Content-Type must be %s", mediaType)
	}
	body, readErr := io.ReadAll(r.Body)
	var over *http.MaxBytesError
	switch {
	case errors.As(readErr, &over):
		return nil, tooLarge.because("body too large")
	case readErr != nil:
		return nil, fault("the body did not arrive whole")
	}
	return body, nil
}

// isMediaType compares without case and lets parameters be, but for a charset
// other than UTF-8: nothing else is spoken here.
func isMediaType(headers []string, want string) bool {
	if len(headers) != 1 {
		return false
	}
	got, params, err := mime.ParseMediaType(headers[0])
	charset, named := params["charset"]
	return err == nil && got == want && (!named || strings.EqualFold(charset, "utf-8"))
}

// answer writes the answer to a request that was granted.
func (d *dialect) answer(g *grant) (answer, error) {
	body, err := json.Marshal(struct {
		AccessToken  string `json:"access_token"`
		TokenType    string `json:"token_type"`
		ExpiresIn    int64  `json:"expires_in"`
		Scope        string `json:"scope"`
		RefreshToken string `json:"refresh_token,omitempty"`
	}{g.access.Bearer.Reveal(), d.tokenType, int64(g.access.ExpiresIn.Seconds()), strings.Join(g.scopes, " "), g.next.Reveal()})
	if err != nil {
		return answer{}, fmt.Errorf("write the answer: %w", err)
	}
	return answer{status: http.StatusOK, body: body}, nil
}

// judge turns an error into the row of the table that the caller gets to see,
// and tells the observer the rest. What is no refusal is our own fault.
func judge(err error, ev *Event) *refusal {
	var no *refusal
	if !errors.As(err, &no) {
		no = unavailable.later(retryUnavailable, "own fault")
		ev.Err = err
	}
	ev.Code, ev.Cause = no.code, no.cause
	return no
}

func (no *refusal) answer(status int, body any) answer {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // structs of strings
	}
	return answer{status: status, body: text, allow: no.allow, retryAfter: no.retryAfter}
}
