package endpoint

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

func TestMalformedJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := `{"client_id":"reports","client_secret":"` + w.secret.Reveal() + `"}`
	for _, tt := range []struct {
		name    string
		q       request
		message string // its start
	}{
		{"empty", jsonBody(``), "the body is not valid JSON: byte 0: the document ends"},
		{"cut off", jsonBody(good[:20]), "the body is not valid JSON: byte 20: "},
		{"text after it", jsonBody(good + "x"), "the body is not valid JSON: byte "},
		{"two objects", jsonBody(good + good), "the body is not valid JSON: byte "},
		{"byte order mark", jsonBody("\xef\xbb\xbf" + good), "the body is not valid JSON: byte 0: "},
		{"not UTF-8", jsonBody(`{"client_id":"` + "\xff" + `"}`), "the body is not valid JSON: byte 0: not UTF-8"},
		{"a name twice", jsonBody(`{"client_id":"a","client_id":"b","client_secret":"c"}`), "the body is not valid JSON: byte 28: the same name twice"},
		{"a name twice, escaped", jsonBody(`{"client_id":"a","client\u005fid":"b","client_secret":"c"}`), "the body is not valid JSON: byte "},
		{"too deep", jsonBody(strings.Repeat(`{"a":`, 9) + "1" + strings.Repeat("}", 9)), "the body is not valid JSON: byte 40: nested too deeply"},
		{"depth 100,000", jsonBody(strings.Repeat("[", 60000)), "the body is not valid JSON: byte 8: nested too deeply"},
		{"an array", jsonBody("[" + good + "]"), "the body must be a JSON object"},
		{"a string", jsonBody(`"client_id"`), "the body must be a JSON object"},
		{"null", jsonBody(`null`), "the body must be a JSON object"},
		{"no members", jsonBody(`{}`), "client_id is missing"},
		{"no secret", jsonBody(`{"client_id":"a"}`), "client_secret is missing"},
		{"another case", jsonBody(`{"Client_ID":"a","client_secret":"b"}`), "client_id is missing"},
		{"number", jsonBody(`{"client_id":1,"client_secret":"b"}`), "client_id must be a string"},
		{"null secret", jsonBody(`{"client_id":"a","client_secret":null}`), "client_secret must be a string"},
		{"list of scopes", jsonRequest("reports", w.secret, []string{"contacts:read"}), "scope must be a string"},
		{"null scope", jsonBody(`{"client_id":"a","client_secret":"b","scope":null}`), "scope must be a string"},
		{"empty client_id", jsonBody(`{"client_id":"","client_secret":"b"}`), "client_id must not be empty"},
		{"empty secret", jsonBody(`{"client_id":"a","client_secret":""}`), "client_secret must not be empty"},
		{"no media type", request{method: "POST", target: pathAuthToken, body: good}, "Content-Type must be application/json"},
		{"a form", withType(jsonBody(good), "application/x-www-form-urlencoded"), "Content-Type must be application/json"},
		{"another charset", withType(jsonBody(good), "application/json; charset=latin1"), "Content-Type must be application/json"},
		{"two media types", jsonBody(good).with("Content-Type", "application/json"), "Content-Type must be application/json"},
		{"two media types in one", withType(jsonBody(good), "application/json, text/plain"), "Content-Type must be application/json"},
		{"secret in the URL", withTarget(jsonBody(good), pathAuthToken+"?client_secret=x"), "client_secret belongs in the body, not in the URL"},
		{"client_id in the URL, escaped", withTarget(jsonBody(good), pathAuthToken+"?a=b&client%5Fid=x"), "client_id belongs in the body, not in the URL"},
		{"bad query", withTarget(jsonBody(good), pathAuthToken+"?%zz"), "the query of the URL: parameter 1 is not well-formed"},
	} {
		if res := w.do(tt.q); !res.is(400, "R0") || !strings.HasPrefix(res.fields.Message, tt.message) {
			t.Errorf("%s: got %v, want 400 R0 %q", tt.name, res, tt.message)
		}
	}
	w.do(withType(jsonBody(good), "Application/JSON;charset=\"UTF-8\"")).want(t, 200, "")
}

