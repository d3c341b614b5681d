package manage

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// target is an operation, called where there is something that it could change.
type target struct {
	operation
	url string
}

// targets are all operations that pick chooses, with IDs of records that there are.
func (w *world) targets(bearer string, pick func(operation) bool) (list []target) {
	w.t.Helper()
	for _, o := range operations {
		if !pick(o) {
			continue
		}
		url := o.path
		if parent, rest, ok := strings.Cut(o.path, "/{"); ok {
			id, _ := w.first(bearer, parent)["id"].(string)
			if id == "" {
				id = "none"
			}
			_, rest, _ = strings.Cut(rest, "}")
			url = parent + "/" + id + rest
		}
		list = append(list, target{o, url})
	}
	if len(list) == 0 {
		w.t.Fatal("no operation is chosen")
	}
	return list
}

// first is the first record of a list, none where there is no such list.
func (w *world) first(bearer, path string) object {
	w.t.Helper()
	data, _ := w.do(bearer, http.MethodGet, path, nil).body["data"].([]any)
	if len(data) == 0 {
		return nil
	}
	record, _ := data[0].(object)
	return record
}

func takesBody(o operation) bool {
	return o.method == http.MethodPost || o.method == http.MethodPatch
}

// everything is what all lists answer: what is stored, as far as anybody can see it.
func (w *world) everything(bearer string) map[string]string {
	w.t.Helper()
	seen := map[string]string{}
	for _, o := range operations {
		if o.method == http.MethodGet && !strings.Contains(o.path, "{") {
			seen[o.path] = w.do(bearer, http.MethodGet, o.path, nil).want(http.StatusOK).raw
		}
	}
	return seen
}

// furnished is a world with an administrator and a token.
func furnished(t *testing.T) (w *world, bearer string) {
	t.Helper()
	w = newWorld(t)
	bearer = w.bearer(w.client("boss", "acme", "tollgate:admin", "contacts:read"))
	w.do(bearer, http.MethodPost, "/tokens", object{"name": "night job", "scopes": []string{"contacts:read"}}).want(http.StatusCreated)
	return w, bearer
}

// wantProblem fails the test unless the answer is a problem of the caller's.
func (a *answer) wantProblem(what string, statuses ...int) {
	a.t.Helper()
	status, _ := a.body["status"].(float64)
	switch {
	case a.status < 400 || a.status > 499 || len(statuses) > 0 && !slices.Contains(statuses, a.status):
		a.t.Errorf("%s: got %d %s, want %v", what, a.status, a.raw, statuses)
	case a.header.Get("Content-Type") != problemType || int(status) != a.status || a.text("detail") == "" || a.text("title") == "":
		a.t.Errorf("%s: got %d %s %s, want a problem", what, a.status, a.header.Get("Content-Type"), a.raw)
	}
}

