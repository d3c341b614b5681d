package tokens

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"
	"unique"

	"github.com/tollgate-authz/tollgate/tokens/strictjson"
)

// Token is a verified token: the signature was good and the claims are those of
// a trusted issuer. It says nothing yet about expiry or revocation, which change
// with time and are judged at every request. A *Token is shared by all requests
// that bring it and is never changed.
type Token struct {
	Trust    *Trust
	ID       string // jti; for a foreign token without one, a hash of its claims
	Subject  string
	ClientID string
	Scopes   []string
	Audience []string
	Expires  time.Time // with the leeway of its issuer already added; zero: never
	*Origin

	key    *Key              // that signed it; nil for an opaque token and an API key
	digest [sha256.Size]byte // of the whole token
	client *Registration     // own tokens only
	view   identityCache
}

// Origin is what is known of how a token was made here. Tokens of other issuers share
// one that says nothing, which keeps a cache full of them small.
type Origin struct {
	Issued     time.Time
	Generation int64  // of the client secret it was made with
	Family     string // of the refresh token beside it
	// Recorded: the token has terms of its own, which only its record tells. Where the
	// record is not known, the token is refused: not to have heard of limits and
	// addresses yet must not mean that there are none.
	Recorded bool
	// Rotation is which of the tokens of its record it is: 0 is the first, and each
	// rotation makes the next.
	Rotation int64

	opaque   bool
	registry *Registry
}

// JTI is the token's name as it stands in it; ID is that of its record, which names
// every token that has taken the place of another.
func (t *Token) JTI() string {
	if t.Origin == nil || t.Rotation == 0 || t.opaque {
		return t.ID
	}
	return t.ID + rotationMark + strconv.FormatInt(t.Rotation, 10)
}

// Claims of our own, in our own tokens.
const (
	claimGeneration = "gen"
	claimFamily     = "fam"
	claimRecorded   = "rec"
	claimRotation   = "rot"
)

// latest is 9999-12-31T23:59:59Z: past it dates stop being comparable as text
// and time.Time arithmetic comes near its ends.
const latest = 253402300799

// readClaims judges the claims of a token whose signature is good. Names are
// compared exactly; a claim of the wrong type refuses the token.
func (t *Trust) readClaims(v *strictjson.Value, now time.Time) (*Token, error) {
	r := claimReader{claims: v}
	token := &Token{Trust: t, Subject: r.text("sub", true), ID: r.text("jti", t.Own)}
	expires := r.date("exp", true)
	notBefore := r.date("nbf", false)
	issuedAt := r.date("iat", t.Own)
	token.Audience = r.audience()
	scopeClaim, clientClaim := "scope", "client_id"
	if !t.Own {
		scopeClaim, clientClaim = t.ScopeClaim, t.ClientClaim
	}
	token.ClientID = r.text(clientClaim, t.Own)
	if t.Own {
		token.Origin = &Origin{Issued: issuedAt, Generation: r.whole(claimGeneration), Family: r.text(claimFamily, false), Recorded: r.flag(claimRecorded)}
		if v.Get(claimRotation) != nil {
			token.Rotation = r.whole(claimRotation)
			token.ID = r.rotated(token.ID, token.Rotation)
		}
	}
	token.Scopes = r.scopes(scopeClaim)
	if r.err != nil {
		return nil, r.err
	}
	switch horizon := now.Add(t.Leeway); {
	case !notBefore.IsZero() && notBefore.After(horizon):
		return nil, invalid("not valid before %s (nbf)", notBefore.UTC().Format(time.RFC3339))
	case issuedAt.After(horizon):
		return nil, invalid("issued in the future, at %s (iat)", issuedAt.UTC().Format(time.RFC3339))
	case expires.Sub(lifeStart(issuedAt, now)) > MaxLifetime:
		return nil, invalid("lives until %s; at most %s are accepted", expires.UTC().Format(time.RFC3339), MaxLifetime)
	case t.Audiences != nil && !slices.ContainsFunc(t.Audiences, func(a string) bool { return slices.Contains(token.Audience, a) }):
		return nil, invalid("its aud holds none of the audiences configured for the issuer")
	}
	token.shareStrings()
	token.Expires = expires
	if !t.Own {
		token.Expires = expires.Add(t.Leeway)
	}
	if token.ID == "" {
		token.ID = claimsID(v)
	}
	return token, nil
}

// shareStrings keeps one copy of what many tokens of an issuer say alike: a
// cache full of them is then a third smaller.
func (t *Token) shareStrings() {
	t.ClientID = unique.Make(t.ClientID).Value()
	if t.Subject == t.ClientID {
		t.Subject = t.ClientID
	}
	for _, list := range [][]string{t.Scopes, t.Audience} {
		for i, s := range list {
			list[i] = unique.Make(s).Value()
		}
	}
}

