package tokens

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tollgate-authz/tollgate/tokens/strictjson"
)

// MaxIntrospectors is how many issuers may be asked about one opaque token. More
// would each have too little of the time that Envoy gives.
const MaxIntrospectors = 4

// Introspectors are the issuers that are asked about tokens, in the order of the
// configuration. A nil *Introspectors has none.
//
// An opaque token does not say whose it is. Where several issuers are asked, each
// sees the tokens of those after it, and could use them: they must all be trusted
// with that.
type Introspectors struct {
	list    []*Introspector
	keyless bool          // one of them has no keys: JWTs may be its
	share   time.Duration // of each, when several are asked about one token
}

// NewIntrospectors makes the list.
func NewIntrospectors(list ...*Introspector) (*Introspectors, error) {
	if len(list) > MaxIntrospectors {
		return nil, fmt.Errorf("%d issuers with introspection: at most %d can be asked in time", len(list), MaxIntrospectors)
	}
	s := &Introspectors{list: list}
	for _, i := range list {
		s.keyless = s.keyless || i.Trust.Keys == nil
		s.share = max(s.share, i.Timeout/time.Duration(len(list)))
	}
	return s, nil
}

// Any reports whether there is an issuer to ask.
func (s *Introspectors) Any() bool { return s != nil && len(s.list) > 0 }

// All returns the issuers, for metrics.
func (s *Introspectors) All() []*Introspector {
	if s == nil {
		return nil
	}
	return s.list
}

// Takes reports whether a token is one to ask about: it is opaque, or it is a JWT
// that names an issuer with introspection and without keys. All other JWTs are
// for the Verifier, also malformed ones: an issuer may be more generous than we
// are and take one token in many spellings.
func (s *Introspectors) Takes(bearer string) bool {
	return s.Any() && checkBearer(bearer) == nil && len(s.candidates(bearer)) > 0
}

// candidates are the issuers that may know a token.
func (s *Introspectors) candidates(bearer string) []*Introspector {
	if strings.Count(bearer, ".") != 2 {
		return s.list
	}
	if !s.keyless {
		return nil
	}
	claims, err := jwtPayload(bearer)
	if err != nil {
		return nil
	}
	// Nothing vouches for iss yet. It only says whom to ask.
	iss := claims.Get("iss")
	for n, i := range s.list {
		if i.Trust.Keys == nil && iss != nil && iss.Kind == strictjson.String && iss.Text == i.Trust.Issuer {
			return s.list[n : n+1]
		}
	}
	return nil
}

// Introspect asks until an issuer says that the token is active. Only if all of
// them deny it the token is invalid: one that does not answer may be the one whose
// it is. Its errors are those of Introspector.Introspect.
func (s *Introspectors) Introspect(ctx context.Context, bearer string, now time.Time) (*Token, error) {
	if !s.Any() {
		return nil, invalid("no issuer has introspection configured")
	}
	if len(s.list) > 1 {
		digest := sha256.Sum256(unsafeBytes(bearer))
		for _, i := range s.list { // before anybody is asked anew
			if t := i.recall(&digest, now); t != nil {
				return t, nil
			}
		}
	}
	switch asked := s.candidates(bearer); len(asked) {
	case 0:
		return nil, invalid("its issuer is not one with introspection")
	case 1:
		return asked[0].Introspect(ctx, bearer, now)
	default:
		return s.inTurn(ctx, asked, bearer, now)
	}
}

// inTurn gives each issuer its share of the time. A call that is not waited for
// any longer goes on, and who brings the token again finds its answer.
func (s *Introspectors) inTurn(ctx context.Context, asked []*Introspector, bearer string, now time.Time) (*Token, error) {
	var denials, failures []error
	for _, i := range asked {
		turn, cancel := context.WithTimeout(ctx, s.share)
		t, err := i.Introspect(turn, bearer, now)
		cancel()
		switch {
		case err == nil:
			return t, nil
		case errors.Is(err, ErrInvalid):
			denials = append(denials, err)
		default:
			failures = append(failures, err)
		}
	}
	if len(failures) > 0 {
		return nil, oneLine(failures)
	}
	return nil, oneLine(denials)
}

// oneLine joins errors of one kind for a log line.
func oneLine(errs []error) error {
	joined := errs[0]
	for _, err := range errs[1:] {
		joined = fmt.Errorf("%w; %w", joined, err)
	}
	return joined
}

// checkBearer holds a token to the b64token of RFC 6750 section 2.1. Anything else
// is no token, and may be meant for the issuer's database or its firewall.
func checkBearer(bearer string) error {
	if len(bearer) > maxTokenBytes {
		return invalid("%d bytes long; at most %d are read", len(bearer), maxTokenBytes)
	}
	body := strings.TrimRight(bearer, "=")
	for i := range len(body) {
		c := body[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~+/", c) >= 0) {
			return invalid("it has a character that no bearer token has (RFC 6750 section 2.1)")
		}
	}
	if body == "" {
		return invalid("it is empty")
	}
	return nil
}

// jwtPayload returns the claims of what is strictly spelled as a JWT. Nothing in
// them may be believed.
func jwtPayload(bearer string) (strictjson.Value, error) {
	parts := strings.Split(bearer, ".")
	if len(parts) != 3 {
		return strictjson.Value{}, invalid("not three parts separated by dots")
	}
	var payload []byte
	for n, name := range []string{"header", "payload", "signature"} {
		decoded, err := decodePart(name, parts[n])
		if err == nil && len(decoded) == 0 {
			err = invalid("the %s is empty", name)
		}
		if err != nil {
			return strictjson.Value{}, err
		}
		if n == 1 {
			payload = decoded
		}
	}
	return parseObject("payload", payload)
}
