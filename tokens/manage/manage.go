// Package manage is the management API (contract section 5): what administrators and
// developers do with tokens, clients, API keys, accounts and users over HTTP, and what
// they may know of the traffic.
//
// It owns the operations, who may use them, the words of every answer and the OpenAPI
// file, which the library huma makes from the Go types. It does not sign (package
// tokens), keep records (the stores), count (packages limiter and quota) or decide
// about requests (package authz), and it opens no port.
package manage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/tollgate-authz/tollgate/authz/decisions"
	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/tokens"
)

// Config is what New needs.
type Config struct {
	Store     Store
	Clients   Clients
	Secrets   Secrets
	APIKeys   APIKeys
	Accounts  Accounts
	Users     Users
	Registry  *tokens.Registry
	Tokens    *tokens.Verifier
	Minter    *tokens.Minter
	Limits    *limiter.Table // counts generations of tokens; callers have proved who they are
	Usage     Usage
	Purse     Purse
	Reports   Reports
	Decisions *decisions.Ring
	Settings  func() Settings
	Now       func() time.Time // nil: time.Now
	Observe   func(Event)      // nil: nobody does
	Version   string           // of the program, for the OpenAPI file
}

// Settings is what an operator may change while the API runs.
type Settings struct {
	tokens.Issuance
	Issuer               string
	GenerationsPerMinute int64 // tokens that one caller may make (row I4); 0: no limit
	TrustedHops          int   // client_ip.http_trusted_hops
	Currency             string
	Plans                []Plan
	KeyAPIs              []string // names of APIs that take API keys
	Routes               []Route
}

// Event is what happened to one request, for metrics and the log. Nothing in it is
// secret.
type Event struct {
	Operation string // its ID in the OpenAPI file, or "other": fit for a metric's label
	Status    int
	Client    string // ID of the caller's client, once it is known
	Account   string
	Cause     string // why it was refused, in fixed words
	Source    string // address of the caller; empty when unknown
	Duration  time.Duration
	Err       error // our own fault
}

// api is the handler of all operations.
type api struct {
	Config
	mux    *http.ServeMux
	routes map[string]bool // paths below which the API owns everything
	shapes map[string]*shape
	turn   chan struct{} // one maker of tokens at a time: what a limit said stays true until it is stored
	plan   generations
	file   []byte // the OpenAPI file

	followers atomic.Int32
}

// Handler is the API, and what it owns.
type Handler struct{ *api }

// New makes the handler of all paths of this package.
func New(c Config) (*Handler, error) {
	for name, missing := range map[string]bool{
		"Store": c.Store == nil, "Clients": c.Clients == nil, "Secrets": c.Secrets == nil, "APIKeys": c.APIKeys == nil,
		"Accounts": c.Accounts == nil, "Users": c.Users == nil, "Registry": c.Registry == nil, "Tokens": c.Tokens == nil, "Minter": c.Minter == nil,
		"Limits": c.Limits == nil, "Usage": c.Usage == nil, "Purse": c.Purse == nil, "Reports": c.Reports == nil, "Decisions": c.Decisions == nil, "Settings": c.Settings == nil,
	} {
		if missing {
			return nil, fmt.Errorf("management API: %s is not set", name)
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Observe == nil {
		c.Observe = func(Event) {}
	}
	a := &api{Config: c, mux: http.NewServeMux(), routes: map[string]bool{}, shapes: map[string]*shape{}, turn: make(chan struct{}, 1)}
	if err := a.register(); err != nil {
		return nil, fmt.Errorf("management API: %w", err)
	}
	return &Handler{a}, nil
}

// Store is where the records are.
//
// Errors are those of package tokens, such as ErrNotFound; any other is our own fault
// and answered with 503.
type Store interface {
	Token(ctx context.Context, id string) (*tokens.Holding, error)
	TokensPage(ctx context.Context, account, client string, after tokens.Position, limit int) ([]*tokens.Grant, error)
	AddTokens(ctx context.Context, f *tokens.Family, g *tokens.Grant) error
	EditToken(ctx context.Context, id string, edit func(*tokens.Holding) error) (*tokens.Holding, error)
}

// storeTimeout bounds the wait for the store in one request: callers are promised an
// answer within five seconds (bar B15).
const storeTimeout = 4500 * time.Millisecond

var errStoreSlow = fmt.Errorf("the store has not answered for %s; another process may hold its lock", storeTimeout)

// follow has the registry learn what was just stored, so that it holds for the next
// Check. It is stored: should that fail, the registry learns of it by itself.
func (a *api) follow(ctx context.Context) { _ = a.Registry.Refresh(ctx, a.Now()) }

var errTurn = errors.New("too many tokens are being made at once")

// takeTurn waits until no other request makes tokens.
func (a *api) takeTurn(ctx context.Context) (done func(), err error) {
	select {
	case a.turn <- struct{}{}:
		return func() { <-a.turn }, nil
	case <-ctx.Done():
		return nil, errors.Join(errTurn, context.Cause(ctx))
	}
}