func lifeStart(issued, now time.Time) time.Time {
	if issued.IsZero() {
		return now
	}
	return issued
}

// claimsID names a foreign token that has no jti. One signed set of claims has
// many spellings as a token (ECDSA signatures can be made anew), so the name
// comes from the claims, not from the token's bytes.
func claimsID(v *strictjson.Value) string {
	sum := sha256.Sum256(v.Raw)
	return "sha256-" + base64.RawURLEncoding.EncodeToString(sum[:16])
}

// claimReader reads claims until the first that is wrong.
type claimReader struct {
	claims *strictjson.Value
	err    error
}

func (r *claimReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = invalid(format, args...)
	}
}

// get returns the claim, nil when it is absent.
func (r *claimReader) get(name string, required bool) *strictjson.Value {
	v := r.claims.Get(name)
	if v == nil && required {
		r.fail("the claim %q is missing", name)
	}
	return v
}

// text reads a string that may go into a header: control characters refuse it.
func (r *claimReader) text(name string, required bool) string {
	v := r.get(name, required)
	switch {
	case v == nil:
		return ""
	case v.Kind != strictjson.String:
		r.fail("the claim %q is %s, not a string", name, v.Kind)
	case hasControl(v.Text):
		r.fail("the claim %q has a control character", name)
	case v.Text == "":
		r.fail("the claim %q is empty", name)
	}
	return v.Text
}

func (r *claimReader) date(name string, required bool) time.Time {
	v := r.get(name, required)
	if v == nil {
		return time.Time{}
	}
	date, ok := v.Time()
	if !ok || date.Unix() < 0 || date.Unix() > latest {
		r.fail("the claim %q is no date (a JSON number from 0 to %d)", name, int64(latest))
		return time.Time{}
	}
	return date
}

// whole reads a positive whole number; 1 when it is absent.
func (r *claimReader) whole(name string) int64 {
	v := r.get(name, false)
	if v == nil {
		return 1
	}
	n, err := strconv.ParseInt(v.Text, 10, 64)
	if err != nil || v.Kind != strictjson.Number || n < 1 {
		r.fail("the claim %q is no whole number from 1 on", name)
		return 0
	}
	return n
}

// rotated returns the ID of the record whose token of that number has a jti: each has
// one of its own (RFC 7519 section 4.1.7), and what they have used is one sum.
func (r *claimReader) rotated(jti string, rotation int64) string {
	id, ok := strings.CutSuffix(jti, rotationMark+strconv.FormatInt(rotation, 10))
	if !ok || id == "" {
		r.fail("the claims jti and %s do not fit each other", claimRotation)
	}
	return id
}

// rotationMark stands between ID and number in the jti of a rotated token. IDs have none.
const rotationMark = "."

// flag reads true or false; false when it is absent.
func (r *claimReader) flag(name string) bool {
	v := r.get(name, false)
	if v == nil {
		return false
	}
	if v.Kind != strictjson.Bool {
		r.fail("the claim %q is %s, not a boolean", name, v.Kind)
	}
	return v.Kind == strictjson.Bool && v.Text == "true"
}

// audience reads aud: one string or an array of strings (RFC 7519 section 4.1.3).
func (r *claimReader) audience() []string {
	v := r.get("aud", true)
	if v == nil {
		return nil
	}
	return r.strings("aud", v)
}

func (r *claimReader) strings(name string, v *strictjson.Value) []string {
	items := v.Items
	if v.Kind != strictjson.Array {
		items = []strictjson.Value{*v}
	}
	list := make([]string, 0, len(items))
	for i := range items {
		if items[i].Kind != strictjson.String || hasControl(items[i].Text) {
			r.fail("the claim %q must be a string or an array of strings", name)
			return nil
		}
		list = append(list, items[i].Text)
	}
	return list
}

// scopes reads a string of scopes separated by single spaces, or an array of
// them, as several identity providers send it.
func (r *claimReader) scopes(name string) []string {
	v := r.get(name, false)
	if v == nil || v.Kind == strictjson.String && v.Text == "" {
		return nil
	}
	list := r.strings(name, v)
	if r.err != nil || len(list) == 0 {
		return nil
	}
	if v.Kind == strictjson.String {
		list = strings.Split(v.Text, " ")
	}
	scopes, ok := tidyScopes(list)
	if !ok {
		r.fail("the claim %q is not a list of scopes (RFC 6749 section 3.3)", name)
	}
	return scopes
}