func TestMalformedForms(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := "grant_type=client_credentials&client_id=reports&client_secret=" + w.secret.Reveal()
	basic := func(plain string) request {
		return formBody("grant_type=client_credentials").with("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(plain)))
	}
	encoded := strings.TrimPrefix(basic("reports:"+w.secret.Reveal()).header.Get("Authorization"), "Basic ")
	const notBasic = "the Authorization header must be Basic with the base64 of client_id:client_secret"
	for _, tt := range []struct {
		name, oauth, message string // the message's start
		q                    request
	}{
		{"empty", "invalid_request", "grant_type is missing", formBody("")},
		{"no grant type", "invalid_request", "grant_type is missing", formBody("grant_type=&client_id=a")},
		{"no refresh token", "invalid_request", "refresh_token is missing", formBody("grant_type=refresh_token")},
		{"empty refresh token", "invalid_request", "refresh_token is missing", formBody("grant_type=refresh_token&refresh_token=")},
		{"another grant", "unsupported_grant_type", "grant_type must be client_credentials or refresh_token", formBody("grant_type=authorization_code&code=x")},
		{"another case", "unsupported_grant_type", "grant_type must be client_credentials", formBody("grant_type=Client_Credentials")},
		{"bad escape", "invalid_request", "parameter 4 is not well-formed", formBody(good + "&a=%zz")},
		{"escape cut off", "invalid_request", "parameter 4 is not well-formed", formBody(good + "&a=%a")},
		{"NUL", "invalid_request", "parameter 4 is not well-formed", formBody(good + "&a=%00")},
		{"raw NUL", "invalid_request", "parameter 4 is not well-formed", formBody(good + "&a=\x00")},
		{"semicolon", "invalid_request", "parameter 4 is not well-formed", formBody(good + "&a=1;scope=x")},
		{"not UTF-8", "invalid_request", "parameter 4 is not well-formed", formBody(good + "&a=%ff")},
		{"raw UTF-8", "invalid_request", "parameter 4 is not well-formed", formBody(good + "&a=ü")},
		{"line break", "invalid_request", "parameter 3 is not well-formed", formBody(good + "\r\n")},
		{"repeated", "invalid_request", "client_id is sent more than once", formBody(good + "&client_id=reports")},
		{"repeated, one empty", "invalid_request", "client_id is sent more than once", formBody(good + "&client_id")},
		{"repeated, escaped", "invalid_request", "client_id is sent more than once", formBody(good + "&client%5fid=reports")},
		{"unknown repeated", "invalid_request", "a parameter is sent more than once", formBody(good + "&x=1&x=1")},
		{"too many", "invalid_request", "more than 100 parameters", formBody(good + strings.Repeat("&", 98) + "x")},
		{"JSON", "invalid_request", "Content-Type must be application/x-www-form-urlencoded", withType(formBody(good), "application/json")},
		{"multipart", "invalid_request", "Content-Type must be application/x-www-form-urlencoded", withType(formBody(good), "multipart/form-data; boundary=x")},
		{"secret in the URL", "invalid_request", "client_secret belongs in the body, not in the URL", withTarget(formBody("grant_type=client_credentials"), pathOAuth2Token+"?client_secret=x")},
		{"grant type in the URL", "invalid_request", "grant_type belongs in the body, not in the URL", withTarget(formBody(good), pathOAuth2Token+"?grant_type=client_credentials")},
		{"Basic and secret in the body", "invalid_request", "client_secret must not be sent beside an Authorization header", formBody(good).basic("reports", w.secret)},
		{"Bearer and secret in the body", "invalid_request", "client_secret must not be sent beside an Authorization header", formBody(good).with("Authorization", "Bearer x")},
		{"another client_id beside Basic", "invalid_request", "client_id is not the one in the Authorization header", formBody("grant_type=client_credentials&client_id=other").basic("reports", w.secret)},
		{"alias and ID of one client", "invalid_request", "client_id is not the one in the Authorization header", formBody("grant_type=client_credentials&client_id="+w.client.ID).basic("reports", w.secret)},
		{"Authorization twice", "invalid_request", "the Authorization header is sent more than once", formBody("grant_type=client_credentials").basic("reports", w.secret).basic("reports", w.secret)},
		{"no base64", "invalid_request", notBasic, formBody("grant_type=client_credentials").with("Authorization", "Basic reports:secret")},
		{"no padding", "invalid_request", notBasic, formBody("grant_type=client_credentials").with("Authorization", "Basic cmVwb3J0czp4eA")},
		{"bits after the end", "invalid_request", notBasic, formBody("grant_type=client_credentials").with("Authorization", "Basic cmVwb3J0czp4eB==")},
		{"line break in base64", "invalid_request", notBasic, formBody("grant_type=client_credentials").with("Authorization", "Basic "+encoded[:8]+"\n"+encoded[8:])},
		{"nothing after Basic", "invalid_request", notBasic, formBody("grant_type=client_credentials").with("Authorization", "Basic")},
		{"no colon", "invalid_request", notBasic, basic("reports")},
		{"control character", "invalid_request", notBasic, basic("reports:\x00")},
	} {
		if res := w.do(tt.q); !res.is(400, "R0") || res.fields.Error != tt.oauth || !strings.HasPrefix(res.fields.Message, tt.message) || res.fields.Description != res.fields.Message {
			t.Errorf("%s: got %v, want 400 R0 %s %q", tt.name, res, tt.oauth, tt.message)
		}
	}
	w.do(formBody("&&"+good+"&")).want(t, 200, "")
	// Well-formed, but nobody's credentials.
	for _, plain := range []string{":", "reports:", ":" + w.secret.Reveal(), "reports:" + w.secret.Reveal() + ":", "reports:%zz", "reports :" + w.secret.Reveal(), "r+s:a+b"} {
		if res := w.do(basic(plain).from("198.51.100.9")); !res.is(401, "R1") || res.fields.Error != "invalid_client" {
			t.Errorf("%q: got %v, want 401 R1 invalid_client", plain, res)
		}
	}
}

// TestDescriptionsStayInTheirAlphabet: RFC 6749 section 5.2 allows no quotes, no
// backslashes and nothing beyond ASCII in error_description.
func TestDescriptionsStayInTheirAlphabet(t *testing.T) {
	t.Parallel()
	golden, err := os.ReadFile(filepath.Join("testdata", "oauth2_token.golden"))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(golden)) {
		var body struct {
			Description *string `json:"error_description"`
		}
		if json.Unmarshal([]byte(line), &body) != nil || body.Description == nil {
			continue
		}
		seen++
		if strings.ContainsFunc(*body.Description, func(r rune) bool { return r < 0x20 || r > 0x7e || r == '"' || r == '\\' }) {
			t.Errorf("error_description %q", *body.Description)
		}
	}
	if seen < 10 {
		t.Errorf("%d descriptions in the golden file, want at least 10", seen)
	}
}

