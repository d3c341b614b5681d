package config

import (
	"reflect"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// value reads n into v.
func (r *reader) value(n ast.Node, v reflect.Value, f *field, path string) {
	line, column := position(n)
	r.places[path] = place{line: line, column: column}
	switch n.(type) {
	case *ast.NullNode:
		r.spoil(path, "the value is missing; write one, or leave the key out")
		return
	case *ast.AnchorNode, *ast.AliasNode:
		r.spoil(path, `anchors and aliases (& and *) are not supported; write the value itself, and a text that begins with them in quotes, like "*.example.com"`)
		return
	case *ast.TagNode:
		r.spoil(path, "tags (!) are not supported; write the value without one, and a text that begins with ! in quotes")
		return
	}
	switch {
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		r.block(n, v.Elem(), path)
	case v.Kind() == reflect.Struct && v.Type() != storeType:
		r.block(n, v, path)
	case v.Kind() == reflect.Map:
		r.dictionary(n, v, f, path)
	case v.Kind() == reflect.Slice:
		r.list(n, v, f, path)
	default:
		r.scalar(n, v, f, path)
	}
}

// position is where a value begins. The parser gives a mapping the place of its
// first colon.
func position(n ast.Node) (line, column int) {
	t := n.GetToken()
	switch m := n.(type) {
	case *ast.MappingNode:
		if !m.IsFlowStyle && len(m.Values) > 0 {
			t = m.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		t = m.Key.GetToken()
	}
	if t == nil || t.Position == nil {
		return 1, 1
	}
	return t.Position.Line, t.Position.Column
}

// block reads a mapping into a struct; keys that are missing get their defaults.
func (r *reader) block(n ast.Node, v reflect.Value, path string) {
	if source := v.FieldByName("Source"); source.IsValid() {
		source.SetString(r.file + ":" + r.places[path].String())
	}
	values, ok := entries(n)
	if !ok {
		r.spoil(path, "a block of keys is needed, not %s", describe(n))
	}
	fields := fieldsOf(v.Type())
	byName := map[string]*field{}
	var names []string
	for i := range fields {
		byName[fields[i].name] = &fields[i]
		names = append(names, fields[i].name)
	}
	for _, kv := range r.keys(values, path) {
		f, at := byName[kv.name], join(path, kv.name)
		switch {
		case f == nil:
			r.unknown(kv, names, path)
		case f.status == unsupported:
			r.faultAt(kv.line, kv.column, at, "not supported yet; leave the key out")
			r.places[at] = place{line: kv.line, column: kv.column, broken: true}
		default:
			r.value(kv.value, v.Field(f.index), f, at)
			if f.status == unenforced && !v.Field(f.index).IsZero() {
				r.later = append(r.later, indexes.ReplaceAllString(at, "[]"))
			}
		}
	}
	for i := range fields {
		f := &fields[i]
		if at := join(path, f.name); !r.wrote(at) {
			r.missing(v.Field(f.index), f, at)
		}
	}
}

var indexes = regexp.MustCompile(`\[[0-9]+\]`)

// dictionary reads a mapping whose keys are names.
func (r *reader) dictionary(n ast.Node, v reflect.Value, f *field, path string) {
	v.Set(reflect.MakeMap(v.Type()))
	values, ok := entries(n)
	if !ok {
		r.spoil(path, "names are needed, each with a block of keys, not %s", describe(n))
	}
	for _, kv := range r.keys(values, path) {
		at := join(path, kv.name)
		if _, err := f.form.check(kv.name, r.dir); err != nil {
			r.faultAt(kv.line, kv.column, path, "%v", err)
			continue
		}
		item := reflect.New(v.Type().Elem()).Elem()
		r.value(kv.value, item, f, at)
		v.SetMapIndex(reflect.ValueOf(kv.name), item)
	}
}

func (r *reader) list(n ast.Node, v reflect.Value, f *field, path string) {
	sequence, ok := n.(*ast.SequenceNode)
	if !ok {
		r.spoil(path, "a list is needed, not %s; write [one, another], or a line with - for each", describe(n))
		return
	}
	if len(sequence.Values) == 0 && (f.required || f.def != "") {
		r.spoil(path, "the list is empty; write at least one item (%s)", f.item().want())
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(sequence.Values), len(sequence.Values)))
	for i, n := range sequence.Values {
		r.value(n, v.Index(i), f.item(), index(path, i))
	}
	if v.Type().Elem().Kind() == reflect.String {
		r.unique(v, path)
	}
}

// unique refuses a text that stands twice in a list: it is a slip, most likely
// of another text.
func (r *reader) unique(v reflect.Value, path string) {
	first := map[string]int{}
	for i := range v.Len() {
		at, text := index(path, i), v.Index(i).String()
		if r.places[at].broken {
			continue
		}
		if j, twice := first[text]; twice {
			r.spoil(at, "the same stands in the list already, at %s; leave one of them out", r.places[index(path, j)])
			continue
		}
		first[text] = i
	}
}

// scalar reads one value, with its variables filled in. As soon as one was, what
// is wrong is said by its name and never by its value.
func (r *reader) scalar(n ast.Node, v reflect.Value, f *field, path string) {
	s, ok := written(n)
	if !ok {
		r.spoil(path, "%s, not %s (a text with brackets or colons needs quotes)", f.want(), describe(n))
		return
	}
	if s.kind == plain || s.kind == quoted {
		e := expansion{dir: r.dir, getenv: r.getenv}
		s.text = e.expand(s.text)
		for _, reason := range e.reasons {
			r.fault(path, "%s", reason)
		}
		if e.names != nil {
			s.kind = expanded
		}
		at := r.places[path]
		at.names, at.broken = e.names, e.reasons != nil
		r.places[path] = at
		if at.broken {
			return
		}
	}
	if err := f.set(v, s, r.dir); err != nil {
		r.unfit(path, f, err)
	}
}

// unfit reports a value that is not what the field needs.
func (r *reader) unfit(path string, f *field, err error) {
	if names := r.places[path].names; names != nil {
		r.spoil(path, "with %s filled in the value does not fit; %s", strings.Join(names, " and "), f.want())
		return
	}
	r.spoil(path, "%v", err)
}

// written returns a value as it stands in the file.
func written(n ast.Node) (scalar, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		if t := n.Token.Type; t == token.SingleQuoteType || t == token.DoubleQuoteType {
			return scalar{n.Value, quoted}, true
		}
		return scalar{n.Value, plain}, true
	case *ast.LiteralNode:
		return scalar{strings.TrimSuffix(n.Value.Value, "\n"), quoted}, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return scalar{n.GetToken().Value, numeral}, true
	case *ast.BoolNode:
		return scalar{n.Token.Value, boolean}, true
	}
	return scalar{}, false
}

// describe names what stands where something else is needed.
func describe(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a block of keys"
	case *ast.SequenceNode:
		return "a list"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "a truth value"
	}
	return "a text"
}
