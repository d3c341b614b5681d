package authz

import (
	"iter"
	"net/url"
	"slices"
	"strings"

	"github.com/tollgate-authz/tollgate/authz/deny"
	"github.com/tollgate-authz/tollgate/tokens"
)

// KeySource is where API keys are sent. Either may be empty.
type KeySource struct {
	Header string // name, in lower case
	Query  string // name of a query parameter, as it is sent
}

// accepted is which credentials an API takes, or all APIs of a host.
type accepted struct {
	bearer bool
	keys   []KeySource
}

func newAccepted(api *API) (a accepted) {
	a.add(api)
	return a
}

func (a *accepted) add(api *API) {
	if api.Open {
		return
	}
	a.bearer = a.bearer || !api.KeysOnly
	if api.Keys != (KeySource{}) && !slices.Contains(a.keys, api.Keys) {
		a.keys = append(a.keys, api.Keys)
	}
}

// takes says which credentials are accepted: the route's API decides, where there is
// none any API of the host.
func (m *match) takes() *accepted {
	switch {
	case m.route != nil:
		return &m.route.API.takes
	case m.host != nil:
		return &m.host.takes
	}
	return nil
}

var (
	errNoToken    = deny.InvalidToken.Because("no bearer token was sent")
	errNoKey      = deny.InvalidToken.Because("no API key was sent, and only those are accepted here")
	errManyTokens = deny.InvalidToken.Because("more than one Authorization header was sent")
	errManyKeys   = deny.InvalidToken.Because("more than one API key was sent")
	errBoth       = deny.InvalidToken.Because("a bearer token and an API key were sent together")
)

// findCredential takes the one credential that was sent. Of two the caller could mean
// one and an upstream believe the other.
func findCredential(c *check) error {
	var takes accepted
	if t := c.match.takes(); t != nil {
		takes = *t
	}
	keys := 0
	for i := range takes.keys {
		keys += c.takeKey(&takes.keys[i])
	}
	bearer, sent := c.Request.bearer()
	c.TokenSent = sent || keys > 0
	switch {
	case c.Authorizations > 1:
		c.TokenSent = true
		return errManyTokens
	case sent && keys > 0:
		return errBoth
	case keys > 1:
		return errManyKeys
	case keys == 1:
		return nil
	case c.KeysOnly:
		return errNoKey
	case !sent:
		return errNoToken
	}
	c.bearer = bearer
	return nil
}

// takeKey takes the API key that was sent to a source and returns how many there were.
func (c *check) takeKey(source *KeySource) (n int) {
	for i := range c.APIKeys {
		// An empty one is a form that was not filled in.
		if h := &c.APIKeys[i]; source.Header != "" && h.Name == source.Header && h.Value != "" {
			c.apiKey = h.Value
			n++
		}
	}
	if source.Query == "" {
		return n
	}
	for value := range c.queryValues(source.Query) {
		if value != "" {
			c.apiKey = value
			n++
		}
	}
	return n
}

// hidden is in place of an API key whose parameter is spelled with escapes. Nobody
// does that by chance, and Envoy would not take it out.
const hidden = "?"

// queryValues yields the values of a query parameter, as they were sent: neither
// keys nor the names of their parameters have a character that anybody would escape.
func (r *Request) queryValues(parameter string) iter.Seq[string] {
	return func(yield func(string) bool) {
		_, query, _ := strings.Cut(r.Path, "?")
		for query != "" {
			var pair string
			pair, query, _ = strings.Cut(query, "&")
			name, value, _ := strings.Cut(pair, "=")
			if name != parameter {
				plain, err := url.QueryUnescape(name)
				if err != nil || plain != parameter {
					continue
				}
				value = hidden
			}
			if !yield(value) {
				return
			}
		}
	}
}

// HasQuery reports whether a query parameter was sent.
func (r *Request) HasQuery(parameter string) bool {
	for range r.queryValues(parameter) {
		return true
	}
	return false
}

// noteMove marks an API as moved to OAuth 2.0 for the account whose bearer token has
// just been allowed there (row I5).
func (g *Gate) noteMove(c *check) {
	api := c.Route.API
	if c.Identity.Environment() != tokens.Production {
		return // what is tried in the sandbox ends nothing in production (row O7)
	}
	if api.Keys == (KeySource{}) || api.KeysOnly || c.apiKey != "" || c.trace != nil || c.Identity.Moved(api.Name) {
		return
	}
	g.moved(tokens.Move{Account: c.Identity.Account(), API: api.Name, Client: c.Identity.ClientID(), At: c.now})
}
