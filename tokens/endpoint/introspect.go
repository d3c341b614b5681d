package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

const pathIntrospect = "/oauth2/introspect"

// scopeIntrospect lets a client ask about tokens that are not its own.
const scopeIntrospect = "tollgate:introspect"

// introspection is the answer of RFC 7662 section 2.2. Of a token that is not
// active nothing else is said.
type introspection struct {
	Active    bool      `json:"active"`
	Scope     string    `json:"scope,omitempty"`
	ClientID  string    `json:"client_id,omitempty"`
	TokenType string    `json:"token_type,omitempty"`
	Expires   int64     `json:"exp,omitempty"`
	IssuedAt  int64     `json:"iat,omitempty"`
	Subject   string    `json:"sub,omitempty"`
	Audience  oneOrMany `json:"aud,omitempty"`
	Issuer    string    `json:"iss,omitempty"`
	ID        string    `json:"jti,omitempty"`
}

// oneOrMany is how most write an audience: one as a string.
type oneOrMany []string

func (a oneOrMany) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// introspect answers RFC 7662 for tokens of the client that asks, or of anybody when
// the client has the scope for it.
func (e *endpoint) introspect(r *http.Request, ev *Event) (answer, error) {
	g, err := e.begin(oauth2Token, r, ev)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := storeContext(r)
	defer cancel()
	if err := e.authenticateClient(ctx, g); err != nil {
		return answer{}, err
	}
	said, err := e.introspectToken(ctx, g)
	if err != nil {
		return answer{}, err
	}
	if !said.Active || said.ClientID != g.client.ID && !slices.Contains(g.client.Scopes, scopeIntrospect) {
		said = introspection{}
	}
	body, err := json.Marshal(said)
	if err != nil {
		return answer{}, fmt.Errorf("write the answer: %w", err)
	}
	return answer{status: http.StatusOK, body: body}, nil
}

func (e *endpoint) introspectToken(ctx context.Context, g *grant) (introspection, error) {
	if id, counter, ours := e.Pepper.ReadRefreshToken(g.token); ours {
		return e.introspectRefresh(ctx, g, id, counter)
	}
	t, err := e.verifyOwn(ctx, g)
	if errors.Is(err, tokens.ErrInvalid) && slices.Contains(g.client.Scopes, scopeIntrospect) {
		t, err = e.Tokens.Verify(ctx, g.token.Reveal(), g.now)
	}
	if err != nil {
		if errors.Is(err, tokens.ErrInvalid) {
			return introspection{}, nil
		}
		return introspection{}, fmt.Errorf("introspect a token: %w", err)
	}
	id := t.Identity()
	if id.EndedBy(g.now) != nil || id.Expired(g.now) {
		return introspection{}, nil
	}
	return introspection{
		Active: true, Scope: id.ScopeList, ClientID: id.ClientID(), TokenType: "Bearer", Expires: unix(id.Expires()), IssuedAt: unix(t.Issued),
		Subject: t.Subject, Audience: t.Audience, Issuer: id.Issuer(), ID: t.JTI(),
	}, nil
}

func (e *endpoint) introspectRefresh(ctx context.Context, g *grant, family string, counter uint32) (introspection, error) {
	f, err := e.Records.Family(ctx, family)
	if errors.Is(err, tokens.ErrNotFound) {
		return introspection{}, nil
	}
	if err != nil {
		return introspection{}, fmt.Errorf("look up a refresh token: %w", err)
	}
	client, err := e.find(ctx, f.Client)
	if err != nil {
		return introspection{}, err
	}
	if client == nil || client.Suspended || f.Generation <= client.Ended || counter != f.Counter || !f.Live(g.now) {
		return introspection{}, nil
	}
	return introspection{
		Active: true, Scope: strings.Join(scopesLeft(f, client), " "), ClientID: f.Client, Expires: unix(f.Expires()), IssuedAt: unix(f.RotatedAt),
		Subject: f.Client, Audience: oneOrMany{f.Audience}, Issuer: e.Keys.Issuer(),
	}, nil
}

// unix is 0, which is left out, for no time.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
