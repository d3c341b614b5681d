package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// unknown reports a key that does not exist. When it is a slip of another one,
// that one counts as written, or its absence would be reported as well.
func (r *reader) unknown(kv entry, names []string, path string) {
	reason, meant := "", ""
	if before, _, found := strings.Cut(kv.name, ":"); found && slices.Contains(names, before) {
		reason, meant = "write a space after the colon of "+before, before
	} else if guess := nearest(kv.name, names); guess != "" {
		reason, meant = fmt.Sprintf("did you mean %q?", guess), guess
	} else {
		reason = "the keys here are " + strings.Join(names, ", ")
	}
	r.faultAt(kv.line, kv.column, join(path, kv.name), "the key is unknown; %s", reason)
	if at := join(path, meant); meant != "" && !r.wrote(at) {
		r.places[at] = place{line: kv.line, column: kv.column, broken: true}
	}
}

// entry is one key of a mapping and its value.
type entry struct {
	name         string
	value        ast.Node
	line, column int
}

// entries returns what a mapping holds.
func entries(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	}
	return nil, false
}

// keys reads the keys of a mapping. Of a key that stands twice the first counts.
func (r *reader) keys(values []*ast.MappingValueNode, path string) []entry {
	var found []entry
	first := map[string]place{}
	for _, kv := range values {
		line, column := position(kv)
		name, reason := key(kv.Key)
		if reason != "" {
			r.faultAt(line, column, path, "%s", reason)
			continue
		}
		if earlier, twice := first[name]; twice {
			r.faultAt(line, column, join(path, name), "the key stands here already, at %s; write it once", earlier)
			continue
		}
		first[name] = place{line: line, column: column}
		found = append(found, entry{name, kv.Value, line, column})
	}
	return found
}

// key reads the text of a key, or says why it is none.
func key(n ast.MapKeyNode) (name, reason string) {
	switch k := n.(type) {
	case *ast.StringNode:
		return k.Value, ""
	case *ast.MergeKeyNode:
		return "", "merge keys (<<) are not supported; write the keys themselves"
	case *ast.MappingKeyNode:
		return "", `keys after "?" are not supported; write "key: value"`
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		return "", "a key has neither anchor nor tag; write the key alone"
	}
	return "", fmt.Sprintf(`the key %s is not a text; write "%s" with quotes if it is meant as one`, n.GetToken().Value, n.GetToken().Value)
}
