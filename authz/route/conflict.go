package route

import "fmt"

// relation says how the requests of one pattern lie to those of another. Both
// bits together mean that each has requests that the other has not; none, that
// they are the same.
type relation uint8

const (
	wider    relation = 1 << iota // the first matches what the second does not
	narrower                      // the second matches what the first does not
	disjoint                      // nothing is matched by both
)

// crosswise is overlap without an order: neither pattern is the more specific.
const crosswise = wider | narrower

// conflict reports whether requests exist for which "the most specific wins"
// names no winner.
func (r relation) conflict() bool { return r == 0 || r == crosswise }

// compare relates two patterns. A pattern matches the pairs of a method, a
// first segment, a second segment, and so on; pairs are related as their parts are
// together, and nothing in common in one part is nothing in common at all.
func (p *pattern) compare(q *pattern) relation {
	r := compareMethods(p.method, q.method)
	if r&disjoint == 0 {
		r |= compareSegments(p.segments, q.segments)
	}
	if r&disjoint != 0 {
		return disjoint
	}
	return r
}

func compareMethods(a, b string) relation {
	switch {
	case a == b:
		return 0
	case a == "", a == "GET" && b == "HEAD":
		return wider
	case b == "", a == "HEAD" && b == "GET":
		return narrower
	default:
		return disjoint
	}
}

func compareSegments(a, b []segment) relation {
	var r relation
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].kind == rest && b[0].kind == rest:
			return r
		case a[0].kind == rest:
			return r | wider
		case b[0].kind == rest:
			return r | narrower
		}
		if r |= compareSegment(a[0], b[0]); r&disjoint != 0 {
			return disjoint
		}
		a, b = a[1:], b[1:]
	}
	if len(a) != len(b) {
		return disjoint // "/a" is not part of "/a/": nothing is redirected
	}
	return r
}

// compareSegment relates segments of which none is the rest of a path.
func compareSegment(a, b segment) relation {
	switch {
	case a.kind == single && b.kind == single:
		return 0
	case a.kind == single && b.kind == literal:
		return wider
	case a.kind == literal && b.kind == single:
		return narrower
	case a.kind == b.kind && a.text == b.text: // {$} has no text
		return 0
	default:
		return disjoint
	}
}

// describe tells the author of p why q, written at source, is in its way and
// what to do.
func (p *pattern) describe(q *pattern, host, source string) error {
	other := fmt.Sprintf("%q", q.written)
	if source != "" {
		other += " (" + source + ")"
	}
	if p.compare(q) == 0 {
		return fmt.Errorf("%q matches the same requests as %s on host %s; remove one of them", p.written, other, host)
	}
	both := fmt.Sprintf("%q and %s both match %s on host %s", p.written, other, commonRequest(p, q), host)
	if compareSegments(p.segments, q.segments) == crosswise {
		return fmt.Errorf("%s, and neither is more specific; change one so that it does not match this path", both)
	}
	methodOf, pathOf := p, q
	if compareMethods(p.method, q.method) == wider {
		methodOf, pathOf = q, p
	}
	return fmt.Errorf("%s, and neither is more specific: %q has the narrower method, %q the narrower path; give both the same method", both, methodOf.written, pathOf.written)
}

// commonRequest returns a method and a path that both patterns match.
func commonRequest(p, q *pattern) string {
	method := p.method
	if compareMethods(p.method, q.method) == wider {
		method = q.method
	}
	if method == "" {
		method = "GET"
	}
	a, b := p.segments, q.segments
	var common []segment
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].kind == rest:
			return method + " " + example(append(common, b...))
		case b[0].kind == rest:
			return method + " " + example(append(common, a...))
		case a[0].kind == single:
			common = append(common, b[0])
		default:
			common = append(common, a[0])
		}
		a, b = a[1:], b[1:]
	}
	return method + " " + example(common)
}
