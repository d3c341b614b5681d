// Package endpoint speaks HTTP to those who come for tokens: /auth/token and
// /oauth2/token, revocation and introspection, the keys that verify what they
// got, and the metadata that says where all of that is (contract section 4).
//
// It owns the two dialects of the token request, the order in which a request is
// judged and the words of every answer. It does not sign (tokens.KeyRing), keep
// records (the stores) or count (package limiter), and it opens no port.
package endpoint

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/tokens"
)

// Records are what is known and kept of clients and their tokens. What a call has
// changed holds at the gate of this process once the call has returned.
//
// Errors are those of package tokens, such as ErrNotFound, where a method names
// them; any other is our own fault and answered with 503.
type Records interface {
	// Follow learns what others have stored. What they stored before the call is known
	// after it, here and at the gate of this process.
	Follow(ctx context.Context) error
	// Client returns the client of that ID or alias as far as it is known: ErrNotFound.
	Client(ctx context.Context, idOrAlias string) (*tokens.Client, error)
	// AddTokens stores what of newly issued tokens must be known; either may be nil.
	AddTokens(ctx context.Context, f *tokens.Family, g *tokens.Grant) error
	// Family returns the family of a refresh token: ErrNotFound.
	Family(ctx context.Context, id string) (*tokens.Family, error)
	// RotateFamily puts the next refresh token in force: ErrSpent, ErrEnded.
	RotateFamily(ctx context.Context, next *tokens.Family, g *tokens.Grant) error
	// EditToken changes a recorded token and its family in one step, see sqlite.DB.
	EditToken(ctx context.Context, id string, edit func(*tokens.Holding) error) (*tokens.Holding, error)
	// EndFamily ends a refresh token with all access tokens beside it.
	EndFamily(ctx context.Context, id string) error
	// RevokeToken ends one access token.
	RevokeToken(ctx context.Context, g *tokens.Grant) error
}

// Settings is what an operator may change while the endpoint runs.
type Settings struct {
	Audience             string   // tokens.audience: the aud of tokens without a resource
	APIAudiences         []string // of the configured APIs; what resource may name beside Audience
	AccessTTL            time.Duration
	RefreshTTL           time.Duration // a refresh token expires when it is not used for so long
	RefreshMaxTTL        time.Duration // a family ends then, however often it is used
	Format               tokens.Format // of clients that have none of their own
	GenerationsPerMinute int64         // successful requests of one client (row I4); 0: no limit
	TrustedHops          int           // client_ip.http_trusted_hops
}

// Config is what New needs.
type Config struct {
	Records Records
	Pepper  *tokens.Pepper
	Keys    *tokens.KeyRing  // signs; while it has no key, answers that need one are 503
	Tokens  *tokens.Verifier // knows tokens that come back
	Random  io.Reader        // nil: crypto/rand
	// Limits counts generations. Only clients that have proved who they are get an
	// entry in it.
	Limits *limiter.Table
	// Failures counts failed authentications. Strangers fill it, so it must not be
	// the table that anything else is counted in.
	Failures *limiter.Table
	Days     Days // nil: token requests do not count in any day
	Settings func() Settings
	Now      func() time.Time // nil: time.Now
	Observe  func(Event)      // nil: nobody does
}

// Event is what happened to one request, for metrics and the log. Nothing in it
// is secret, and nothing in it was written by the caller.
type Event struct {
	Endpoint string // the path, or "other": fit for a metric's label
	Status   int
	Code     string // "ok" or the R-code
	Cause    string // why a request was refused, in fixed words
	Client   string // ID of the client, once it is known to exist
	Source   string // address that a token request came from; empty when unknown
	Duration time.Duration
	Err      error // our own fault
}

type endpoint struct {
	Config
	routes    map[string]route
	failures  failures
	rotations rotations
	turns     turns
	plan      atomic.Pointer[limiter.Plan] // of the generations, made for the settings seen last
}

// route is one path: the one method that it takes, and the dialect of its errors.
type route struct {
	method  string
	dialect *dialect
	serve   func(r *http.Request, ev *Event) (answer, error)
}

// New makes the handler of all paths of this package.
func New(c Config) (http.Handler, error) {
	for name, missing := range map[string]bool{
		"Records": c.Records == nil, "Pepper": c.Pepper == nil, "Keys": c.Keys == nil, "Tokens": c.Tokens == nil,
		"Limits": c.Limits == nil, "Failures": c.Failures == nil, "Settings": c.Settings == nil,
	} {
		if missing {
			return nil, fmt.Errorf("token endpoint: %s is not set", name)
		}
	}
	if c.Limits == c.Failures {
		return nil, errors.New("token endpoint: Failures is the table of Limits: strangers could fill it and stop every client")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Observe == nil {
		c.Observe = func(Event) {}
	}
	e := &endpoint{Config: c}
	var err error
	if e.failures, err = newFailures(c.Failures); err != nil {
		return nil, fmt.Errorf("token endpoint: %w", err)
	}
	e.routes = map[string]route{
		pathAuthToken:   {http.MethodPost, authToken, e.token(authToken)},
		pathOAuth2Token: {http.MethodPost, oauth2Token, e.token(oauth2Token)},
		pathRevoke:      {http.MethodPost, oauth2Token, e.revoke},
		pathIntrospect:  {http.MethodPost, oauth2Token, e.introspect},
		pathKeySet:      {http.MethodGet, authToken, e.keySet},
		pathMetadata:    {http.MethodGet, authToken, e.metadata},
	}
	return e, nil
}

// maxBody is far beyond any token request.
const maxBody = 64 << 10

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := e.Now()
	// The path as it was sent: a spelling with escapes could walk past the rules of
	// a proxy in front that did not decode it.
	path := r.URL.EscapedPath()
	ev := Event{Endpoint: path, Code: "ok"}
	rt, known := e.routes[path]
	if !known {
		ev.Endpoint, rt.dialect = "other", authToken
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	a, err := e.serve(rt, r, &ev)
	if err != nil {
		a = rt.dialect.refuse(r, err, &ev)
	}
	ev.Status = a.status
	a.write(w, r)
	ev.Duration = e.Now().Sub(start)
	e.Observe(ev)
}

// serve answers with 503 where the code below panics.
func (e *endpoint) serve(rt route, r *http.Request, ev *Event) (a answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	switch {
	case rt.serve == nil:
		return a, notFound.because("no such path")
	case r.Method != rt.method && (rt.method != http.MethodGet || r.Method != http.MethodHead):
		no := methodNotAllowed.because("method not allowed")
		no.allow = rt.method
		if rt.method == http.MethodGet {
			no.allow = "GET, HEAD"
		}
		return a, no
	}
	return rt.serve(r, ev)
}
