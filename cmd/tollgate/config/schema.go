package config

import (
	"encoding/json"
	"reflect"
	"strings"
)

// schema is the part of JSON Schema 2020-12 that the file's language needs.
type schema struct {
	Schema      string             `json:"$schema,omitempty"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Default     any                `json:"default,omitempty"`
	Type        string             `json:"type,omitempty"`
	Enum        []string           `json:"enum,omitempty"`
	Pattern     string             `json:"pattern,omitempty"`
	MinLength   int                `json:"minLength,omitempty"`
	Minimum     json.Number        `json:"minimum,omitempty"`
	Above       json.Number        `json:"exclusiveMinimum,omitempty"`
	Maximum     json.Number        `json:"maximum,omitempty"`
	AnyOf       []*schema          `json:"anyOf,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	MinItems    int                `json:"minItems,omitempty"`
	Unique      bool               `json:"uniqueItems,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Names       *schema            `json:"propertyNames,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Additional  any                `json:"additionalProperties,omitempty"` // false, or the schema of a map's values
}

// Schema returns the JSON Schema of the file, for editors. It accepts what Load
// accepts and refuses unknown keys; rules between values only Load knows.
func Schema() []byte {
	s := blockSchema(reflect.TypeFor[Config]())
	s.Schema = "https://json-schema.org/draft/2020-12/schema"
	s.Title = "tollgate.yaml"
	s.Description = "Configuration of tollgate. ${NAME}, ${NAME:-default} and ${file:PATH} may stand in every value."
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(s); err != nil {
		panic("config: schema: " + err.Error())
	}
	return []byte(b.String())
}

// blockSchema describes a mapping. Keys that are not supported yet are unknown
// to it, so that an editor marks them as Load does.
func blockSchema(t reflect.Type) *schema {
	s := &schema{Type: "object", Properties: map[string]*schema{}, Additional: false}
	for _, f := range fieldsOf(t) {
		if f.status == unsupported {
			continue
		}
		p := f.schema()
		p.Description = f.sentence()
		p.Default = f.defaultValue()
		s.Properties[f.name] = p
		if f.required {
			s.Required = append(s.Required, f.name)
		}
	}
	return s
}

func (f *field) schema() *schema {
	t := f.typ
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.Kind() == reflect.Map:
		return &schema{Type: "object", Names: &schema{Pattern: f.form.pattern}, Additional: blockSchema(t.Elem().Elem())}
	case t.Kind() == reflect.Slice:
		s := &schema{Type: "array", Items: f.item().schema(), Unique: !f.isBlock()}
		if f.required || f.def != "" {
			s.MinItems = 1
		}
		return s
	case f.isBlock():
		return blockSchema(t)
	}
	return f.scalarSchema()
}

// scalarSchema describes a value. Where not every text will do, a text with a
// variable in it will do as well.
func (f *field) scalarSchema() *schema {
	s := &schema{}
	switch {
	case f.form != nil && f.form.size:
		return &schema{AnyOf: []*schema{{Type: "integer", Minimum: "0"}, {Type: "string", Pattern: f.form.pattern}, variableSchema}}
	case f.typ == priceType:
		return &schema{AnyOf: []*schema{{Type: "number", Above: "0"}, {Type: "string", Pattern: f.form.pattern}, variableSchema}}
	case f.typ == durationType:
		s.Type, s.Pattern = "string", `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`
	case f.typ.Kind() == reflect.Bool:
		s.Type = "boolean"
	case f.typ.Kind() == reflect.Int || f.typ.Kind() == reflect.Int64:
		s.Type = "integer"
		f.setBounds(s)
	case f.typ.Kind() == reflect.Float64:
		s.Type = "number"
		f.setBounds(s)
	case len(f.enum) > 0:
		s.Type, s.Enum = "string", f.enum
	case f.form != nil && f.form.pattern != "":
		s.Type, s.Pattern = "string", f.form.pattern
	default:
		return &schema{Type: "string", MinLength: 1}
	}
	return &schema{AnyOf: []*schema{s, variableSchema}}
}

var variableSchema = &schema{Type: "string", Pattern: `\$\{`}

func (f *field) setBounds(s *schema) {
	if f.least != nil && f.least.open {
		s.Above = json.Number(f.least.written)
	} else if f.least != nil {
		s.Minimum = json.Number(f.least.written)
	}
	if f.most != nil {
		s.Maximum = json.Number(f.most.written)
	}
}

// sentence is what the schema and the reference say of a key.
func (f *field) sentence() string {
	switch {
	case f.status == unsupported:
		return f.doc + " Not supported yet."
	case f.status == unenforced:
		return f.doc + " Accepted, but not enforced yet."
	}
	return f.doc
}

// defaultValue is the default as a value of JSON; nil for none, or for one that
// depends on other keys.
func (f *field) defaultValue() any {
	switch {
	case f.def == "":
		return nil
	case f.typ.Kind() == reflect.Slice:
		return strings.Fields(f.def)
	case f.typ.Kind() == reflect.Bool:
		return f.def == "true"
	case f.typ == durationType, f.form != nil && f.form.size:
		return f.def
	case f.typ.Kind() == reflect.Int, f.typ.Kind() == reflect.Int64, f.typ.Kind() == reflect.Float64:
		return json.Number(f.def)
	}
	return f.def
}
