package endpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

const (
	pathKeySet   = "/.well-known/jwks.json"
	pathMetadata = "/.well-known/oauth-authorization-server"
)

// keySet serves the keys that verify our tokens (RFC 7517).
func (e *endpoint) keySet(*http.Request, *Event) (answer, error) {
	doc := e.Keys.Document()
	if doc == nil {
		return answer{}, errors.New("there is no key set yet")
	}
	return answer{status: http.StatusOK, body: doc, public: true}, nil
}

// authMethods are how clients prove who they are, at all endpoints (RFC 6749
// section 2.3.1).
var authMethods = []string{"client_secret_basic", "client_secret_post"}

// metadata describes this server (RFC 8414 section 2).
func (e *endpoint) metadata(*http.Request, *Event) (answer, error) {
	issuer := e.Keys.Issuer()
	base := strings.TrimSuffix(issuer, "/")
	doc, err := json.Marshal(struct {
		Issuer        string   `json:"issuer"`
		TokenEndpoint string   `json:"token_endpoint"`
		KeySet        string   `json:"jwks_uri"`
		GrantTypes    []string `json:"grant_types_supported"`
		ResponseTypes []string `json:"response_types_supported"` // required; no authorization endpoint, so none
		AuthMethods   []string `json:"token_endpoint_auth_methods_supported"`
		Revocation    string   `json:"revocation_endpoint"`
		RevokeAuth    []string `json:"revocation_endpoint_auth_methods_supported"`
		Introspection string   `json:"introspection_endpoint"`
		InspectAuth   []string `json:"introspection_endpoint_auth_methods_supported"`
	}{
		issuer, base + pathOAuth2Token, base + pathKeySet,
		[]string{grantClientCredentials, grantRefreshToken}, []string{}, authMethods,
		base + pathRevoke, authMethods, base + pathIntrospect, authMethods,
	})
	if err != nil {
		return answer{}, fmt.Errorf("write the metadata: %w", err)
	}
	return answer{status: http.StatusOK, body: doc, public: true}, nil
}
