package route

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
	"unicode"
)

// ValidPattern says what is wrong with a pattern and what would be right.
//
// The language is that of net/http.ServeMux. Refused besides, because no request
// would ever match and the author must have meant something else: a host before
// the path (hosts have their own list), a path that Plain refuses whatever the
// API allows, a query, and a standard method in lower case.
func ValidPattern(pattern string) error {
	_, err := parse(pattern)
	return err
}

// kind says what a segment of a pattern matches.
type kind uint8

const (
	literal kind = iota // this text, compared after decoding
	single              // {x}: any one segment
	rest                // {x...}, or a trailing slash: a slash and all that follows, or nothing
	end                 // {$}: a trailing slash and nothing more
)

// segment is the part of a pattern from one slash to the next.
type segment struct {
	kind kind
	text string // decoded literal, or name of the wildcard
}

// pattern is a parsed pattern; method "" stands for all.
type pattern struct {
	written  string
	method   string
	segments []segment
}

func parse(written string) (*pattern, error) {
	if written == "" {
		return nil, errors.New(`the pattern is empty; write a method and a path, like "GET /v1/contacts/{id}"`)
	}
	p := &pattern{written: written}
	route := written
	if i := strings.IndexAny(written, " \t"); i >= 0 {
		p.method, route = written[:i], strings.TrimLeft(written[i+1:], " \t")
	}
	if err := p.checkMethod(route); err != nil {
		return nil, fmt.Errorf("%q: %w", written, err)
	}
	if err := p.checkRoute(route); err != nil {
		return nil, fmt.Errorf("%q: %w", written, err)
	}
	if err := p.addSegments(route); err != nil {
		return nil, fmt.Errorf("%q: %w", written, err)
	}
	if err := p.checkReachable(route); err != nil {
		return nil, fmt.Errorf("%q: %w", written, err)
	}
	return p, nil
}

func (p *pattern) checkMethod(route string) error {
	if !isToken(p.method) {
		return fmt.Errorf("%q is not an HTTP method; write one like GET, or none for all methods", p.method)
	}
	switch upper := strings.ToUpper(p.method); upper {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE":
		if p.method != upper {
			return fmt.Errorf("methods are written in capitals; write %q", upper+" "+route)
		}
	}
	return nil
}

// checkRoute looks for what does not belong into the path of a pattern.
func (p *pattern) checkRoute(route string) error {
	if i := strings.IndexAny(route, "?#"); i >= 0 {
		return fmt.Errorf("a pattern has no query and no fragment; write %q", p.with(route[:i]))
	}
	if strings.HasPrefix(route, "/") {
		return nil
	}
	first, remaining, found := strings.Cut(route, "/")
	switch {
	case route == "":
		return fmt.Errorf("the path is missing; write %q", p.with("/"))
	case !found && p.method == "" && route == strings.ToUpper(route) && isToken(route):
		return fmt.Errorf("the path is missing; write %q", route+" /")
	case strings.ContainsAny(first, ".:"):
		return fmt.Errorf("a host belongs into the list of hosts, not before the path; write %q", p.with("/"+remaining))
	default:
		return fmt.Errorf("the path does not start with \"/\"; write %q", p.with("/"+route))
	}
}

// with returns what the author could write instead: another path after the
// same method.
func (p *pattern) with(route string) string {
	if p.method == "" {
		return route
	}
	return p.method + " " + route
}

func (p *pattern) addSegments(route string) error {
	parts := strings.Split(route[1:], "/")
	names := map[string]bool{}
	for i, part := range parts {
		final := i == len(parts)-1
		s := segment{kind: literal, text: decoded(part)}
		switch {
		case part == "" && final:
			s = segment{kind: rest}
		case strings.Contains(part, "{"):
			var err error
			if s, err = wildcard(part, final); err != nil {
				return err
			}
			if s.kind != end && names[s.text] {
				return fmt.Errorf("two wildcards are named %q; give each its own name", s.text)
			}
			names[s.text] = true
		}
		p.segments = append(p.segments, s)
	}
	return nil
}

// wildcard reads a segment that has a "{".
func wildcard(part string, final bool) (segment, error) {
	if part[0] != '{' || strings.IndexByte(part, '}') != len(part)-1 {
		return segment{}, fmt.Errorf("%q: a wildcard is a whole segment; write one like \"/{id}/\"", part)
	}
	s := segment{kind: single, text: part[1 : len(part)-1]}
	if s.text == "$" {
		s = segment{kind: end}
	} else if name, found := strings.CutSuffix(s.text, "..."); found {
		s = segment{kind: rest, text: name}
	}
	switch {
	case s.kind != single && !final:
		return segment{}, fmt.Errorf("%q takes the end of the path; write it last, or a wildcard for one segment like {id}", part)
	case s.kind != end && !isIdentifier(s.text):
		return segment{}, fmt.Errorf("%q: a wildcard's name is letters, digits and \"_\", and does not start with a digit; write one like {contact_id}", part)
	}
	return s, nil
}

// checkReachable asks whether any request that passes Plain can match.
func (p *pattern) checkReachable(route string) error {
	err := Plain(example(p.segments), Allow{Semicolon: true, EncodedSlash: true})
	if err == nil {
		return nil
	}
	cleaned := path.Clean(route)
	if strings.HasSuffix(route, "/") && cleaned != "/" {
		cleaned += "/"
	}
	if cleaned != route {
		return fmt.Errorf("no request can match (%w); write %q", err, p.with(cleaned))
	}
	return fmt.Errorf("no request can match (%w)", err)
}

// example returns a path that the segments match.
func example(segments []segment) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteByte('/')
		switch s.kind {
		case literal, single:
			b.WriteString(url.PathEscape(s.text))
		}
	}
	return b.String()
}

// decoded returns a segment without its escapes, or as it is if one is bad.
func decoded(segment string) string {
	if text, err := url.PathUnescape(segment); err == nil {
		return text
	}
	return segment
}

// isToken reports whether s could be a method (RFC 9110 §5.6.2), or is none.
func isToken(s string) bool {
	for _, c := range []byte(s) {
		alphanumeric := '0' <= c && c <= '9' || 'a' <= lower(c) && lower(c) <= 'z'
		if !alphanumeric && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return true
}

// isIdentifier reports whether s is an identifier of Go, as ServeMux asks for.
func isIdentifier(s string) bool {
	for i, r := range s {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return false
		}
	}
	return s != ""
}
