package tokens

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/tollgate-authz/tollgate/tokens/strictjson"
)

// Bounds of what is read at all (RFC 8725 section 3.11 asks for such limits).
// MaxTokenBytes is the longest token that is read.
const MaxTokenBytes = 8 << 10

const (
	maxTokenBytes  = MaxTokenBytes
	maxHeaderBytes = 1 << 10
	maxKeyIDBytes  = 128
	maxDepth       = 32
)

// compact is a JWS in compact serialization (RFC 7515 section 7.1), taken apart
// strictly but not yet verified: nothing in it may be believed, only used to
// find the key that it must have been signed with.
type compact struct {
	signed    string // header "." payload, as sent: what the signature covers
	signature []byte
	alg       string
	kid       string
	typ       string
	payload   []byte
}

// Every refusal of a token wraps ErrInvalid. The texts are for `explain` and
// the log; callers only ever see "Invalid Token" (row I8).
var ErrInvalid = errors.New("invalid token")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

// parseCompact reads a token without trusting a single bit of it. The libraries
// behind us are more generous (they skip line breaks inside base64, accept
// non-canonical last characters, fold the case of names): what would have two
// spellings or two readings ends here.
func parseCompact(token string) (*compact, error) {
	if len(token) > maxTokenBytes {
		return nil, invalid("%d bytes long; at most %d are read", len(token), maxTokenBytes)
	}
	header, rest, ok1 := strings.Cut(token, ".")
	payload, signature, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || strings.Contains(signature, ".") {
		return nil, invalid("not three parts separated by dots (RFC 7515 section 7.1)")
	}
	if base64.RawURLEncoding.DecodedLen(len(header)) > maxHeaderBytes {
		return nil, invalid("the header is over %d bytes", maxHeaderBytes)
	}
	c := &compact{signed: token[:len(header)+1+len(payload)]}
	headerJSON, err := decodePart("header", header)
	if err != nil {
		return nil, err
	}
	if err := c.readHeader(headerJSON); err != nil {
		return nil, err
	}
	if c.payload, err = decodePart("payload", payload); err != nil {
		return nil, err
	}
	if c.signature, err = decodePart("signature", signature); err == nil && len(c.signature) == 0 {
		err = invalid("the signature is empty")
	}
	return c, err
}

var strictBase64 = base64.RawURLEncoding.Strict()

// decodePart decodes base64url without padding. The alphabet is checked byte by
// byte because even the strict decoder skips CR and LF.
func decodePart(name, part string) ([]byte, error) {
	for i := range len(part) {
		c := part[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return nil, invalid("the %s has a character that base64url lacks", name)
		}
	}
	decoded, err := strictBase64.DecodeString(part)
	if err != nil {
		return nil, invalid("the %s is not canonical base64url", name)
	}
	return decoded, nil
}

func parseObject(name string, doc []byte) (strictjson.Value, error) {
	v, err := strictjson.Parse(doc, maxDepth)
	if err != nil {
		return v, invalid("the %s is not strict JSON: %v", name, err)
	}
	if v.Kind != strictjson.Object {
		return v, invalid("the %s is %s, not an object", name, v.Kind)
	}
	return v, nil
}

// readHeader takes alg, kid and typ. Members that would make a verifier fetch
// or believe a key of the sender's (jwk, jku, x5u, x5c), change what is signed
// (b64, crit) or what comes out (zip, enc, cty) refuse the token.
func (c *compact) readHeader(doc []byte) error {
	header, err := parseObject("header", doc)
	if err != nil {
		return err
	}
	for i := range header.Members {
		m := &header.Members[i]
		switch m.Name {
		case "crit", "b64", "jwk", "jku", "x5u", "x5c", "zip", "cty", "enc":
			return invalid("the header has %q, which is not accepted", m.Name)
		case "alg", "kid", "typ":
			if m.Value.Kind != strictjson.String {
				return invalid("the header's %q is %s, not a string", m.Name, m.Value.Kind)
			}
		}
	}
	text := func(name string) string {
		if v := header.Get(name); v != nil {
			return v.Text
		}
		return ""
	}
	c.alg, c.kid, c.typ = text("alg"), text("kid"), text("typ")
	if c.alg == "" {
		return invalid("the header has no alg")
	}
	if c.kid == "" || len(c.kid) > maxKeyIDBytes {
		return invalid("the header's kid must name a key with 1 to %d bytes", maxKeyIDBytes)
	}
	return nil
}
