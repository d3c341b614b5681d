package endpoint

import (
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// posted are the paths that take a body, and the media type of it.
var posted = map[string]string{
	pathAuthToken:   "application/json",
	pathOAuth2Token: "application/x-www-form-urlencoded",
	pathRevoke:      "application/x-www-form-urlencoded",
	pathIntrospect:  "application/x-www-form-urlencoded",
}

// TestB23_Bodies sends every hostile body to every path, under the media type that is
// expected there and under the other one, with good credentials and without.
func TestB23_Bodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	c := w.caller("app", refreshing)
	form := "grant_type=client_credentials&token=x&refresh_token=x&client_id=" + c.id + "&client_secret=" + c.secret.Reveal()
	object := fmt.Sprintf(`"client_id":%q,"client_secret":%q`, c.id, c.secret.Reveal())
	bodies := map[string]string{
		"empty": "", "3 MB": strings.Repeat("a", 3<<20), "one byte too many": strings.Repeat("a", maxBody+1),
		"100,000 parameters":       form + strings.Repeat("&a=1", 100_000),
		"100,000 names":            form + manyNames(100_000),
		"101 parameters":           form + manyNames(100),
		"60,000 empty parameters":  form + strings.Repeat("&", 60_000),
		"%zz":                      form + "&a=%zz",
		"% at the end":             form + "&a=%",
		"encoded NUL":              form + "&a=%00",
		"NUL":                      form + "&a=\x00",
		"NUL alone":                "\x00",
		"not UTF-8":                form + "&a=%ff%fe",
		"overlong UTF-8":           form + "&a=%c0%af",
		"surrogate":                form + "&a=%ed%a0%80",
		"semicolons":               strings.ReplaceAll(form, "&", ";"),
		"client_id twice":          form + "&client_id=" + c.id,
		"line break":               form + "\r\n",
		"depth 100,000":            strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000),
		"depth 30,000":             strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000),
		"depth 10,000, of objects": `{` + object + `,"a":` + strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_001),
		"100,000 members":          `{` + object + strings.Repeat(`,"a":1`, 100_000) + `}`,
		"NUL in JSON":              `{` + object + `,"a":"` + "\x00" + `"}`,
		"name twice":               `{` + object + `,` + object + `}`,
		"lone surrogate":           `{` + object + `,"a":"\ud800"}`,
		"huge number":              `{` + object + `,"scope":1e999999}`,
		"long number":              `{"client_id":` + strings.Repeat("9", 60_000) + `}`,
		"deep query":               "a" + strings.Repeat("[a]", 10_000) + "=1",
	}
	for path, right := range posted {
		for name, body := range bodies {
			for _, mediaType := range []string{right, "application/json", "application/x-www-form-urlencoded", "text/plain", ""} {
				for _, basic := range []bool{false, true} {
					q := withType(withTarget(formBody(body), path), mediaType)
					if basic {
						q = q.basic(c.id, c.secret)
					}
					res := w.do(q)
					// Bodies of JSON are one parameter of a form; who has authenticated
					// by Basic has then sent no token.
					if res.status != 400 && res.status != 413 && (res.status != 401 || basic) || res.fields.Code == "" || res.header.Get("Cache-Control") != "no-store" {
						t.Errorf("%s as %q to %s (Basic: %t): got %.200s", name, mediaType, path, basic, res)
					}
				}
			}
		}
	}
}

func manyNames(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "&n%d=1", i)
	}
	return b.String()
}

// endless is a body without end, which counts what was read of it.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	e.read += len(p)
	return len(p), nil
}

// broken is a body whose sender has gone.
type broken struct{ after int }

func (b *broken) Read(p []byte) (int, error) {
	if b.after == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	b.after--
	p[0] = 'a'
	return 1, nil
}

// TestB23_EndlessBody is read no further than anybody needs.
func TestB23_EndlessBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for path, mediaType := range posted {
		for _, length := range []int64{-1, 10, 1 << 40} {
			body := &endless{}
			r := httptest.NewRequest("POST", path, body)
			r.Header.Set("Content-Type", mediaType)
			r.ContentLength = length
			rec := httptest.NewRecorder()
			w.handler.ServeHTTP(rec, r)
			if rec.Code != 413 || body.read > 4*maxBody {
				t.Errorf("%s, length %d: got %d after %d bytes", path, length, rec.Code, body.read)
			}
		}
		r := httptest.NewRequest("POST", path, &broken{after: 3})
		r.Header.Set("Content-Type", mediaType)
		rec := httptest.NewRecorder()
		if w.handler.ServeHTTP(rec, r); rec.Code != 400 {
			t.Errorf("%s, a body that breaks off: got %d", path, rec.Code)
		}
	}
}

