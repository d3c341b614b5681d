package tokens

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestV7_IntrospectsAnOpaqueToken(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		id, secret, _ := r.BasicAuth()
		if r.Header.Values("X-Idempotency-Key") != nil || id != "gate+way%3A1" || secret != "hunter+2%25" || r.Method != http.MethodPost || r.URL.String() != "/introspect?tenant=1" {
			t.Errorf("%s %s as %q, %q", r.Method, r.URL, id, secret)
		}
		if r.Header.Get("Accept") != "application/json" || asked(r) != "opaque-1" || r.PostForm.Get("token_type_hint") != "access_token" || len(r.PostForm) != 2 {
			t.Errorf("header %v, form %v", r.Header, r.PostForm)
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = fmt.Fprintf(w, `{"active":true,"iss":"https://idp.example/","aud":["x","https://api.example"],"client_id":"app7","sub":"user1",
			"username":"jo","token_type":"bearer","jti":"id1","scope":"a:read b:write","exp":%d,"iat":%d,"nbf":%[2]d}`, start.Unix()+60, start.Unix())
	}))
	t.Cleanup(server.Close)
	i := newTestIntrospector(t, nil, func(c *IntrospectionConfig) {
		c.Endpoint, c.ClientID, c.ClientSecret, c.Client = server.URL+"/introspect?tenant=1", "gate way:1", "hunter 2%", nil
	})
	i.Timeout = time.Minute // a busy machine is no silent issuer
	for _, after := range []time.Duration{0, IntrospectionCache - 1, IntrospectionCache, IntrospectionCache + time.Second} {
		token, err := i.Introspect(t.Context(), "opaque-1", start.Add(after))
		if err != nil {
			t.Fatal(err)
		}
		id := token.Identity()
		if id.ClientID() != "app7" || id.Subject() != "user1" || id.ScopeList != "a:read b:write" || id.TokenID() != "id1" || id.Account() != "partners" || id.Client != nil {
			t.Errorf("identity %+v", id)
		}
		if !token.Expires.Equal(start.Add(time.Minute + Leeway)) {
			t.Errorf("expires %v, want exp and the leeway", token.Expires)
		}
	}
	if n := calls.Load(); n != 2 || i.Calls() != 2 || i.Hits() != 2 || i.Failures() != 0 {
		t.Errorf("%d calls; counted %d, %d hits, %d failures; want two of each and no failure", n, i.Calls(), i.Hits(), i.Failures())
	}
}

