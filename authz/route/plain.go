package route

import "errors"

// Allow names what an API lets through although it is refused by default.
// Both are safe only where the upstream takes the bytes as ordinary text: an
// upstream that cuts ";…" off, or that routes by the decoded slash, may serve
// another path than the one the table has matched.
type Allow struct {
	Semicolon    bool // ";" and "%3b"
	EncodedSlash bool // "%2f"
}

// The reasons of Plain. They are made once, so that a refusal allocates nothing.
var (
	errNotRooted       = errors.New(`the path does not start with "/"`)
	errDotSegment      = errors.New(`the path has a "." or ".." segment, plain or encoded; send the path that it resolves to`)
	errEmptySegment    = errors.New(`the path has an empty segment ("//"); send a single slash`)
	errEncodedSlash    = errors.New(`the path has an encoded slash (%2f), which this API does not allow (allow_in_path)`)
	errSemicolon       = errors.New(`the path has a semicolon (";" or %3b), which this API does not allow (allow_in_path)`)
	errBackslash       = errors.New(`the path has a backslash ("\" or %5c)`)
	errDoubleEncoding  = errors.New(`the path is encoded twice: after decoding it still holds "%" and two hexadecimal digits`)
	errControl         = errors.New(`the path has a control character, plain or encoded`)
	errSpace           = errors.New(`the path has a space; send %20`)
	errDelimiter       = errors.New(`the path has a "#" or "?"; send %23 or %3f where it belongs to the path`)
	errBadEscape       = errors.New(`the path has a "%" without two hexadecimal digits; send %25 for the sign itself`)
	errNotUTF8         = errors.New(`the path is not UTF-8 after decoding`)
	errNamelessSegment = errors.New(`the path has a segment of parameters alone ("/;x")`)
)

// Plain reports why a path must not be matched at all, or nil. It reads the
// bytes of Envoy's :path up to, and not including, the "?".
//
// Envoy, tollgate and the upstream each read a path in their own way: one
// decodes, one resolves "..", one merges slashes, one cuts ";…" off, one takes
// "\" for "/". A caller who finds a path that two of them read differently has
// passed the route's scopes. A plain path has one reading: decoding it, decoding
// it again and cleaning it all lead to the same segments.
func Plain(path string, allow Allow) error {
	if path == "" || path[0] != '/' {
		return errNotRooted
	}
	s := scan{allow: allow, onlyDots: true}
	for i := 1; i < len(path); i++ {
		c, encoded := path[i], false
		if unremarkable[c] && s.idle() {
			s.name++
			s.onlyDots = false
			continue
		}
		if c == '%' {
			if i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
				return errBadEscape
			}
			c, encoded = unhex(path[i+1])<<4|unhex(path[i+2]), true
			i += 2
		}
		if err := s.next(c, encoded); err != nil {
			return err
		}
	}
	return s.end()
}

// unremarkable holds the bytes that have no meaning to anybody who reads a path.
var unremarkable = func() (t [256]bool) {
	for c := '!'; c < 0x7f; c++ {
		t[c] = true
	}
	for _, c := range "#%./;?\\" {
		t[c] = false
	}
	return t
}()

// scan is what must be remembered between two decoded bytes of a path.
type scan struct {
	allow Allow

	name       int  // bytes of the segment before its parameters
	onlyDots   bool // the name is dots so far
	parameters bool // a ";" has been seen in the segment

	percent int // length of the prefix of "%", hex, hex that has been decoded

	// What may follow in a UTF-8 sequence (Unicode 15, table 3-7): so many
	// bytes, the first of them between low and high. The bounds are what refuses
	// overlong forms (%c0%af for "/") and surrogates.
	more      int
	low, high byte
	lead      byte // of the sequence that is open
}

// idle reports whether no sequence is open that an ordinary byte would
// continue or break, and the byte counts for the segment's name.
func (s *scan) idle() bool { return s.more == 0 && s.percent == 0 && !s.parameters }

func (s *scan) next(c byte, encoded bool) error {
	if s.more > 0 && s.lead == 0xc2 && 0x80 <= c && c <= 0x9f {
		return errControl // U+0080 to U+009F, of which U+0085 ends a line for some
	}
	if !s.continues(c) {
		return errNotUTF8
	}
	if s.encodedTwice(c) {
		return errDoubleEncoding
	}
	switch {
	case c < ' ' || c == 0x7f:
		return errControl
	case c == ' ' && !encoded:
		return errSpace
	case (c == '#' || c == '?') && !encoded:
		return errDelimiter
	case c == '\\':
		return errBackslash
	case c == ';':
		if !s.allow.Semicolon {
			return errSemicolon
		}
		s.parameters = true
	case c == '/':
		if encoded && !s.allow.EncodedSlash {
			return errEncodedSlash
		}
		return s.endSegment()
	}
	if !s.parameters {
		s.name++
		s.onlyDots = s.onlyDots && c == '.'
	}
	return nil
}

// continues takes one byte of UTF-8 and reports whether it may stand there.
func (s *scan) continues(c byte) bool {
	if s.more > 0 {
		if c < s.low || c > s.high {
			return false
		}
		s.more--
		s.low, s.high = 0x80, 0xbf
		return true
	}
	s.low, s.high, s.lead = 0x80, 0xbf, c
	switch {
	case c < 0x80:
	case c < 0xc2: // a continuation without a lead, or an overlong form
		return false
	case c < 0xe0:
		s.more = 1
	case c < 0xf0:
		s.more = 2
		if c == 0xe0 {
			s.low = 0xa0
		} else if c == 0xed {
			s.high = 0x9f
		}
	case c < 0xf5:
		s.more = 3
		if c == 0xf0 {
			s.low = 0x90
		} else if c == 0xf4 {
			s.high = 0x8f
		}
	default:
		return false
	}
	return true
}

// encodedTwice takes one decoded byte and reports whether it completes an
// escape. It sees "%252e" as well as "%25%32%65".
func (s *scan) encodedTwice(c byte) bool {
	switch {
	case c == '%':
		s.percent = 1
	case s.percent > 0 && isHex(c):
		s.percent++
	default:
		s.percent = 0
	}
	return s.percent == 3
}

// endSegment judges the segment before a slash.
func (s *scan) endSegment() error {
	if s.name == 0 && !s.parameters {
		return errEmptySegment
	}
	return s.judge()
}

// end judges the last segment, which may be empty: one trailing slash is plain.
func (s *scan) end() error {
	if s.more > 0 {
		return errNotUTF8
	}
	return s.judge()
}

// judge looks at the name without its parameters: "..;x" is ".." to an
// upstream that cuts them off. It makes the scan ready for the next segment.
func (s *scan) judge() error {
	switch {
	case s.name == 0 && s.parameters:
		return errNamelessSegment
	case s.onlyDots && (s.name == 1 || s.name == 2):
		return errDotSegment
	}
	s.name, s.onlyDots, s.parameters = 0, true, false
	return nil
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	default:
		return c - 'a' + 10
	}
}
