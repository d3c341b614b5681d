package config

import (
	"fmt"
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"
)

// maxDepth bounds blocks within blocks: the parser calls itself for each.
const maxDepth = 50

// single refuses what the parser would skip silently, a second document above
// all, and what would make it call itself too often.
func (r *reader) single(tokens token.Tokens) bool {
	var content, ended bool
	depth, line, inLine := 0, 0, 0
	for _, t := range tokens {
		reason := ""
		switch t.Type {
		case token.CommentType:
			continue
		case token.DirectiveType:
			reason = "directives (%) are not supported; leave the line out"
		case token.DocumentEndType:
			ended = true
			continue
		case token.DocumentHeaderType:
			if content || ended {
				reason = "a second document begins here; write one document in a file"
			}
			content = true
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType:
			if t.Position.Line != line {
				line, inLine = t.Position.Line, 0
			}
			inLine++
		}
		switch {
		case reason != "":
		case ended:
			reason = `the document has ended with "..."; leave out what follows, or the dots`
		case depth > maxDepth || inLine > maxDepth:
			reason = fmt.Sprintf("more than %d blocks within each other; a configuration needs no more than ten", maxDepth)
		}
		if reason != "" {
			r.faultAt(t.Position.Line, t.Position.Column, "", "%s", reason)
			return false
		}
		content = true
	}
	return true
}

// joinColons makes one text again of what the lexer takes for a key and its
// value. Inside braces it ends a key at every colon; YAML asks for a space after
// it (YAML 1.2 section 7.3.3), so that {scopes: [contacts:read]} is one scope.
func joinColons(tokens token.Tokens) token.Tokens {
	joined := tokens[:0]
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		if n := len(joined); n > 0 && i+1 < len(tokens) && isPlain(joined[n-1]) && t.Type == token.MappingValueType &&
			isPlain(tokens[i+1]) && adjoin(joined[n-1], t) && adjoin(t, tokens[i+1]) {
			key, value := joined[n-1], tokens[i+1]
			key.Type = token.StringType
			key.Value += ":" + value.Value
			key.Origin += t.Origin + value.Origin
			i++
			continue
		}
		joined = append(joined, t)
	}
	return joined
}

func isPlain(t *token.Token) bool {
	switch t.Type {
	case token.StringType, token.IntegerType, token.BinaryIntegerType, token.OctetIntegerType, token.HexIntegerType,
		token.FloatType, token.InfinityType, token.NanType, token.BoolType, token.NullType:
		return true
	}
	return false
}

// adjoin reports whether b follows a without a space.
func adjoin(a, b *token.Token) bool {
	return a.Position.Line == b.Position.Line && a.Position.Column+utf8.RuneCountInString(a.Value) == b.Position.Column
}
