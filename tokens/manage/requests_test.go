package manage

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// file is the OpenAPI file as its readers have it.
type file struct {
	Paths      map[string]map[string]described
	Components struct{ Schemas map[string]*jsonSchema }
}

type described struct {
	Parameters  []parameter
	RequestBody struct {
		Required bool
		Content  map[string]struct{ Schema *jsonSchema }
	}
}

type parameter struct {
	In, Name string
	Schema   *jsonSchema
}

type jsonSchema struct {
	Ref        string `json:"$ref"`
	Type       any
	Properties map[string]*jsonSchema
	Items      *jsonSchema
}

func (w *world) file() *file {
	w.t.Helper()
	f := &file{}
	if err := json.Unmarshal([]byte(w.do("", http.MethodGet, pathFile, nil).want(http.StatusOK).raw), f); err != nil {
		w.t.Fatal(err)
	}
	return f
}

func (f *file) of(o operation) described { return f.Paths[o.path][strings.ToLower(o.method)] }

// types are those that a schema takes.
func (f *file) types(s *jsonSchema) (types []string) {
	switch t := f.follow(s).Type.(type) {
	case string:
		return []string{t}
	case []any:
		for _, one := range t {
			types = append(types, one.(string))
		}
	}
	return types
}

func (f *file) follow(s *jsonSchema) *jsonSchema {
	if s.Ref != "" {
		return f.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
	}
	return s
}

// values are one of each type of JSON. None of them can be mistaken for another.
var values = map[string]string{
	"null": "null", "boolean": "true", "integer": "7", "number": "7.5", "string": `"misplaced-value"`, "array": `["misplaced-value"]`, "object": `{"misplaced-value":1}`,
}

// wrongType is a body with one value of a wrong type, and where that is.
type wrongType struct{ body, location string }

// wrongTypes are all that can be made of a schema. wrap puts a value into the body.
func (f *file) wrongTypes(s *jsonSchema, location string, wrap func(string) string) (list []wrongType) {
	types := f.types(s)
	for kind, value := range values {
		if !slices.Contains(types, kind) && !(kind == "integer" && slices.Contains(types, "number")) {
			list = append(list, wrongType{wrap(value), location})
		}
	}
	s = f.follow(s)
	for name, property := range s.Properties {
		list = append(list, f.wrongTypes(property, location+"."+name, func(v string) string { return wrap(fmt.Sprintf("{%q:%s}", name, v)) })...)
	}
	if s.Items != nil {
		list = append(list, f.wrongTypes(s.Items, location+"[0]", func(v string) string { return wrap("[" + v + "]") })...)
	}
	return list
}

// wantFault fails the test unless a location is named as wrong.
func (a *answer) wantFault(what, location string) {
	a.t.Helper()
	a.wantProblem(what, http.StatusUnprocessableEntity)
	faults, _ := a.body["errors"].([]any)
	if !slices.ContainsFunc(faults, func(f any) bool {
		at, _ := f.(object)["location"].(string)
		return at == location || at == location+"[0]"
	}) {
		a.t.Errorf("%s: %s is not named: %s", what, location, a.raw)
	}
	if strings.Contains(a.raw, "misplaced-value") && !strings.Contains(location, "misplaced-value") {
		a.t.Errorf("%s: the answer quotes what was sent: %s", what, a.raw)
	}
}

// TestB23_WrongTypes: each member of each body is refused with a value of each type that
// it does not take, by its name.
func TestB23_WrongTypes(t *testing.T) {
	t.Parallel()
	w, bearer := furnished(t)
	f, before, seen := w.file(), w.everything(bearer), 0
	for _, o := range w.targets(bearer, takesBody) {
		schema := f.of(o.operation).RequestBody.Content["application/json"].Schema
		if schema == nil {
			continue
		}
		for _, tt := range f.wrongTypes(schema, "body", func(v string) string { return v }) {
			what := o.id + " " + tt.body
			if tt.location == "body" && tt.body == values["object"] {
				continue // which is an object
			}
			w.do(bearer, o.method, o.url, tt.body).wantFault(what, tt.location)
			seen++
		}
		w.do(bearer, o.method, o.url, `{"surprise": 1}`).wantFault(o.id, "body.surprise")
		for name, property := range f.follow(schema).Properties {
			if slices.Contains(f.types(property), "object") {
				w.do(bearer, o.method, o.url, fmt.Sprintf(`{%q: {"surprise": 1}}`, name)).wantFault(o.id, "body."+name+".surprise")
			}
			w.do(bearer, o.method, o.url, fmt.Sprintf(`{%q: 1}`, strings.ToUpper(name))).wantFault(o.id, "body."+strings.ToUpper(name))
		}
	}
	if seen < 100 {
		t.Errorf("only %d values were sent", seen)
	}
	if diff := cmp.Diff(before, w.everything(bearer)); diff != "" {
		t.Errorf("something was stored (-before +after):\n%s", diff)
	}
}