func vectors(t *testing.T, path ...string) []byte {
	t.Helper()
	dir := os.Getenv("TOLLGATE_VECTORS")
	if dir == "" {
		t.Skip("TOLLGATE_VECTORS is not set: the third-party vectors are not here")
	}
	data, err := os.ReadFile(filepath.Join(append([]string{dir}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func jsonTestSuite(t *testing.T) map[string]string {
	t.Helper()
	var suite struct{ Files map[string]json.RawMessage }
	if err := json.Unmarshal(vectors(t, "jsontestsuite", "jsontestsuite.json"), &suite); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for name, packed := range suite.Files {
		var text []byte
		if json.Unmarshal(packed, &text) != nil { // {repeat,len} for the two large files
			var long struct {
				Repeat []byte
				Len    int
			}
			if err := json.Unmarshal(packed, &long); err != nil || len(long.Repeat) == 0 {
				t.Fatalf("%s: %v", name, err)
			}
			text = []byte(strings.Repeat(string(long.Repeat), long.Len/len(long.Repeat)+1)[:long.Len])
		}
		files[name] = string(text)
	}
	if len(files) < 300 {
		t.Fatalf("only %d files in the suite, want over 300", len(files))
	}
	return files
}

// TestB23_JSONTestSuite sends every document of the public suite to every operation that
// takes a body. None of them is a request; none may be more than that.
func TestB23_JSONTestSuite(t *testing.T) {
	t.Parallel()
	files := jsonTestSuite(t)
	w, bearer := furnished(t)
	before := w.everything(bearer)
	f := w.file()
	for _, o := range w.targets(bearer, takesBody) {
		for name, text := range files {
			if text == "" && !f.of(o.operation).RequestBody.Required {
				continue // which may be left out
			}
			a := w.do(bearer, o.method, o.url, text)
			switch what := o.id + " " + name; {
			case strings.HasPrefix(name, "n_"):
				a.wantProblem(what, http.StatusBadRequest, http.StatusRequestEntityTooLarge)
			case a.status >= http.StatusBadRequest:
				a.wantProblem(what)
			case strings.Trim(text, " \r\n\t{}") != "": // {} is a change of nothing
				t.Errorf("%s: got %d %s", what, a.status, a.raw)
			}
		}
	}
	if diff := cmp.Diff(before, w.everything(bearer)); diff != "" {
		t.Errorf("something was stored (-before +after):\n%s", diff)
	}
}

// TestNaughtyNames: what is taken as a name comes back byte for byte.
func TestNaughtyNames(t *testing.T) {
	t.Parallel()
	var names []string
	if err := json.Unmarshal(vectors(t, "blns", "blns.json"), &names); err != nil {
		t.Fatal(err)
	}
	w, bearer := furnished(t)
	taken := 0
	for _, name := range names {
		made := w.do(bearer, http.MethodPost, "/tokens", object{"name": name, "scopes": []string{"contacts:read"}})
		if made.status != http.StatusCreated {
			made.wantProblem(name, http.StatusUnprocessableEntity)
			if name != "" && strings.Contains(made.raw, name) && len(name) > 20 {
				t.Errorf("the answer quotes %q", name)
			}
			continue
		}
		taken++
		if shown := w.do(bearer, http.MethodGet, "/tokens/"+made.text("id"), nil).want(http.StatusOK); shown.text("name") != name {
			t.Errorf("%q came back as %q", name, shown.text("name"))
		}
		if !slices.Contains(w.names(bearer), name) {
			t.Errorf("%q is not in the list", name)
		}
		w.do(bearer, http.MethodDelete, "/tokens/"+made.text("id"), nil).want(http.StatusNoContent)
	}
	if taken < 300 || taken == len(names) {
		t.Errorf("%d of %d names were taken", taken, len(names))
	}
}

// names are those of all tokens.
func (w *world) names(bearer string) (names []string) {
	w.t.Helper()
	data, _ := w.do(bearer, http.MethodGet, "/tokens?limit=1000", nil).want(http.StatusOK).body["data"].([]any)
	for _, one := range data {
		name, _ := one.(object)["name"].(string)
		names = append(names, name)
	}
	return names
}

// TestMediaTypeInAnyCase: RFC 9110 section 8.3.1.
func TestMediaTypeInAnyCase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	by := w.boss()
	for _, kind := range []string{"application/json", "Application/JSON", "application/json; charset=utf-8", "APPLICATION/JSON;CHARSET=UTF-8"} {
		w.do(by, "POST", "/tokens", object{"scopes": []string{"contacts:read"}}, "Content-Type", kind).want(201)
	}
}

func TestTheLargestBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	by, body := w.boss(), `{"scopes": ["contacts:read"]}`
	body += strings.Repeat(" ", maxBody-len(body))
	w.do(by, "POST", "/tokens", body).want(201)
	w.do(by, "POST", "/tokens", body+" ").want(413)
}

// TestB23_Bodies are bodies that are wrong whatever is in them.
func TestB23_Bodies(t *testing.T) {
	t.Parallel()
	w, bearer := furnished(t)
	f, before := w.file(), w.everything(bearer)
	for _, o := range w.targets(bearer, takesBody) {
		for _, tt := range []struct {
			name, body, contentType string
			status                  int
		}{
			{"too large", `{"name": "` + strings.Repeat("x", maxBody) + `"}`, "application/json", http.StatusRequestEntityTooLarge},
			{"spaces without end", strings.Repeat(" ", 3<<20), "application/json", http.StatusRequestEntityTooLarge},
			{"deep", strings.Repeat(`{"limits":`, 1000) + "1" + strings.Repeat("}", 1000), "application/json", http.StatusBadRequest},
			{"deeper", strings.Repeat("[", maxBody/2) + strings.Repeat("]", maxBody/2), "application/json", http.StatusBadRequest},
			{"a name twice", `{"name": "a", "name": "b"}`, "application/json", http.StatusBadRequest},
			{"a name twice, escaped", `{"name": "a", "n\u0061me": "b"}`, "application/json", http.StatusBadRequest},
			{"a name twice, below", `{"limits": {"per_day": 1, "per_day": 2}}`, "application/json", http.StatusBadRequest},
			{"two documents", `{}{}`, "application/json", http.StatusBadRequest},
			{"a byte order mark", "\ufeff{}", "application/json", http.StatusBadRequest},
			{"not UTF-8", "{\"name\": \"\xff\"}", "application/json", http.StatusBadRequest},
			{"a lone surrogate", `{"name": "\ud800"}`, "application/json", http.StatusBadRequest},
			{"text", `{"name": "a"}`, "text/plain", http.StatusUnsupportedMediaType},
			{"a form", "name=a", "application/x-www-form-urlencoded", http.StatusUnsupportedMediaType},
			{"a form with JSON in it", `{"name": "a"}`, "application/x-www-form-urlencoded", http.StatusUnsupportedMediaType},
			{"XML", "<a/>", "application/xml", http.StatusUnsupportedMediaType},
			{"no type", `{"name": "a"}`, "", http.StatusUnsupportedMediaType},
		} {
			w.do(bearer, o.method, o.url, tt.body, "Content-Type", tt.contentType).wantProblem(o.id+": "+tt.name, tt.status)
		}
		for _, body := range []string{"null", "true", "1", `"x"`, "[]", "[{}]", "", `{"ttl": 1e999}`} {
			if body == "" && !f.of(o.operation).RequestBody.Required {
				continue
			}
			w.do(bearer, o.method, o.url, body).wantProblem(o.id+": "+body, http.StatusUnprocessableEntity, http.StatusBadRequest)
		}
	}
	if diff := cmp.Diff(before, w.everything(bearer)); diff != "" {
		t.Errorf("something was stored (-before +after):\n%s", diff)
	}
}
