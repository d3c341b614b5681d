package decisions

import "strings"

// hidden is shown in place of what looks like a credential.
const hidden = "<hidden>"

// withoutQuery is a path alone: queries hold secrets, and so do fragments, which no
// client should send.
func withoutQuery(path string) string {
	if i := strings.IndexByte(path, '?'); i >= 0 {
		path = path[:i]
	}
	if i := strings.IndexByte(path, '#'); i >= 0 {
		path = path[:i]
	}
	return path
}

// hide replaces whatever in a text looks like a credential, up to the next slash, space
// or quote on either side. People put tokens into paths, and upstreams ask them to.
func hide(text string) string {
	if !isCredential(text) {
		return text // as nearly all
	}
	var b strings.Builder
	for rest := text; rest != ""; {
		end := strings.IndexAny(rest, "/ \t\"'")
		if end < 0 {
			end = len(rest)
		}
		if isCredential(rest[:end]) {
			b.WriteString(hidden)
		} else {
			b.WriteString(rest[:end])
		}
		if end < len(rest) {
			b.WriteByte(rest[end])
			end++
		}
		rest = rest[end:]
	}
	return b.String()
}

// isCredential recognises JWTs, and the access tokens, refresh tokens and API keys that
// are made here, also where something stands before them.
func isCredential(text string) bool {
	if strings.IndexByte(text, 'J') < 0 && strings.IndexByte(text, '_') < 0 { // as nearly all; two bytes are looked for faster than two words
		return false
	}
	if i := strings.Index(text, "eyJ"); i >= 0 && strings.Count(text[i:], ".") >= 2 {
		return true
	}
	for {
		_, after, found := strings.Cut(text, "tg")
		if !found {
			return false
		}
		if len(after) > 1 && after[1] == '_' && (after[0] == 'a' || after[0] == 'r' || after[0] == 'k') {
			return true
		}
		text = after
	}
}