// TestJSONTestSuite sends every document of the public suite to /auth/token.
// None of them is a token request; none may be more than that.
func TestJSONTestSuite(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("TOLLGATE_VECTORS")
	if dir == "" {
		t.Skip("TOLLGATE_VECTORS is not set: the third-party vectors are not here")
	}
	data, err := os.ReadFile(filepath.Join(dir, "jsontestsuite", "jsontestsuite.json"))
	if err != nil {
		t.Fatal(err)
	}
	var suite struct{ Files map[string]json.RawMessage }
	if err := json.Unmarshal(data, &suite); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	const syntax = "the body is not valid JSON"
	stricter := map[string]bool{"y_object_duplicated_key.json": true, "y_object_duplicated_key_and_value.json": true}
	for name, packed := range suite.Files {
		res := w.do(jsonBody(string(unpack(t, packed))))
		switch {
		case res.status == http.StatusRequestEntityTooLarge && strings.HasPrefix(name, "n_"):
		case !res.is(400, "R0"):
			t.Errorf("%s: got %v, want 400 R0", name, res)
		case strings.HasPrefix(name, "n_") && !strings.HasPrefix(res.fields.Message, syntax):
			t.Errorf("%s: was parsed: %v", name, res)
		case strings.HasPrefix(name, "y_") && !stricter[name] && strings.HasPrefix(res.fields.Message, syntax):
			t.Errorf("%s: was not parsed: %v", name, res)
		}
	}
	if len(suite.Files) < 300 {
		t.Errorf("only %d files in the suite, want over 300", len(suite.Files))
	}
}

// unpack reads base64, or {repeat,len} for the two large files.
func unpack(t *testing.T, packed json.RawMessage) []byte {
	t.Helper()
	var text []byte
	if json.Unmarshal(packed, &text) == nil {
		return text
	}
	var long struct {
		Repeat []byte
		Len    int
	}
	if err := json.Unmarshal(packed, &long); err != nil || len(long.Repeat) == 0 {
		t.Fatalf("unknown packing: %s", packed)
	}
	return bytes.Repeat(long.Repeat, long.Len/len(long.Repeat)+1)[:long.Len]
}

// fuzzWorld judges the answers to requests that nobody has thought of. Time goes
// on between them, so that the budget of failures never hides the parsers.
type fuzzWorld struct {
	*world
	minutes atomic.Int64
}

