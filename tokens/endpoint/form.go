package endpoint

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// maxParameters is far beyond any token request.
const maxParameters = 100

// parseForm reads application/x-www-form-urlencoded. It refuses what two parsers
// could understand differently: a parameter sent twice (RFC 6749 section 3.2),
// bad escapes, ";", and text that is not UTF-8 or holds a NUL.
func parseForm(text string) (map[string]string, *refusal) {
	form := map[string]string{}
	for n := 1; text != ""; n++ {
		if n > maxParameters {
			return nil, fault("more than %d parameters", maxParameters)
		}
		var part string
		part, text, _ = strings.Cut(text, "&")
		if part == "" { // as browsers read it
			continue
		}
		key, value, _ := strings.Cut(part, "=")
		name, ok := unescape(key)
		value, valueOK := unescape(value)
		if !ok || !valueOK {
			return nil, fault("parameter %d is not well-formed: UTF-8 as application/x-www-form-urlencoded is needed", n)
		}
		if _, twice := form[name]; twice {
			if !slices.Contains(parameters, name) {
				name = "a parameter" // not a word of ours
			}
			return nil, fault("%s is sent more than once", name)
		}
		form[name] = value
	}
	return form, nil
}

// unescape decodes a name or a value. Raw bytes that every encoder escapes are
// refused.
func unescape(s string) (string, bool) {
	plain := true
	for i := range len(s) {
		switch c := s[i]; {
		case c == '%' || c == '+':
			plain = false
		case c <= ' ' || c > '~' || c == ';':
			return "", false
		}
	}
	if plain {
		return s, true
	}
	decoded := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '+':
			decoded = append(decoded, ' ')
		case '%':
			if len(s)-i < 3 {
				return "", false
			}
			high, highOK := hexDigit(s[i+1])
			low, lowOK := hexDigit(s[i+2])
			if !highOK || !lowOK || high|low == 0 {
				return "", false
			}
			decoded = append(decoded, high<<4|low)
			i += 2
		default:
			decoded = append(decoded, s[i])
		}
	}
	return string(decoded), utf8.Valid(decoded)
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
