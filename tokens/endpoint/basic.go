package endpoint

import (
	"encoding/base64"
	"strings"

	"github.com/tollgate-authz/tollgate/tokens"
)

// cutBasic returns what follows the scheme of a Basic header (RFC 7617), and
// whether it is one.
func cutBasic(header string) (encoded string, basic bool) {
	scheme, rest, _ := strings.Cut(header, " ")
	return strings.TrimLeft(rest, " "), strings.EqualFold(scheme, "Basic")
}

// parseBasic splits the credentials of a Basic header. They end at the first
// colon: no client_id has one.
//
// RFC 6749 section 2.3.1 has clients form-encode both halves first; some do,
// others do not. Our own ids, aliases and secrets have no character that the
// encoding changes and none of those it makes, so both spellings can be read.
func parseBasic(encoded string) (id string, secret tokens.Secret, ok bool) {
	if strings.ContainsAny(encoded, "\r\n") { // even the strict decoder passes over them
		return "", "", false
	}
	plain, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return "", "", false
	}
	id, password, colon := strings.Cut(string(plain), ":")
	if !colon || strings.ContainsFunc(string(plain), func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", "", false
	}
	return decodeOnce(id), tokens.Secret(decodeOnce(password)), true
}

// decodeOnce undoes the form encoding where there is one. What cannot be decoded
// stays as it is, and is nobody's id or secret.
func decodeOnce(s string) string {
	if decoded, ok := unescape(s); ok && strings.Contains(s, "%") {
		return decoded
	}
	return s
}
