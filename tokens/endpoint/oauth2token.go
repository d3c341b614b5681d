package endpoint

import (
	"net/http"

	"github.com/tollgate-authz/tollgate/tokens"
)

const pathOAuth2Token = "/oauth2/token"

// oauth2Token is the form dialect of RFC 6749 and row D3.
var oauth2Token = &dialect{mediaType: "application/x-www-form-urlencoded", tokenType: "bearer", refreshes: true, read: readOAuth2Token, refuse: refuseOAuth2Token}

// parameters are the names of token requests that must never stand in a URL, and
// that may be told back to the caller.
var parameters = []string{
	"grant_type", "client_id", "client_secret", "scope", "resource", "refresh_token", "access_token", "token",
	"client_assertion", "client_assertion_type", "assertion", "code", "username", "password",
}

func readOAuth2Token(r *http.Request, body []byte) (credentials, error) {
	form, err := parseForm(string(body))
	if err != nil {
		return credentials{}, err
	}
	c := credentials{
		id: form["client_id"], secret: tokens.Secret(form["client_secret"]), scope: form["scope"], resource: form["resource"],
		grant: form["grant_type"], refresh: tokens.Secret(form["refresh_token"]), token: tokens.Secret(form["token"]),
	}
	if r.URL.Path != pathOAuth2Token {
		if c.token == "" {
			return c, fault("token is missing")
		}
		return c.withHeader(r.Header["Authorization"])
	}
	switch c.grant {
	case grantClientCredentials:
	case grantRefreshToken:
		if c.refresh == "" {
			return c, fault("refresh_token is missing")
		}
	case "":
		return c, fault("grant_type is missing")
	default:
		return c, unsupportedGrant.because("unsupported grant type")
	}
	return c.withHeader(r.Header["Authorization"])
}

// The grants (RFC 6749 sections 4.4 and 6).
const (
	grantClientCredentials = "client_credentials"
	grantRefreshToken      = "refresh_token"
)

// withHeader takes the credentials from the Authorization header, if there is
// one. A client must not use two methods at once (RFC 6749 section 2.3): of two
// answers to the question who it is, a proxy in front may have read the other.
// Only the client_id may be there twice, as long as it is the same.
func (c credentials) withHeader(headers []string) (credentials, error) {
	switch {
	case len(headers) > 1:
		return c, fault("the Authorization header is sent more than once")
	case len(headers) == 0 && (c.id == "" || c.secret == ""):
		return c, invalidClient.because("no credentials")
	case len(headers) == 0:
		return c, nil
	case c.secret != "":
		return c, fault("client_secret must not be sent beside an Authorization header")
	}
	encoded, basic := cutBasic(headers[0])
	if !basic { // "unsupported authentication method", RFC 6749 section 5.2
		return c, invalidClient.because("unsupported authentication scheme")
	}
	id, secret, ok := parseBasic(encoded)
	switch {
	case !ok:
		return c, fault("the Authorization header must be Basic with the base64 of client_id:client_secret")
	case c.id != "" && c.id != id:
		return c, fault("client_id is not the one in the Authorization header")
	}
	c.id, c.secret = id, secret
	return c, nil
}

// refuseOAuth2Token writes errors as RFC 6749 section 5.2 has them, with code and
// message beside.
func refuseOAuth2Token(r *http.Request, err error, ev *Event) answer {
	no := judge(err, ev)
	if no.detail == "" {
		no.detail = no.message
	}
	a := no.answer(no.status, struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
		Code        string `json:"code"`
		Message     string `json:"message"`
	}{no.oauth, no.detail, no.code, no.message})
	// Only who used the header is asked for it: in a browser the challenge would
	// open a dialog for a password.
	if no.status == http.StatusUnauthorized && len(r.Header["Authorization"]) > 0 {
		a.challenge = `Basic realm="tollgate"`
	}
	return a
}