// TestIntegers: 5.0 is one (JSON Schema, validation, section 6.1.1); what the types cannot
// hold is refused by its name.
func TestIntegers(t *testing.T) {
	t.Parallel()
	w, bearer := furnished(t)
	for _, tt := range []struct {
		sent string
		want float64 // 0: it is refused
	}{
		{"600", 600}, {"600.0", 600}, {"600.000", 600}, {"600.5", 0}, {"6e2", 0}, {"6.0e2", 0}, {"600.0000001", 0}, {"0", 0}, {"-0", 0}, {"-600.0", 0}, {"1e999", 0},
		{"9223372036854775807", 0}, {"9223372036854775808", 0}, {"99999999999999999999999999", 0}, {"31622400.0", 31622400}, {"31622401", 0},
	} {
		a := w.do(bearer, http.MethodPost, "/tokens", `{"scopes": ["contacts:read"], "ttl": `+tt.sent+`, "name": "600.0"}`)
		switch {
		case tt.want == 0:
			a.wantFault(tt.sent, "body.ttl")
		case a.status != http.StatusCreated || a.body["ttl"] != tt.want || a.text("name") != "600.0":
			t.Errorf("%s: got %d %s, want %v", tt.sent, a.status, a.raw, tt.want)
		}
	}
}

func everyOperation(operation) bool { return true }

// TestParameters are those that somebody has forgotten to fill in, sent twice or made up.
func TestParameters(t *testing.T) {
	t.Parallel()
	w, bearer := furnished(t)
	f := w.file()
	for _, o := range w.targets(bearer, everyOperation) {
		var body any
		if takesBody(o.operation) {
			body = "{}"
		}
		for _, p := range f.of(o.operation).Parameters {
			switch p.In {
			case "query":
				wrong := "query." + p.Name
				if p.Schema.Type == "array" {
					wrong += "[0]"
				}
				w.do(bearer, o.method, o.url+"?"+p.Name+"=", body).wantFault(o.id, "query."+p.Name)
				w.do(bearer, o.method, o.url+"?"+p.Name, body).wantFault(o.id, "query."+p.Name)
				w.do(bearer, o.method, o.url+"?"+p.Name+"=1&"+p.Name+"=2", body).wantFault(o.id, "query."+p.Name)
				w.do(bearer, o.method, o.url+"?"+p.Name+"="+strings.Repeat("x", 5000), body).wantFault(o.id, wrong)
			case "header":
				w.do(bearer, o.method, o.url, body, p.Name, "").wantFault(o.id, "header."+p.Name)
				w.do(bearer, o.method, o.url, body, p.Name, strings.Repeat("x", 5000)).wantFault(o.id, "header."+p.Name)
			}
		}
		w.do(bearer, o.method, o.url+"?surprise=1", body).wantFault(o.id, "query.surprise")
		for _, bad := range []string{"?%zz=1", "?a=%", "?a=1;b=2"} {
			w.do(bearer, o.method, o.url+bad, body).wantProblem(o.id+bad, http.StatusBadRequest)
		}
	}
}

// TestCursors: a cursor that was changed is refused or leads somewhere; it is nobody's
// fault but the sender's.
func TestCursors(t *testing.T) {
	t.Parallel()
	w, bearer := furnished(t)
	for range 3 {
		w.do(bearer, http.MethodPost, "/tokens", object{"scopes": []string{"contacts:read"}}).want(http.StatusCreated)
		w.do(bearer, http.MethodPost, "/wallet/credits", object{"amount": "1.00"}).want(http.StatusCreated)
	}
	f, mutated := w.file(), 0
	for _, o := range w.targets(bearer, func(o operation) bool { return o.method == http.MethodGet }) {
		if !slices.ContainsFunc(f.of(o.operation).Parameters, func(p parameter) bool { return p.Name == "cursor" }) {
			continue
		}
		for _, bad := range []string{"%00", "-", "=", "AA", "e30", "bnVsbA", base64.RawURLEncoding.EncodeToString([]byte("-1.x")), strings.Repeat("A", 100)} {
			w.do(bearer, http.MethodGet, o.url+"?cursor="+bad, nil).wantFault(o.id+" "+bad, "query.cursor")
		}
		first := w.do(bearer, http.MethodGet, o.url+"?limit=1", nil).want(http.StatusOK)
		good := first.text("next_cursor")
		if inner, ok := first.body["transactions"].(object); ok {
			good, _ = inner["next_cursor"].(string)
		}
		if good == "" {
			continue // a list with one page
		}
		mutated++
		w.do(bearer, http.MethodGet, o.url+"?cursor="+good, nil).want(http.StatusOK)
		for _, bad := range []string{good + "=", "." + good, good + "%0A", good[:1]} {
			w.do(bearer, http.MethodGet, o.url+"?cursor="+bad, nil).wantFault(o.id+" "+bad, "query.cursor")
		}
		raw, err := base64.RawURLEncoding.DecodeString(good)
		if err != nil {
			t.Fatal(err)
		}
		for i := range raw {
			for _, change := range []byte{1, 0x80, 0xff} {
				changed := slices.Clone(raw)
				changed[i] ^= change
				if a := w.do(bearer, http.MethodGet, o.url+"?cursor="+base64.RawURLEncoding.EncodeToString(changed), nil); a.status != http.StatusOK {
					a.wantFault(fmt.Sprintf("%s %q", o.id, changed), "query.cursor")
				}
			}
		}
	}
	if mutated < 2 {
		t.Errorf("only %d lists had a second page", mutated)
	}
}

