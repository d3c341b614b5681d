package strictjson

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ doc, fault string }{
		{`{"a":1,"b":[true,null,"x"]}`, ""},
		{` [1e3, -0.5] `, ""},
		{`"\ud83d\ude00"`, ""},
		{`{"a":1,"a":2}`, "same name twice"},
		{`{"a":1,"\u0061":2}`, "same name twice"},
		{`{"x":{"y":[{"a":1,"a":1}]}}`, "same name twice"},
		{`{"a":1}x`, "more text"},
		{`{"a":1}{}`, "more text"},
		{"\xef\xbb\xbf{}", "no JSON value"},
		{"\"\xff\"", "not UTF-8"},
		{`"\ud800"`, "half a surrogate"},
		{`"\ud800\u0041"`, "half a surrogate"},
		{`"\x41"`, "no such escape"},
		{"\"a\nb\"", "control character"},
		{`01`, "more text"},
		{`+1`, "no JSON value"},
		{`1.`, "after the point"},
		{`.5`, "no JSON value"},
		{`{"a":1,}`, "name in quotes"},
		{`[1,]`, "no JSON value"},
		{`{'a':1}`, "name in quotes"},
		{``, "ends where a value"},
		{`[[[[[]]]]]`, "nested too deeply"},
		{`NaN`, "no JSON value"},
	} {
		_, err := Parse([]byte(tt.doc), 4)
		switch {
		case tt.fault == "" && err != nil:
			t.Errorf("Parse(%q): %v", tt.doc, err)
		case tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault)):
			t.Errorf("Parse(%q) = %v, want an error with %q", tt.doc, err, tt.fault)
		}
	}
}

func TestParseFindsDuplicatesAmongManyNames(t *testing.T) {
	t.Parallel()
	doc := `{`
	for i := range 100 {
		doc += `"n` + strings.Repeat("x", i) + `":0,`
	}
	if _, err := Parse([]byte(doc+`"z":0}`), 4); err != nil {
		t.Fatalf("distinct names: %v", err)
	}
	for _, twice := range []string{"n", "n" + strings.Repeat("x", 40), "n" + strings.Repeat("x", 99)} {
		if _, err := Parse([]byte(doc+`"`+twice+`":0}`), 4); err == nil {
			t.Errorf("%q twice: accepted", twice)
		}
	}
}

func TestTime(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		doc  string
		want time.Time
		ok   bool
	}{
		{`12`, time.Unix(12, 0), true}, {`-1`, time.Unix(-1, 0), true}, {`1e3`, time.Unix(1000, 0), true},
		{`1700000000.25`, time.Unix(1700000000, 250e6), true}, {`-1.5`, time.Unix(-2, 500e6), true},
		{`9007199254740991`, time.Unix(1<<53-1, 0), true}, {`9007199254740993`, time.Time{}, false}, {`1e400`, time.Time{}, false},
		{`"12"`, time.Time{}, false}, {`null`, time.Time{}, false}, {`true`, time.Time{}, false},
	} {
		v, err := Parse([]byte(tt.doc), 1)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := v.Time(); ok != tt.ok || ok && !got.Equal(tt.want) {
			t.Errorf("Time(%s) = %v, %v, want %v, %v", tt.doc, got, ok, tt.want, tt.ok)
		}
	}
}

// TestJSONTestSuite runs the public suite: y_ parses, n_ is refused.
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
	stricter := map[string]bool{"y_object_duplicated_key.json": true, "y_object_duplicated_key_and_value.json": true}
	ran := 0
	for name, packed := range suite.Files {
		doc := unpack(t, packed)
		_, err := Parse(doc, 32)
		switch {
		case strings.HasPrefix(name, "y_") && err != nil && !stricter[name]:
			t.Errorf("%s: %v", name, err)
		case stricter[name] && err == nil, strings.HasPrefix(name, "n_") && err == nil:
			t.Errorf("%s: accepted", name)
		}
		ran++
	}
	if ran < 300 {
		t.Errorf("only %d files in the suite, want over 300", ran)
	}
}

// unpack reads base64, or {repeat,len} for the two large files.
func unpack(t *testing.T, packed json.RawMessage) []byte {
	t.Helper()
	var text string
	if json.Unmarshal(packed, &text) == nil {
		doc, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return doc
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

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"alg":"ES256","kid":"k","n":[1,2.5e3,"\u00e9",null,true,{}]}`))
	f.Add([]byte(`{"a":1,"\u0061":2}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		v, err := Parse(doc, 32)
		if err != nil {
			return
		}
		if !json.Valid(doc) {
			t.Errorf("accepted what encoding/json refuses: %q", doc)
		}
		var std any
		if v.Kind == String && (json.Unmarshal(doc, &std) != nil || std != v.Text) {
			t.Errorf("string %q read as %q, encoding/json reads %q", doc, v.Text, std)
		}
	})
}