func TestV7_AnswersOfIntrospection(t *testing.T) {
	t.Parallel()
	change := func(old, instead string) string {
		if !strings.Contains(activeAnswer, old) {
			t.Fatalf("%s is not in the model", old)
		}
		return strings.Replace(activeAnswer, old, instead, 1)
	}
	with := func(members string) string { return change(`{`, `{`+members+`,`) }
	for name, tt := range map[string]struct {
		doc  string
		want error // nil: accepted
	}{
		"model":                   {activeAnswer, nil},
		"unknown members":         {with(`"x":{"y":[1]},"username":"u","azp":"app8"`), nil},
		"iss":                     {with(`"iss":"https://idp.example/"`), nil},
		"Bearer":                  {with(`"token_type":"BEARER","token_use":"access_token"`), nil},
		"aud list":                {change(`"https://api.example"`, `["x","https://api.example"]`), nil},
		"no sub":                  {change(`"sub":"user1",`, ``), nil},
		"no scope":                {change(`,"scope":"a:read b:write"`, ``), nil},
		"expired, for the gate":   {with(`"exp":1`), nil},
		"inactive":                {`{"active":false}`, ErrInvalid},
		"inactive with claims":    {change(`true`, `false`), ErrInvalid},
		"no aud":                  {change(`"aud":"https://api.example",`, ``), ErrInvalid},
		"another aud":             {change(`"https://api.example"`, `"https://other.example"`), ErrInvalid},
		"aud null":                {change(`"https://api.example"`, `null`), ErrInvalid},
		"another iss":             {with(`"iss":"https://idp.example"`), ErrInvalid},
		"iss list":                {with(`"iss":["https://idp.example/"]`), ErrInvalid},
		"nobody":                  {`{"active":true,"aud":"https://api.example"}`, ErrInvalid},
		"sub number":              {change(`"user1"`, `1`), ErrInvalid},
		"sub control":             {change(`"user1"`, `"a\r\nb"`), ErrInvalid},
		"client number":           {change(`"app7"`, `7`), ErrInvalid},
		"exp text":                {with(`"exp":"9999999999"`), ErrInvalid},
		"exp too far":             {with(fmt.Sprintf(`"exp":%d`, start.Add(2*MaxLifetime).Unix())), ErrInvalid},
		"nbf":                     {with(fmt.Sprintf(`"nbf":%d`, start.Add(time.Hour).Unix())), ErrInvalid},
		"iat":                     {with(fmt.Sprintf(`"iat":%d`, start.Add(time.Hour).Unix())), ErrInvalid},
		"jti number":              {with(`"jti":1`), ErrInvalid},
		"scope with two spaces":   {change(`a:read `, `a:read  `), ErrInvalid},
		"refresh token by type":   {with(`"token_type":"refresh_token"`), ErrInvalid},
		"refresh token by use":    {with(`"token_use":"refresh_token"`), ErrInvalid},
		"DPoP":                    {with(`"token_type":"DPoP"`), ErrInvalid},
		"bound to a key":          {with(`"cnf":{"x5t#S256":"abc"}`), ErrInvalid},
		"claims over 8 KiB":       {change(`a:read`, strings.Repeat("a ", 5000)+"a"), ErrInvalid},
		"active text":             {change(`true`, `"true"`), ErrUnanswered},
		"active number":           {change(`true`, `1`), ErrUnanswered},
		"active missing":          {change(`"active":true,`, ``), ErrUnanswered},
		"Active":                  {change(`active`, `Active`), ErrUnanswered},
		"active twice":            {with(`"active":false`), ErrUnanswered},
		"active twice by escapes": {with(`"\u0061ctive":true`), ErrUnanswered},
		"claim twice":             {with(`"sub":"admin"`), ErrUnanswered},
		"not an object":           {`true`, ErrUnanswered},
		"list":                    {`[` + activeAnswer + `]`, ErrUnanswered},
		"two documents":           {activeAnswer + activeAnswer, ErrUnanswered},
		"deep":                    {with(`"x":` + strings.Repeat("[", 50) + strings.Repeat("]", 50)), ErrUnanswered},
		"half":                    {activeAnswer[:len(activeAnswer)/2], ErrUnanswered},
		"empty":                   {``, ErrUnanswered},
		"HTML":                    {`<html>`, ErrUnanswered},
		"over 64 KiB":             {activeAnswer + strings.Repeat(" ", maxAnswerBytes), ErrUnanswered},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newTestIntrospector(t, func(*http.Request) (*http.Response, error) { return says(tt.doc) }, nil)
			token, err := i.Introspect(t.Context(), "opaque-1", start)
			if !errors.Is(err, tt.want) || (token == nil) != (tt.want != nil) {
				t.Errorf("token %v, error %v; want error %v", token, err, tt.want)
			}
			if err != nil && (strings.Contains(err.Error(), "opaque-1") || strings.Contains(err.Error(), "hunter2")) {
				t.Errorf("the error shows a secret: %v", err)
			}
			// What was an answer is remembered; what was none is not.
			_, _ = i.Introspect(t.Context(), "opaque-1", start.Add(refusalCache-1))
			if want := 1 + uint64(btoi(errors.Is(tt.want, ErrUnanswered))); i.Calls() != want {
				t.Errorf("%d calls, want %d", i.Calls(), want)
			}
			_, again := i.Introspect(t.Context(), "opaque-1", start.Add(refusalCache))
			if !errors.Is(again, tt.want) {
				t.Errorf("later: %v, want %v", again, tt.want)
			}
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestV7_OnlyOKWithJSONIsAnAnswer: whatever the body says.
func TestV7_OnlyOKWithJSONIsAnAnswer(t *testing.T) {
	t.Parallel()
	var led atomic.Int32
	mux := http.NewServeMux()
	answer := func(path string, status int, header ...string) {
		mux.HandleFunc("/"+path, func(w http.ResponseWriter, _ *http.Request) {
			for n := 0; n < len(header); n += 2 {
				w.Header().Set(header[n], header[n+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, activeAnswer)
		})
	}
	const contentType, jsonType = "Content-Type", "application/json"
	silent := map[string]bool{"401": true, "429": true, "502": true, "503": true, "504": true}
	for _, status := range []int{201, 202, 203, 206, 400, 401, 403, 404, 413, 429, 500, 502, 503, 504} {
		answer(fmt.Sprint(status), status, contentType, jsonType)
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		answer(fmt.Sprint(status), status, contentType, jsonType, "Location", "/elsewhere")
	}
	answer("signed", 200, contentType, "application/token-introspection+jwt")
	answer("text", 200, contentType, "text/plain")
	answer("none", 200, contentType, "")
	mux.HandleFunc("/elsewhere", func(w http.ResponseWriter, _ *http.Request) {
		led.Add(1)
		w.Header().Set(contentType, jsonType)
		_, _ = io.WriteString(w, activeAnswer)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	for _, path := range strings.Fields("201 202 203 206 301 302 303 307 308 400 401 403 404 413 429 500 502 503 504 signed text none") {
		i := newTestIntrospector(t, nil, func(c *IntrospectionConfig) {
			c.Endpoint, c.Client = server.URL+"/"+path, NewFetchClient()
			c.Client.CheckRedirect = nil // the Introspector's own rule must do
		})
		i.Timeout = time.Minute
		if token, err := i.Introspect(t.Context(), "opaque-1", start); token != nil || !errors.Is(err, ErrUnanswered) || strings.Contains(err.Error(), "opaque-1") {
			t.Errorf("%s: token %v, error %v; want ErrUnanswered", path, token, err)
		}
		if _, _ = i.Introspect(t.Context(), "opaque-2", start); (i.Calls() == 1) != silent[path] {
			t.Errorf("%s: %d calls for two tokens, want the issuer taken for silent: %v", path, i.Calls(), silent[path])
		}
	}
	if led.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

// TestIntrospectionMayBeAskedTwice: net/http asks again on a new connection when the
// issuer has closed an idle one, and only if it may.
func TestIntrospectionMayBeAskedTwice(t *testing.T) {
	t.Parallel()
	i := newTestIntrospector(t, func(r *http.Request) (*http.Response, error) {
		if key, marked := r.Header["X-Idempotency-Key"]; !marked || len(key) != 0 || r.GetBody == nil {
			t.Errorf("header %v, body again %v", r.Header, r.GetBody != nil)
		}
		return says(activeAnswer)
	}, nil)
	if _, err := i.Introspect(t.Context(), "opaque-1", start); err != nil {
		t.Error(err)
	}
}

// TestV7_NamesOfIntrospectedTokens: counters go by them and the upstream sees them.
func TestV7_NamesOfIntrospectedTokens(t *testing.T) {
	t.Parallel()
	i := newTestIntrospector(t, func(*http.Request) (*http.Response, error) { return says(activeAnswer) }, nil)
	other := newTestIntrospector(t, func(*http.Request) (*http.Response, error) { return says(activeAnswer) }, func(c *IntrospectionConfig) { c.Trust.Issuer = "https://other.example/" })
	name := func(i *Introspector, bearer string) string {
		token, err := i.Introspect(t.Context(), bearer, start)
		if err != nil {
			t.Fatalf("%s: %v", bearer, err)
		}
		if bare := strings.TrimRight(bearer, "="); strings.Contains(token.ID, bare) || len(token.ID) != len("sha256-")+22 {
			t.Errorf("%s has the name %s", bearer, token.ID)
		}
		return token.ID
	}
	first := name(i, "opaque-1")
	if name(i, "opaque-1==") != first {
		t.Error("padding makes another token")
	}
	if name(i, "opaque-2") == first || name(other, "opaque-1") == first {
		t.Error("two tokens have one name")
	}
	enc := base64.RawURLEncoding.EncodeToString
	jwt := func(signature string) string {
		return enc([]byte(`{"alg":"HS256"}`)) + "." + enc([]byte(`{"iss":"https://idp.example/"}`)) + "." + enc([]byte(signature))
	}
	if name(i, jwt("r,s")) != name(i, jwt("r,-s")) {
		t.Error("another signature of the same claims makes another token")
	}
}

func TestIntrospectionWithoutExpLivesInTheCacheAlone(t *testing.T) {
	t.Parallel()
	i := newTestIntrospector(t, func(*http.Request) (*http.Response, error) { return says(activeAnswer) }, func(c *IntrospectionConfig) { c.Cache = time.Minute })
	token, err := i.Introspect(t.Context(), "opaque-1", start)
	if err != nil {
		t.Fatal(err)
	}
	if left := token.Expires.Sub(start); left < time.Minute || left > 2*time.Minute {
		t.Errorf("lives for %v, want about the minute of the cache", left)
	}
	if _, err := i.Introspect(t.Context(), "opaque-1", start.Add(time.Minute)); err != nil || i.Calls() != 2 {
		t.Errorf("after a minute: %v and %d calls, want a second one", err, i.Calls())
	}
}

func TestBearersThatNobodyIsAskedAbout(t *testing.T) {
	t.Parallel()
	i := newTestIntrospector(t, func(*http.Request) (*http.Response, error) {
		t.Error("the issuer was asked")
		return says(activeAnswer)
	}, nil)
	for _, bearer := range []string{"", "=", "a b", "a=b", "a\x00", "a\r\nb", "ä", "a'--", `"`, "a,b", strings.Repeat("a", maxTokenBytes+1)} {
		if _, err := i.Introspect(t.Context(), bearer, start); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v, want ErrInvalid", bearer, err)
		}
	}
}
