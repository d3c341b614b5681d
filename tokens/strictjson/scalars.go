package strictjson

import (
	"unicode/utf16"
	"unicode/utf8"
)

// number reads the grammar of RFC 8259 section 6: no leading zeros, no plus, a
// digit on both sides of the point.
func (p *parser) number() (Value, error) {
	start := p.at
	if p.peek() == '-' {
		p.at++
	}
	switch c := p.peek(); {
	case c == '0':
		p.at++
	case '1' <= c && c <= '9':
		p.digits()
	default:
		return Value{}, p.fail("a number needs a digit here")
	}
	if p.peek() == '.' {
		p.at++
		if !p.digits() {
			return Value{}, p.fail("a number needs a digit after the point")
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.at++
		if c := p.peek(); c == '+' || c == '-' {
			p.at++
		}
		if !p.digits() {
			return Value{}, p.fail("a number needs a digit in its exponent")
		}
	}
	return Value{Kind: Number, Text: string(p.doc[start:p.at])}, nil
}

func (p *parser) digits() bool {
	start := p.at
	for c := p.peek(); '0' <= c && c <= '9'; c = p.peek() {
		p.at++
	}
	return p.at > start
}

// text reads a string and decodes its escapes.
func (p *parser) text() (string, error) {
	p.at++ // the opening quote
	start := p.at
	for p.at < len(p.doc) {
		switch c := p.doc[p.at]; {
		case c == '"':
			s := string(p.doc[start:p.at])
			p.at++
			return s, nil
		case c == '\\':
			return p.escaped(start)
		case c < 0x20:
			return "", p.fail("a control character in a string")
		}
		p.at++
	}
	return "", p.fail("a string without its closing quote")
}

// escaped goes on where text met the first backslash.
func (p *parser) escaped(start int) (string, error) {
	decoded := append([]byte(nil), p.doc[start:p.at]...)
	for p.at < len(p.doc) {
		switch c := p.doc[p.at]; {
		case c == '"':
			p.at++
			return string(decoded), nil
		case c == '\\':
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			decoded = utf8.AppendRune(decoded, r)
			continue
		case c < 0x20:
			return "", p.fail("a control character in a string")
		default:
			decoded = append(decoded, c)
		}
		p.at++
	}
	return "", p.fail("a string without its closing quote")
}

func (p *parser) escape() (rune, error) {
	p.at++ // the backslash
	c := p.peek()
	p.at++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		return p.unicode()
	}
	p.at--
	return 0, p.fail("no such escape in a string")
}

// unicode reads what follows \u. Half a surrogate pair stands for no character;
// parsers replace it in different ways, so it is refused.
func (p *parser) unicode() (rune, error) {
	r, ok := p.hex4()
	if !ok {
		return 0, p.fail(`\u needs four hexadecimal digits`)
	}
	if !utf16.IsSurrogate(r) {
		return r, nil
	}
	if p.peek() == '\\' && p.at+1 < len(p.doc) && p.doc[p.at+1] == 'u' {
		p.at += 2
		if low, ok := p.hex4(); ok {
			if full := utf16.DecodeRune(r, low); full != utf8.RuneError {
				return full, nil
			}
		}
	}
	return 0, p.fail("half a surrogate pair in a string")
}

func (p *parser) hex4() (rune, bool) {
	if len(p.doc)-p.at < 4 {
		return 0, false
	}
	var r rune
	for _, c := range p.doc[p.at : p.at+4] {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	p.at += 4
	return r, true
}
