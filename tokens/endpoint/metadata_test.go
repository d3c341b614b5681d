package endpoint

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/tollgate-authz/tollgate/tokens"
)

// TestMetadataIsTrue goes by what the document says alone (RFC 8414), as a client
// does that knows no more than the issuer.
func TestMetadataIsTrue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	c := w.caller("app", refreshing)
	var doc struct {
		Issuer        string
		TokenEndpoint string   `json:"token_endpoint"`
		KeySet        string   `json:"jwks_uri"`
		Grants        []string `json:"grant_types_supported"`
		Responses     []string `json:"response_types_supported"`
		TokenAuth     []string `json:"token_endpoint_auth_methods_supported"`
		Revocation    string   `json:"revocation_endpoint"`
		RevokeAuth    []string `json:"revocation_endpoint_auth_methods_supported"`
		Introspection string   `json:"introspection_endpoint"`
		InspectAuth   []string `json:"introspection_endpoint_auth_methods_supported"`
	}
	res := w.do(request{method: "GET", target: pathMetadata})
	decoder := json.NewDecoder(strings.NewReader(res.body))
	decoder.DisallowUnknownFields() // what is said and not tested may not be true
	w.must(decoder.Decode(&doc))
	if doc.Issuer != issuerURL || doc.Responses == nil || len(doc.Responses) != 0 {
		t.Errorf("issuer %q, response types %q", doc.Issuer, doc.Responses)
	}
	path := func(endpoint string) string {
		path, ours := strings.CutPrefix(endpoint, issuerURL)
		if u, err := url.Parse(endpoint); err != nil || !ours || u.RawQuery != "" {
			t.Errorf("endpoint %q", endpoint)
		}
		return path
	}
	ask := func(method, endpoint string, pairs ...string) response {
		q := formRequest(pairs...)
		switch method {
		case "client_secret_basic":
			q = q.basic(c.id, c.secret)
		case "client_secret_post":
			q = formRequest(append(pairs, "client_id", c.id, "client_secret", c.secret.Reveal())...)
		default:
			t.Errorf("method %q", method)
		}
		return w.do(withTarget(q, path(endpoint)))
	}
	if !slices.Equal(doc.Grants, []string{"client_credentials", "refresh_token"}) {
		t.Errorf("grants %q", doc.Grants)
	}
	for _, methods := range [][]string{doc.TokenAuth, doc.RevokeAuth, doc.InspectAuth} {
		if len(methods) != 2 {
			t.Errorf("methods %q", methods)
		}
	}
	for i, method := range doc.TokenAuth {
		r := ask(method, doc.TokenEndpoint, "grant_type", "client_credentials")
		r = ask(method, doc.TokenEndpoint, "grant_type", "refresh_token", "refresh_token", r.fields.RefreshToken)
		r.want(t, 200, "")
		if got := ask(doc.InspectAuth[i], doc.Introspection, "token", r.fields.AccessToken); !strings.HasPrefix(got.body, `{"active":true`) {
			t.Errorf("%s: introspection answers %v", method, got)
		}
		w.verifyPublished(path(doc.KeySet), r)
		if got := ask(doc.RevokeAuth[i], doc.Revocation, "token", r.fields.AccessToken); got.status != http.StatusOK {
			t.Errorf("%s: revocation answers %v", method, got)
		}
		w.wantLive(false, r)
	}
	if other := w.do(formRequest("grant_type", "password").basic(c.id, c.secret)); other.fields.Error != "unsupported_grant_type" {
		t.Errorf("a grant that is not named: %v", other)
	}
}

// verifyPublished verifies a token with the published keys, as a resource server does
// that knows nothing else of us.
func (w *world) verifyPublished(path string, r response) {
	w.t.Helper()
	keySet := w.do(request{method: "GET", target: path})
	keys, err := tokens.ParseKeySet([]byte(keySet.body))
	w.must(err)
	elsewhere := tokens.NewVerifier(w.registry, nil)
	elsewhere.Trust([]*tokens.Trust{{
		Issuer: issuerURL, Keys: tokens.FixedKeys(keys), Algorithms: []string{"ES256"}, Types: []string{"at+jwt"}, Leeway: tokens.Leeway, Own: true,
	}})
	if _, err := elsewhere.Verify(w.t.Context(), r.fields.AccessToken, w.clock()); err != nil {
		w.t.Errorf("the published keys do not verify %v: %v", r, err)
	}
}

// TestMetadataOfAPath: an issuer whose URL has a path or a slash at its end.
func TestMetadataOfAPath(t *testing.T) {
	t.Parallel()
	for issuer, endpoint := range map[string]string{
		"https://a.example/":     "https://a.example/oauth2/token",
		"https://a.example/auth": "https://a.example/auth/oauth2/token",
	} {
		w := newWorld(t, func(c *Config) { c.Keys = tokens.NewKeyRing(issuer, nil, c.Now) })
		res := w.do(request{method: "GET", target: pathMetadata})
		if !strings.Contains(res.body, `"issuer":"`+issuer+`"`) || !strings.Contains(res.body, `"token_endpoint":"`+endpoint+`"`) {
			t.Errorf("%s: got %v", issuer, res)
		}
	}
}
