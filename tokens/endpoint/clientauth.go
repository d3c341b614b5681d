package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// grant is one request on its way through the phases.
type grant struct {
	credentials
	dialect  *dialect
	now      time.Time
	settings Settings
	source   netip.Addr
	event    *Event

	named      *tokens.Client // whom the request names; nil: nobody who is known
	client     *tokens.Client // once it has proved who it is
	generation int64          // of the secret that it did it with
	scopes     []string       // of the access token to be issued
	audience   string
	family     *tokens.Family // of the refresh token; nil: there is none

	access tokens.AccessToken
	next   tokens.Secret // refresh token; empty: none

	refund func() // takes back what it was charged; nil: nothing was

	err error
}

func (g *grant) ends(err error) bool {
	g.err = err
	return err != nil
}

// storeTimeout bounds the wait for the store in one request, and the wait for other
// requests of the client before it. A store that waits for a lock notices up to a
// quarter of a second later, and callers are promised an answer within five (bar B15).
const storeTimeout = 4500 * time.Millisecond

var errStoreSlow = fmt.Errorf("the store has not answered for %s; another process may hold its lock", storeTimeout)

// storeContext is that of all calls of Records in one request. It does not end with
// the connection: who has asked for a revocation and hung up wants it all the same.
func storeContext(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(context.WithoutCancel(r.Context()), storeTimeout, errStoreSlow)
}

// authenticateClient is how every request begins that a client makes, in the order
// of contract section 4. Whether the request is well formed was asked before: that
// belongs to the dialect.
func (e *endpoint) authenticateClient(ctx context.Context, g *grant) error {
	switch {
	case g.ends(e.requireFewFailures(ctx, g)): // before secrets are compared, so that a guesser costs little
	case g.ends(e.authenticate(ctx, g)): //  R1; a deleted client is an unknown one
	case g.ends(g.requireActive()): //       R1
	case g.ends(g.requireSource()): //       R4
	}
	return g.err
}

func (e *endpoint) requireFewFailures(ctx context.Context, g *grant) error {
	var err error
	if g.named, err = e.find(ctx, g.id); err != nil {
		return err
	}
	if wait := e.failures.look(g.now, g.source, g.countedAs()); wait > 0 {
		return rateLimited.later(wait, "too many failures from this source")
	}
	return nil
}

// countedAs is the client at which failures count: it is one client whether its ID or
// its alias is sent.
func (g *grant) countedAs() string {
	if g.named != nil {
		return g.named.ID
	}
	return g.id
}

// authenticate compares the secret, in constant time and with the same work
// whether or not there is such a client.
func (e *endpoint) authenticate(ctx context.Context, g *grant) error {
	if g.generation = g.named.Secret(e.Pepper, g.secret, g.now); g.generation == 0 {
		// The client or its secret may have been made a moment ago, elsewhere.
		err := e.Records.Follow(ctx)
		if err != nil {
			return fmt.Errorf("look for a client made elsewhere: %w", err)
		}
		if g.named, err = e.find(ctx, g.id); err != nil {
			return err
		}
		g.generation = g.named.Secret(e.Pepper, g.secret, g.now)
	}
	cause := "unknown client"
	if g.named != nil {
		cause = "wrong secret"
		g.event.Client = g.named.ID
	}
	if g.generation == 0 {
		if wait := e.failures.charge(g.now, g.source, g.countedAs()); wait > 0 {
			return rateLimited.later(wait, "too many failures from this source")
		}
		return invalidClient.because(cause)
	}
	g.client = g.named
	return nil
}

// find returns nil when there is no such client. What cannot be an ID or an alias
// is not looked for.
func (e *endpoint) find(ctx context.Context, id string) (*tokens.Client, error) {
	if len(id) > 128 || strings.ContainsFunc(id, notInName) {
		return nil, nil
	}
	client, err := e.Records.Client(ctx, id)
	if err != nil && !errors.Is(err, tokens.ErrNotFound) {
		return nil, fmt.Errorf("look up a client: %w", err)
	}
	if err != nil {
		return nil, nil
	}
	return client, nil
}

// notInName reports whether no ID and no alias has the character.
func notInName(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_', r == '.':
		return false
	}
	return true
}

func (g *grant) requireActive() error {
	if g.client.Suspended {
		return invalidClient.because("the client is suspended")
	}
	return nil
}

func (g *grant) requireSource() error {
	if !g.client.TrustsSource(g.source) {
		return restricted.because("source outside the trusted addresses")
	}
	return nil
}
