package tokens

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// FuzzIntrospectionAnswer holds for every answer: it is an active token of the
// issuer whose claims fit, or an error of one of the two kinds.
func FuzzIntrospectionAnswer(f *testing.F) {
	f.Add([]byte(activeAnswer), "opaque-1")
	f.Add([]byte(`{"active":false}`), "opaque-1")
	f.Add([]byte(`{"active":true,"iss":"https://idp.example/","aud":["https://api.example"],"azp":"x","jti":"j","exp":1772370000,"token_type":"Bearer"}`), "a.b.c")
	f.Add([]byte(`{"active":true,"active":false}`), "eyJ.e30.x=")
	i := newTestIntrospector(f, nil, nil)
	f.Fuzz(func(t *testing.T, doc []byte, bearer string) {
		if checkBearer(bearer) != nil {
			t.Skip("nobody is asked about it")
		}
		token, err := i.read(doc, &query{bearer: bearer, now: start})
		if err != nil {
			if token != nil || errors.Is(err, ErrInvalid) == errors.Is(err, ErrUnanswered) {
				t.Errorf("token %v, error %v on %q", token, err, doc)
			}
			return
		}
		// Another parser, which takes the last of two members and any case, agrees.
		var answer struct {
			Active bool
			Iss    string
		}
		if json.Unmarshal(doc, &answer) == nil && strings.Count(strings.ToLower(string(doc)), "active") == 1 && (!answer.Active || answer.Iss != "" && strings.Count(strings.ToLower(string(doc)), `"iss"`) == 1 && answer.Iss != i.Trust.Issuer) {
			t.Errorf("accepted %q", doc)
		}
		if token.Subject == "" || token.ID == "" || token.Expires.IsZero() || token.client != nil || len(token.Audience) == 0 ||
			hasControl(token.ID+token.Subject+token.ClientID+strings.Join(token.Scopes, "")) || len(token.ID+token.Subject+token.ClientID) > 3*maxTokenBytes {
			t.Errorf("accepted %q as %+v", doc, token)
		}
	})
}

// FuzzTakes holds for every bearer: what is taken is a b64token, and who is asked
// is one of the issuers.
func FuzzTakes(f *testing.F) {
	maker := newForge(f)
	s := newTestIssuers(f, knows(""), knows(""))
	f.Add("opaque-1")
	f.Add(maker.token(f, nil, map[string]any{"iss": "https://0.example/"}))
	f.Fuzz(func(t *testing.T, bearer string) {
		if s.Takes(bearer) && (strings.ContainsAny(bearer, " \r\n\x00,\"") || bearer == "" || strings.Count(bearer, ".") == 2 && len(s.candidates(bearer)) != 1) {
			t.Errorf("takes %q", bearer)
		}
	})
}