// TestJSONWhateverAcceptSays, and no-store on everything that is not the same for all.
func TestJSONWhateverAcceptSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	c := w.caller("app", refreshing)
	token := c.token().fields.AccessToken
	good := formRequest("grant_type", "client_credentials", "token", token).basic(c.id, c.secret)
	for _, accept := range []string{"", "*/*", "text/html", "application/xml;q=1.0, application/json;q=0", "garbage;;;"} {
		for _, q := range []request{
			good, withTarget(good, pathIntrospect), withTarget(good, pathRevoke),
			jsonRequest(c.id, c.secret, nil), jsonRequest(c.id, "wrong", nil), jsonBody("{"), {method: "GET", target: pathAuthToken}, {method: "GET", target: "/"},
			formRequest("grant_type", "client_credentials").basic(c.id, "wrong"), formRequest("grant_type", "refresh_token", "refresh_token", "x").basic(c.id, c.secret),
			withTarget(formBody(""), pathRevoke), withTarget(formBody(""), pathIntrospect), {method: "GET", target: pathIntrospect},
			{method: "GET", target: pathKeySet}, {method: "GET", target: pathMetadata}, {method: "PUT", target: pathMetadata},
		} {
			if q.header == nil {
				q.header = map[string][]string{}
			}
			res := w.do(q.with("Accept", accept))
			if empty := q.target == pathRevoke && res.status == 200; !empty && (res.header.Get("Content-Type") != "application/json" || !strings.HasPrefix(res.body, "{")) {
				t.Errorf("%s %s, Accept %q: got %v as %q", q.method, q.target, accept, res, res.header.Get("Content-Type"))
			}
			public := q.target == pathKeySet || q.target == pathMetadata && q.method == "GET"
			if got := res.header.Get("Cache-Control"); (got != "no-store") != public || (res.header.Get("Pragma") != "no-cache") != public {
				t.Errorf("%s %s: Cache-Control %q", q.method, q.target, got)
			}
			w.advance(time.Minute) // the wrong secrets are forgotten
			token = c.token().fields.AccessToken
			good.body = formRequest("grant_type", "client_credentials", "token", token).body
		}
	}
}

// TestHostileRefreshes: what must not get a pair, and leaves the one there is alone.
func TestHostileRefreshes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	c, other := w.caller("app", refreshing), w.caller("other", refreshing)
	r := c.token()
	token, secret := r.fields.RefreshToken, c.secret.Reveal()
	ask := func(pairs ...string) request {
		return formRequest(append(pairs, "grant_type", "refresh_token")...)
	}
	for _, tt := range []struct {
		name   string
		q      request
		status int
		oauth  string
	}{
		{"no credentials", ask("refresh_token", token), 401, "invalid_client"},
		{"client ID alone", ask("refresh_token", token, "client_id", c.id), 401, "invalid_client"},
		{"empty secret", ask("refresh_token", token, "client_id", c.id, "client_secret", ""), 401, "invalid_client"},
		{"empty secret by Basic", ask("refresh_token", token).basic(c.id, ""), 401, "invalid_client"},
		{"the token as the secret", ask("refresh_token", token).basic(c.id, "x"+c.secret), 401, "invalid_client"},
		{"Basic and body", ask("refresh_token", token, "client_secret", secret).basic(c.id, c.secret), 400, "invalid_request"},
		{"two clients", ask("refresh_token", token, "client_id", other.id).basic(c.id, c.secret), 400, "invalid_request"},
		{"another client", ask("refresh_token", token).basic(other.id, other.secret), 400, "invalid_grant"},
		{"token in the URL", withTarget(ask().basic(c.id, c.secret), pathOAuth2Token+"?refresh_token="+token), 400, "invalid_request"},
		{"token in URL and body", withTarget(ask("refresh_token", token).basic(c.id, c.secret), pathOAuth2Token+"?refresh_token="+token), 400, "invalid_request"},
		{"token twice", ask("refresh_token", token, "refresh_token", token).basic(c.id, c.secret), 400, "invalid_request"},
		{"an access token", ask("refresh_token", r.fields.AccessToken).basic(c.id, c.secret), 400, "invalid_grant"},
		{"token as a code", formRequest("grant_type", "authorization_code", "code", token).basic(c.id, c.secret), 400, "unsupported_grant_type"},
		{"two grants", ask("refresh_token", token, "grant_type", "client_credentials").basic(c.id, c.secret), 400, "invalid_request"},
		{"another case", formRequest("grant_type", "Refresh_Token", "refresh_token", token).basic(c.id, c.secret), 400, "unsupported_grant_type"},
		{"JSON", withType(ask("refresh_token", token).basic(c.id, c.secret), "application/json"), 400, "invalid_request"},
		{"at revocation, by GET", request{method: "GET", target: pathRevoke + "?token=" + token}, 405, "invalid_request"},
		{"encoded path", withTarget(ask("refresh_token", token).basic(c.id, c.secret), "/oauth2%2ftoken"), 404, ""},
		{"NUL", ask("refresh_token", token+"\x00").basic(c.id, c.secret), 400, "invalid_request"},
		{"60 KB", ask("refresh_token", strings.Repeat("a", 60_000)).basic(c.id, c.secret), 400, "invalid_grant"},
	} {
		if res := w.do(tt.q); res.status != tt.status || res.fields.Error != tt.oauth || res.fields.AccessToken != "" {
			t.Errorf("%s: got %v, want %d %s", tt.name, res, tt.status, tt.oauth)
		}
		w.advance(time.Minute)
	}
	w.do(ask("refresh_token", token, "resource", audience, "unknown", "ignored").basic(c.id, c.secret)).want(t, 200, "")
}
