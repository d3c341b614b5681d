// Package strictjson reads JSON the way a verifier of signed tokens must: a
// document that two parsers could understand differently is refused.
//
// It owns the syntax of every JSON document that strangers send (JWT headers
// and claims, key sets, token requests). It does not map JSON to Go structs;
// its callers ask the tree for the members they know, by their exact names.
//
// Refused beyond RFC 8259: duplicate names at any depth (RFC 8259 section 4
// leaves them to chance, which is how "alg" and "alg" slip past a check), text
// that is not UTF-8, lone surrogates, a byte order mark, and nesting deeper than
// the caller allows.
package strictjson

import (
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// Kind is the type of a JSON value. The zero Kind is no value at all.
type Kind uint8

// The kinds of RFC 8259 section 3.
const (
	Invalid Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

// String returns the kind's name as an error message would use it.
func (k Kind) String() string {
	return [...]string{"nothing", "null", "a boolean", "a number", "a string", "an array", "an object"}[k]
}

// Value is one parsed value.
type Value struct {
	Kind    Kind
	Text    string   // the decoded string, the number as written, or "true" and "false"
	Items   []Value  // of an array
	Members []Member // of an object, in document order
	Raw     []byte   // the value as written; shares the memory of the document
}

// Member is one name and its value.
type Member struct {
	Name  string
	Value Value
}

// Get returns the member of that exact name; nil when v is no object or has none.
func (v *Value) Get(name string) *Value {
	for i := range v.Members {
		if v.Members[i].Name == name {
			return &v.Members[i].Value
		}
	}
	return nil
}

// Time returns the value as a NumericDate (RFC 7519 section 2): seconds since 1970,
// which may have a fraction. False when it is no number or outside ±2^53 seconds,
// where other parsers would lose digits.
func (v *Value) Time() (time.Time, bool) {
	if v == nil || v.Kind != Number {
		return time.Time{}, false
	}
	if n, err := strconv.ParseInt(v.Text, 10, 64); err == nil {
		return time.Unix(n, 0), n > -1<<53 && n < 1<<53
	}
	f, err := strconv.ParseFloat(v.Text, 64)
	if err != nil || !(f > -1<<53 && f < 1<<53) {
		return time.Time{}, false
	}
	whole, fraction := math.Modf(f)
	return time.Unix(int64(whole), int64(fraction*1e9)), true
}

// SyntaxError says where a document stopped being acceptable, and why.
type SyntaxError struct {
	Offset int // bytes from the start
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("byte %d: %s", e.Offset, e.Reason)
}

// Parse reads one whole document. Arrays and objects may nest maxDepth deep.
// The error is a *SyntaxError.
func Parse(doc []byte, maxDepth int) (Value, error) {
	p := parser{doc: doc, room: maxDepth}
	if !utf8.Valid(doc) {
		return Value{}, p.fail("not UTF-8")
	}
	p.space()
	v, err := p.value()
	if err != nil {
		return Value{}, err
	}
	p.space()
	if p.at != len(doc) {
		return Value{}, p.fail("more text after the value")
	}
	return v, nil
}

type parser struct {
	doc  []byte
	at   int
	room int // how much deeper arrays and objects may still nest
}

func (p *parser) fail(reason string) error { return &SyntaxError{Offset: p.at, Reason: reason} }

func (p *parser) space() {
	for p.at < len(p.doc) {
		switch p.doc[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// peek returns the next byte, or 0 at the end (a NUL is never valid either).
func (p *parser) peek() byte {
	if p.at < len(p.doc) {
		return p.doc[p.at]
	}
	return 0
}

func (p *parser) value() (Value, error) {
	start := p.at
	var v Value
	var err error
	switch c := p.peek(); {
	case c == '{':
		v, err = p.object()
	case c == '[':
		v, err = p.array()
	case c == '"':
		v.Kind = String
		v.Text, err = p.text()
	case c == '-' || '0' <= c && c <= '9':
		v, err = p.number()
	case c == 't':
		v, err = p.word("true", Bool)
	case c == 'f':
		v, err = p.word("false", Bool)
	case c == 'n':
		v, err = p.word("null", Null)
	case p.at >= len(p.doc):
		err = p.fail("the document ends where a value should be")
	default:
		err = p.fail("no JSON value starts here")
	}
	v.Raw = p.doc[start:p.at:p.at]
	return v, err
}

func (p *parser) word(w string, kind Kind) (Value, error) {
	if len(p.doc)-p.at < len(w) || string(p.doc[p.at:p.at+len(w)]) != w {
		return Value{}, p.fail("no JSON value starts here")
	}
	p.at += len(w)
	return Value{Kind: kind, Text: w}, nil
}

func (p *parser) enter() error {
	if p.room--; p.room < 0 {
		return p.fail("nested too deeply")
	}
	p.at++
	p.space()
	return nil
}

func (p *parser) array() (Value, error) {
	v := Value{Kind: Array}
	if err := p.enter(); err != nil {
		return v, err
	}
	defer func() { p.room++ }()
	if p.peek() == ']' {
		p.at++
		return v, nil
	}
	for {
		item, err := p.value()
		if err != nil {
			return v, err
		}
		v.Items = append(v.Items, item)
		if done, err := p.next(']'); done || err != nil {
			return v, err
		}
	}
}

func (p *parser) object() (Value, error) {
	v := Value{Kind: Object}
	if err := p.enter(); err != nil {
		return v, err
	}
	defer func() { p.room++ }()
	if p.peek() == '}' {
		p.at++
		return v, nil
	}
	var names nameSet
	for {
		if p.peek() != '"' {
			return v, p.fail("a member must start with its name in quotes")
		}
		name, err := p.text()
		if err != nil {
			return v, err
		}
		if !names.add(v.Members, name) {
			return v, p.fail("the same name twice in one object")
		}
		p.space()
		if p.peek() != ':' {
			return v, p.fail("':' expected after a name")
		}
		p.at++
		p.space()
		member, err := p.value()
		if err != nil {
			return v, err
		}
		v.Members = append(v.Members, Member{Name: name, Value: member})
		if done, err := p.next('}'); done || err != nil {
			return v, err
		}
	}
}

// next steps over the comma before another element, or over the closing bracket.
func (p *parser) next(closing byte) (done bool, err error) {
	p.space()
	switch p.peek() {
	case ',':
		p.at++
		p.space()
		return false, nil
	case closing:
		p.at++
		return true, nil
	}
	return false, p.fail("',' or '" + string(closing) + "' expected")
}

// nameSet finds duplicate names. Few names are compared one by one; an object
// with many gets a map, so that a hostile one costs no quadratic time.
type nameSet struct{ many map[string]struct{} }

func (s *nameSet) add(sofar []Member, name string) bool {
	const few = 16
	if len(sofar) < few {
		for i := range sofar {
			if sofar[i].Name == name {
				return false
			}
		}
		return true
	}
	if s.many == nil {
		s.many = make(map[string]struct{}, 2*few)
		for i := range sofar {
			s.many[sofar[i].Name] = struct{}{}
		}
	}
	if _, twice := s.many[name]; twice {
		return false
	}
	s.many[name] = struct{}{}
	return true
}
