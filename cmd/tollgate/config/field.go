package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// field is one key of a struct, as its tags describe it.
type field struct {
	index    int
	typ      reflect.Type
	name     string
	doc      string
	def      string // the default, in the language of the file
	computed string // the default in words
	form     *form  // of the text, of a list's items, or of a map's keys
	enum     []string
	least    *bound
	most     *bound
	required bool
	status   string
}

const (
	unsupported = "unsupported"
	unenforced  = "unenforced"
)

// bound is a limit of a number, a size or a duration.
type bound struct {
	written string
	value   float64
	open    bool // the bound itself is outside
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	storeType    = reflect.TypeFor[Store]()
	priceType    = reflect.TypeFor[quota.Micros]()
)

// fieldsOf reads the tags of a struct. A tag that makes no sense is a mistake of
// this package, which the tests find: the reader and both documents walk over
// every field.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		sf := t.Field(i)
		name := sf.Tag.Get("yaml")
		if name == "" || name == "-" {
			continue
		}
		f := field{
			index: i, typ: sf.Type, name: name, doc: sf.Tag.Get("doc"),
			def: sf.Tag.Get("default"), computed: sf.Tag.Get("computed"), status: sf.Tag.Get("status"),
			enum:     strings.Fields(sf.Tag.Get("enum")),
			required: sf.Tag.Get("required") == "true",
		}
		if key := sf.Tag.Get("form"); key != "" {
			if f.form = forms[key]; f.form == nil {
				panic(fmt.Sprintf("config: %s.%s: no form is called %q", t.Name(), sf.Name, key))
			}
			f.enum = append(f.enum, f.form.values...)
		}
		f.least = f.bound(sf.Tag.Get("min"), false)
		f.most = f.bound(sf.Tag.Get("max"), false)
		if above := sf.Tag.Get("above"); above != "" {
			f.least = f.bound(above, true)
		}
		fields = append(fields, f)
	}
	return fields
}

func (f *field) bound(written string, open bool) *bound {
	if written == "" {
		return nil
	}
	v := reflect.New(f.typ).Elem()
	unbounded := *f
	unbounded.least, unbounded.most = nil, nil
	if err := unbounded.set(v, scalar{text: written, kind: expanded}, ""); err != nil {
		panic(fmt.Sprintf("config: bound of %s: %v", f.name, err))
	}
	return &bound{written: written, value: number(v), open: open}
}

// number is the value of a number, a size or a duration.
func number(v reflect.Value) float64 {
	if v.CanFloat() {
		return v.Float()
	}
	return float64(v.Int())
}

// item describes the items of a list.
func (f *field) item() *field {
	item := *f
	item.typ, item.def, item.required = f.typ.Elem(), "", false
	return &item
}

// isBlock reports whether the value is a mapping with keys of its own.
func (f *field) isBlock() bool {
	t := f.typ
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct && t != storeType
}

// kind names the type for people: in the reference, and in faults.
func (f *field) kind() string {
	switch {
	case f.form != nil && f.form.label != "":
		return f.form.label
	case f.typ == durationType:
		return "duration"
	}
	switch f.typ.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "whole number"
	case reflect.Float64:
		return "number"
	}
	return "text"
}

// want says what would be right. It depends on nothing but the field, so that it
// can stand in for a reason that would quote a secret.
func (f *field) want() string {
	switch {
	case f.form != nil && f.form.size:
		return fmt.Sprintf("a size such as 256MiB is needed, in KiB, MiB or GiB%s", f.within())
	case len(f.enum) > 0:
		return oneOf(f.enum)
	case f.form != nil:
		return f.form.want
	case f.typ == durationType:
		return "a duration such as 30s, 15m or 720h is needed" + f.within()
	}
	switch f.typ.Kind() {
	case reflect.Bool:
		return "true or false is needed"
	case reflect.Int, reflect.Int64:
		return "a whole number is needed" + f.within()
	case reflect.Float64:
		return "a number is needed" + f.within()
	}
	return "a text is needed"
}

func (f *field) within() string {
	switch {
	case f.least != nil && f.least.open && f.most != nil:
		return fmt.Sprintf(", above %s and at most %s", f.least.written, f.most.written)
	case f.least != nil && f.most != nil:
		return fmt.Sprintf(", %s to %s", f.least.written, f.most.written)
	case f.least != nil:
		return fmt.Sprintf(", %s or more", f.least.written)
	}
	return ""
}

func oneOf(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = fmt.Sprintf("%q", w)
	}
	if len(words) == 1 {
		return quoted[0] + " is needed"
	}
	last := len(quoted) - 1
	return fmt.Sprintf("%s or %s is needed", strings.Join(quoted[:last], ", "), quoted[last])
}