// TestETags: a change under a condition is made on the record that the condition names.
func TestETags(t *testing.T) {
	t.Parallel()
	w, bearer := furnished(t)
	f, before, seen := w.file(), w.everything(bearer), 0
	for _, o := range w.targets(bearer, everyOperation) {
		if !slices.ContainsFunc(f.of(o.operation).Parameters, func(p parameter) bool { return p.Name == "If-Match" }) || strings.Contains(o.url, "none") {
			continue
		}
		seen++
		var body any
		if takesBody(o.operation) {
			body = "{}"
		}
		etag := w.do(bearer, http.MethodGet, o.url, nil).want(http.StatusOK).header.Get("ETag")
		if len(etag) < 4 {
			t.Fatalf("%s: no ETag", o.path)
		}
		for _, bad := range []string{`"nope"`, "nope", "W/" + etag, etag[1 : len(etag)-1], etag + "x", strings.ToUpper(etag), `"*"`, ","} {
			w.do(bearer, o.method, o.url, body, "If-Match", bad).wantProblem(o.id+" "+bad, http.StatusPreconditionFailed)
		}
		if o.method == http.MethodPatch {
			for _, good := range []string{etag, "*", `"other", ` + etag} {
				w.do(bearer, o.method, o.url, body, "If-Match", good).want(http.StatusOK)
			}
		}
	}
	if seen < 2 {
		t.Errorf("only %d operations take If-Match", seen)
	}
	if diff := cmp.Diff(before, w.everything(bearer)); diff != "" {
		t.Errorf("something was changed (-before +after):\n%s", diff)
	}
}

// TestPaths: an ID that nobody has is not there, whatever it is made of.
func TestPaths(t *testing.T) {
	t.Parallel()
	w, bearer := furnished(t)
	for _, o := range operations {
		before, after, ok := strings.Cut(o.path, "{")
		if !ok {
			continue
		}
		_, after, _ = strings.Cut(after, "}")
		var body any
		if takesBody(o) {
			body = "{}"
		}
		for _, id := range []string{
			"%00", "x%00", "%2F", "..%2F..%2Fetc", "%2e%2e", ".", "..", "%", "%zz", "%ff%fe", "%0d%0aX:1", "%5c", "%25", "'%20OR%201=1--", "null", "0", "-1",
			strings.Repeat("x", 128), strings.Repeat("x", 10_000), strings.Repeat("%00", 128), "x;y", "x%3Fy", "%E2%80%AE", "x%20", "%F0%9F%98%80",
		} {
			if strings.HasSuffix(id, "%") || strings.Contains(id, "%zz") {
				continue // net/http answers by itself: no URL
			}
			a := w.do(bearer, o.method, before+id+after, body)
			a.wantProblem(o.id+" "+id, http.StatusNotFound, http.StatusUnprocessableEntity)
		}
	}
}

// TestOtherMethods: every path says what it takes.
func TestOtherMethods(t *testing.T) {
	t.Parallel()
	w, bearer := furnished(t)
	taken := map[string][]string{pathFile: {http.MethodGet}}
	for _, o := range operations {
		taken[o.path] = append(taken[o.path], o.method)
	}
	for path, methods := range taken {
		if slices.Contains(methods, http.MethodGet) {
			methods = append(methods, http.MethodHead)
		}
		slices.Sort(methods)
		url := regexp.MustCompile(`\{\w+\}`).ReplaceAllString(path, "x")
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY", "get", "X"} {
			if slices.Contains(methods, method) {
				continue
			}
			a := w.do(bearer, method, url, nil)
			if method != http.MethodHead {
				a.wantProblem(method+" "+path, http.StatusMethodNotAllowed)
			} else if a.status != http.StatusMethodNotAllowed || a.raw != "" {
				t.Errorf("HEAD %s: got %d %q", path, a.status, a.raw)
			}
			if got, want := a.header.Get("Allow"), strings.Join(methods, ", "); got != want {
				t.Errorf("%s %s: Allow is %q, want %q", method, path, got, want)
			}
		}
		if slices.Contains(methods, http.MethodHead) && !strings.Contains(path, "{") {
			if a := w.do(bearer, http.MethodHead, url, nil); a.status != http.StatusOK {
				t.Errorf("HEAD %s: got %d", path, a.status)
			}
		}
	}
}