func newFuzzWorld(f *testing.F) *fuzzWorld {
	fw := &fuzzWorld{}
	clock := func() time.Time { return epoch.Add(time.Duration(fw.minutes.Load()) * 2 * time.Minute) }
	fw.world = newWorld(f, func(c *Config) { c.Now = clock })
	fw.secret = "fixed-so-that-the-corpus-means-the-same-in-every-process"
	fw.create("fuzzed", fw.withSecret(fw.secret))
	return fw
}

// check sends the request and wants a token or a proper refusal.
func (fw *fuzzWorld) check(t *testing.T, q request) response {
	t.Helper()
	fw.minutes.Add(1)
	res := fw.do(q)
	fw.events = nil // they would fill the memory
	switch {
	case res.status >= 500 || res.status == http.StatusTooManyRequests:
		t.Errorf("got %v", res)
	case !json.Valid([]byte(res.body)):
		t.Errorf("got %v, which is no JSON", res)
	case res.status != http.StatusOK && (res.fields.Code == "" || res.fields.Message == ""):
		t.Errorf("got %v, want code and message", res)
	case res.status == http.StatusOK && res.fields.AccessToken == "":
		t.Errorf("got %v without a token", res)
	}
	return res
}

func FuzzBasic(f *testing.F) {
	fw := newFuzzWorld(f)
	for _, seed := range []string{
		formRequest().basic("fuzzed", fw.secret).header.Get("Authorization"),
		"Basic", "Basic Og==", "basic  cmVwb3J0czp4eA==", "Basic cmVwb3J0czp4eA", "Bearer x", "Basic \xff", "Basic cmVw\nb3J0czp4eA==", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		res := fw.check(t, formRequest("grant_type", "client_credentials").with("Authorization", header))
		encoded, basic := cutBasic(header)
		plain, err := base64.StdEncoding.DecodeString(encoded)
		if res.status == http.StatusOK && (!basic || err != nil || !strings.Contains(string(plain), ":")) {
			t.Errorf("%q got a token", header)
		}
	})
}

func FuzzForm(f *testing.F) {
	fw := newFuzzWorld(f)
	good := "grant_type=client_credentials&client_id=fuzzed&client_secret=" + fw.secret.Reveal()
	for _, seed := range []string{good, good + "&scope=contacts%3Aread", good + "&scope=a+b", good + "&resource=x", "", "&&&", "a=%00", "a=%zz", "a=1;b=2", "grant_type=refresh_token", "=", "%=%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		res := fw.check(t, formBody(body))
		form, err := parseForm(body)
		if res.status == http.StatusOK && (err != nil || form["client_secret"] != fw.secret.Reveal()) {
			t.Errorf("%q got a token", body)
		}
	})
}

// FuzzToken asks about, revokes and refreshes with tokens that were never given.
func FuzzToken(f *testing.F) {
	fw := newFuzzWorld(f)
	c := fw.caller("tokens", refreshing)
	for _, seed := range []string{"x", "tgr_" + strings.Repeat("A", 48), "tga_" + strings.Repeat("A", 43), strings.Repeat("z", 24), "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "", "%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		fw.minutes.Add(1)
		fw.events = nil
		if r := c.introspect(token); r.status != 400 && r.body != `{"active":false}` {
			t.Errorf("introspect %q: got %v", token, r)
		}
		if r := c.revoke(token); r.status != 400 && (r.status != 200 || r.body != "") {
			t.Errorf("revoke %q: got %v", token, r)
		}
		if r := c.refreshWith(token); r.status != 400 {
			t.Errorf("refresh %q: got %v", token, r)
		}
	})
}

func FuzzAuthTokenBody(f *testing.F) {
	fw := newFuzzWorld(f)
	good := `{"client_id":"fuzzed","client_secret":"` + fw.secret.Reveal() + `"`
	for _, seed := range []string{good + "}", good + `,"scope":"contacts:read"}`, good + `,"scope":"\u0000"}`, good + `,"scope":null}`, "", "{}", "[]", `{"client_id":"\ud800"}`, `{"client_id":"a","client_id":"b"}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		res := fw.check(t, jsonBody(body))
		var said struct {
			Secret tokens.Secret `json:"client_secret"`
		}
		if res.status == http.StatusOK && (json.Unmarshal([]byte(body), &said) != nil || said.Secret != fw.secret) {
			t.Errorf("%q got a token", body)
		}
	})
}
