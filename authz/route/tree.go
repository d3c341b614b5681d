package route

import (
	"slices"
	"strings"
)

// node is a place in the tree of the patterns of one host and one method; a
// step down is a segment. Entries are stored plus one, so that the zero node
// matches nothing.
type node struct {
	entry    int // patterns that end here
	rest     int // … with a rest from here on
	end      int // … with {$} here
	single   *node
	literals map[string]*node // by decoded text
	// sorted holds the keys of literals in order: a segment with escapes is
	// looked up here, decoded on the way, without a buffer for the decoded text.
	sorted []string
}

func (n *node) add(segments []segment, entry int) {
	for _, s := range segments {
		switch s.kind {
		case rest:
			n.rest = entry + 1
			return
		case end:
			n.end = entry + 1
			return
		case single:
			if n.single == nil {
				n.single = &node{}
			}
			n = n.single
		case literal:
			n = n.addLiteral(s.text)
		}
	}
	n.entry = entry + 1
}

func (n *node) addLiteral(text string) *node {
	next := n.literals[text]
	if next == nil {
		next = &node{}
		if n.literals == nil {
			n.literals = map[string]*node{}
		}
		n.literals[text] = next
		n.sorted = append(n.sorted, text)
	}
	return next
}

// overlapping appends the entries of all patterns in the tree that match some
// path which the segments match too. It is what keeps New from comparing every
// pair of ten thousand routes.
func (n *node) overlapping(segments []segment, found []int) []int {
	if n == nil {
		return found
	}
	if len(segments) == 0 {
		return appendEntry(found, n.entry)
	}
	found = appendEntry(found, n.rest)
	switch s := segments[0]; s.kind {
	case literal:
		found = n.literals[s.text].overlapping(segments[1:], found)
		found = n.single.overlapping(segments[1:], found)
	case single:
		for _, next := range n.literals {
			found = next.overlapping(segments[1:], found)
		}
		found = n.single.overlapping(segments[1:], found)
	case end:
		found = appendEntry(found, n.end)
	case rest:
		found = n.below(found)
	}
	return found
}

// below appends what goes on from this node, but for its rest.
func (n *node) below(found []int) []int {
	found = appendEntry(found, n.end)
	for _, next := range n.literals {
		found = next.below(appendEntry(appendEntry(found, next.entry), next.rest))
	}
	if next := n.single; next != nil {
		found = next.below(appendEntry(appendEntry(found, next.entry), next.rest))
	}
	return found
}

func appendEntry(found []int, plusOne int) []int {
	if plusOne == 0 {
		return found
	}
	return append(found, plusOne-1)
}

// sort makes the tree ready for match.
func (n *node) sort() {
	slices.Sort(n.sorted)
	for _, next := range n.literals {
		next.sort()
	}
	if n.single != nil {
		n.single.sort()
	}
}

// match returns the entry plus one, or 0. Literals come first, then a wildcard
// for the segment, then the rest: without conflicts among the patterns this order
// finds the most specific one. A literal that leads nowhere is left again, so the
// worst path visits every node once.
func (n *node) match(path string) int {
	switch {
	case n == nil:
		return 0
	case path == "":
		return n.entry
	case path == "/":
		if n.end != 0 {
			return n.end
		}
		return n.rest
	}
	segment, remaining := path[1:], ""
	if i := strings.IndexByte(segment, '/'); i >= 0 {
		segment, remaining = segment[:i], segment[i:]
	}
	if entry := n.literal(segment).match(remaining); entry != 0 {
		return entry
	}
	if entry := n.single.match(remaining); entry != 0 {
		return entry
	}
	return n.rest
}

// literal returns the child for a segment as it stands in a request.
func (n *node) literal(segment string) *node {
	if len(n.sorted) == 0 || !escaped(segment) {
		return n.literals[segment]
	}
	if i, found := slices.BinarySearchFunc(n.sorted, segment, compareDecoded); found {
		return n.literals[n.sorted[i]]
	}
	return nil
}

// escaped reports whether a segment has escapes and all of them are good. With
// a bad one it is compared as it is, as ServeMux does.
func escaped(segment string) bool {
	found := false
	for i := 0; i < len(segment); i++ {
		if segment[i] == '%' {
			if i+2 >= len(segment) || !isHex(segment[i+1]) || !isHex(segment[i+2]) {
				return false
			}
			found = true
			i += 2
		}
	}
	return found
}

// compareDecoded orders a text and a segment whose escapes are good.
func compareDecoded(text, segment string) int {
	read := 0
	for i := 0; i < len(segment); i++ {
		c := segment[i]
		if c == '%' {
			c = unhex(segment[i+1])<<4 | unhex(segment[i+2])
			i += 2
		}
		switch {
		case read == len(text) || text[read] < c:
			return -1
		case text[read] > c:
			return 1
		}
		read++
	}
	return len(text) - read
}
