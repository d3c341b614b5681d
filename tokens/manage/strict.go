package manage

import (
	"bytes"
	"fmt"
	"mime"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollgate-authz/tollgate/tokens/strictjson"
)

// shape is what of an operation's request we judge ourselves, before the library does: it
// takes null for a field that was left out and an empty header for none, and has no word
// for where an integer is that it cannot read.
type shape struct {
	registry huma.Registry
	body     *huma.Schema // nil: it takes none
	headers  []string
}

func newShape(file *huma.OpenAPI, op *huma.Operation) *shape {
	s := &shape{registry: file.Components.Schemas}
	if op.RequestBody != nil {
		for _, media := range op.RequestBody.Content {
			s.body = media.Schema
		}
	}
	for _, p := range op.Parameters {
		if p.In == "header" {
			s.headers = append(s.headers, p.Name)
		}
	}
	return s
}

// requireJSON refuses a body of another type, whatever is in it: a page in a browser can
// send the types of forms, and those without one, to strangers. Some operations can do
// without a body, which then has no type. The library compares types as they are written.
func (s *shape) requireJSON(r *http.Request) error {
	if s.body == nil || r.Body == nil || r.ContentLength == 0 {
		return nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return newProblem(http.StatusUnsupportedMediaType, "the body must be of the type application/json")
	}
	r.Header.Set("Content-Type", "application/json") // RFC 9110 section 8.3.1: in whatever case it was sent
	return nil
}

// judge names what is wrong.
func (s *shape) judge(header http.Header, body *strictjson.Value) error {
	faults := s.faults(s.body, body, "body")
	for _, name := range s.headers {
		switch list := header.Values(name); {
		case len(list) > 1:
			faults = append(faults, fault{"header." + name, "is sent more than once"})
		case len(list) == 1 && list[0] == "":
			faults = append(faults, fault{"header." + name, "has no value"})
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return faulty(faults...)
}

// faults refuses null where nothing can be taken away: who sends it must not believe that
// it was done. An integer may be written 5.0, as other writers of JSON do and JSON Schema
// says; it becomes 5 in the document.
func (s *shape) faults(schema *huma.Schema, v *strictjson.Value, location string) (list []fault) {
	if schema != nil && schema.Ref != "" {
		schema = s.registry.SchemaFromRef(schema.Ref)
	}
	if schema == nil {
		return nil // of what the operation does not take, the library complains
	}
	switch v.Kind {
	case strictjson.Null:
		if !schema.Nullable && schema.Type != "" {
			return []fault{{location, "must not be null: leave it out"}}
		}
	case strictjson.Number:
		if schema.Type == huma.TypeInteger && !tidyInteger(v.Raw) {
			return []fault{{location, "expected an integer without fraction and exponent"}}
		}
	case strictjson.Object:
		for i := range v.Members {
			m := &v.Members[i]
			list = append(list, s.faults(schema.Properties[m.Name], &m.Value, location+"."+m.Name)...)
		}
	case strictjson.Array:
		for i := range v.Items {
			list = append(list, s.faults(schema.Items, &v.Items[i], fmt.Sprintf("%s[%d]", location, i))...)
		}
	}
	return list
}

// tidyInteger writes spaces over a fraction of zeros, and reports whether an integer is
// left that the types can hold.
func tidyInteger(raw []byte) bool {
	whole, fraction, found := bytes.Cut(raw, []byte("."))
	if found {
		if len(bytes.Trim(fraction, "0")) > 0 {
			return false
		}
		copy(raw[len(whole):], bytes.Repeat([]byte(" "), 1+len(fraction)))
	}
	_, err := strconv.ParseInt(string(whole), 10, 64)
	return err == nil
}
