package endpoint

import (
	"errors"
	"net/http"

	"github.com/tollgate-authz/tollgate/tokens"
	"github.com/tollgate-authz/tollgate/tokens/strictjson"
)

const pathAuthToken = "/auth/token"

// authToken is the JSON dialect of rows I6 and I7. Its errors are the R-code
// bodies that the gateway uses too, and those of every path that has no dialect
// of its own.
var authToken = &dialect{mediaType: "application/json", tokenType: "Bearer", read: readAuthToken, refuse: refuseAuthToken}

// maxDepth of a body in which nothing has to nest.
const maxDepth = 8

// readAuthToken reads {"client_id": …, "client_secret": …, "scope": …}. Other
// members are ignored, and so is an Authorization header: HTTP libraries like to
// send an old token along.
func readAuthToken(_ *http.Request, body []byte) (credentials, error) {
	doc, err := strictjson.Parse(body, maxDepth)
	if err != nil {
		var syntax *strictjson.SyntaxError
		if errors.As(err, &syntax) { // its reasons are fixed words
			return credentials{}, fault("the body is not valid JSON: %s", syntax)
		}
		return credentials{}, fault("the body is not valid JSON")
	}
	if doc.Kind != strictjson.Object {
		return credentials{}, fault("the body must be a JSON object")
	}
	m := members{doc: &doc}
	c := credentials{
		id:     m.text("client_id", true),
		secret: tokens.Secret(m.text("client_secret", true)),
		scope:  m.text("scope", false),
	}
	if m.err != nil {
		return credentials{}, m.err
	}
	return c, nil
}

// members reads strings until the first that is wrong.
type members struct {
	doc *strictjson.Value
	err *refusal
}

func (m *members) text(name string, required bool) string {
	v := m.doc.Get(name)
	switch {
	case m.err != nil:
	case v == nil && required:
		m.err = fault("%s is missing", name)
	case v == nil:
	case v.Kind != strictjson.String:
		m.err = fault("%s must be a string", name)
	case v.Text == "" && required:
		m.err = fault("%s must not be empty", name)
	default:
		return v.Text
	}
	return ""
}

func refuseAuthToken(_ *http.Request, err error, ev *Event) answer {
	no := judge(err, ev)
	status := no.status
	if no.plain != 0 {
		status = no.plain
	}
	return no.answer(status, struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}{no.code, no.message})
}
