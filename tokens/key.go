package tokens

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	_ "crypto/sha512" // linked in for the 384 and 512 bit algorithms
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws/jwsbb"

	"github.com/tollgate-authz/tollgate/tokens/strictjson"
)

// Bounds of a key set document (security design: a hostile issuer must not be
// able to fill our memory).
const (
	MaxKeySetBytes = 256 << 10
	maxKeys        = 100
	minRSABits     = 2048
	maxRSABits     = 8192 // a longer modulus makes every verification a burden
)

// Key is one public key of an issuer.
type Key struct {
	ID     string
	Alg    string // the JWK's alg; for EC and OKP keys without one, what the curve implies; "" for an RSA key that names none
	public any    // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey

	// retired is set once the key has left its issuer's set: tokens that were
	// verified with it and are cached must not be believed any longer.
	retired atomic.Bool
}

// algorithm is what one JWS algorithm (RFC 7518 section 3.1) asks of a key.
type algorithm struct {
	hash crypto.Hash
	rsa  bool
	pss  bool
	bits int // of the curve
}

var algorithms = map[string]algorithm{
	"RS256": {hash: crypto.SHA256, rsa: true}, "RS384": {hash: crypto.SHA384, rsa: true}, "RS512": {hash: crypto.SHA512, rsa: true},
	"PS256": {hash: crypto.SHA256, rsa: true, pss: true}, "PS384": {hash: crypto.SHA384, rsa: true, pss: true}, "PS512": {hash: crypto.SHA512, rsa: true, pss: true},
	"ES256": {hash: crypto.SHA256, bits: 256}, "ES384": {hash: crypto.SHA384, bits: 384}, "ES512": {hash: crypto.SHA512, bits: 521},
	"EdDSA": {},
}

// Algorithms lists the JWS algorithms that can be trusted, sorted. HMAC is not
// among them: a verifier that takes both kinds can be made to use a public RSA
// key as an HMAC secret (RFC 8725 section 2.1).
func Algorithms() []string {
	names := make([]string, 0, len(algorithms))
	for name := range algorithms {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// fits reports whether a token may claim alg for this key (RFC 8725 section 3.1).
func (k *Key) fits(alg string) bool {
	if k.Alg != "" {
		return k.Alg == alg
	}
	return algorithms[alg].rsa
}

// verify checks a signature over signed. jwsbb is jwx's signature layer alone:
// the parsing around it is ours, and stricter.
func (k *Key) verify(alg string, signed, signature []byte) error {
	want := algorithms[alg]
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		return jwsbb.VerifyRSA(public, signed, signature, want.hash, want.pss)
	case *ecdsa.PublicKey:
		return jwsbb.VerifyECDSA(public, signed, signature, want.hash)
	case ed25519.PublicKey:
		return jwsbb.VerifyEdDSA(public, signed, signature)
	}
	return fmt.Errorf("no verifier for a %T", k.public)
}

// NewKey makes a verification key from one of our own public keys.
func NewKey(id, alg string, public crypto.PublicKey) (*Key, error) {
	k := &Key{ID: id, Alg: alg, public: public}
	if _, known := algorithms[alg]; !known {
		return nil, fmt.Errorf("algorithm %q is unknown", alg)
	}
	implied, err := impliedAlg(public)
	if err != nil {
		return nil, err
	}
	if implied != "" && implied != alg || implied == "" && !algorithms[alg].rsa {
		return nil, fmt.Errorf("a %T cannot verify %s", public, alg)
	}
	return k, nil
}

// impliedAlg returns the one algorithm that a key can have; "" for RSA.
func impliedAlg(public any) (string, error) {
	switch public := public.(type) {
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return "", fmt.Errorf("RSA key of %d bits: %d to %d are accepted", bits, minRSABits, maxRSABits)
		}
		return "", nil
	case *ecdsa.PublicKey:
		for name, a := range algorithms {
			if a.bits == public.Curve.Params().BitSize && a.bits != 0 {
				return name, nil
			}
		}
	case ed25519.PublicKey:
		return "EdDSA", nil
	}
	return "", fmt.Errorf("no algorithm for this %T", public)
}

// ParseKeySet reads a JWK Set (RFC 7517 section 5). Keys that are not for
// signatures, or of kinds unknown here, are passed over as the RFC says. A
// private or symmetric key, a duplicate kid, or a set in which no key is usable
// refuses the whole document: whoever published that does not know what he
// published, and the keys known before are the better ones.
func ParseKeySet(doc []byte) ([]*Key, error) {
	if len(doc) > MaxKeySetBytes {
		return nil, fmt.Errorf("the key set is over %d bytes", MaxKeySetBytes)
	}
	set, err := strictjson.Parse(doc, maxDepth)
	if err != nil {
		return nil, fmt.Errorf("the key set is not strict JSON: %w", err)
	}
	list := set.Get("keys")
	if list == nil || list.Kind != strictjson.Array {
		return nil, errors.New(`not a key set: an object with an array "keys" is needed (RFC 7517 section 5)`)
	}
	if len(list.Items) > maxKeys {
		return nil, fmt.Errorf("%d keys in the set; at most %d are accepted", len(list.Items), maxKeys)
	}
	var keys []*Key
	var skipped []error
	for i := range list.Items {
		key, err := parseKey(&list.Items[i])
		var fatal *fatalKeyError
		switch {
		case errors.As(err, &fatal):
			return nil, fmt.Errorf("key %d: %w", i, err)
		case err != nil:
			skipped = append(skipped, fmt.Errorf("key %d: %w", i, err))
		case slices.ContainsFunc(keys, func(k *Key) bool { return k.ID == key.ID }):
			return nil, fmt.Errorf("key %d: the kid %q stands twice in the set", i, key.ID)
		default:
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("no usable key in the set: %w", errors.Join(append(skipped, errors.New("no others"))...))
	}
	return keys, nil
}

// fatalKeyError is a fault that refuses the whole document.
type fatalKeyError struct{ reason string }

func (e *fatalKeyError) Error() string { return e.reason }

func parseKey(v *strictjson.Value) (*Key, error) {
	if v.Kind != strictjson.Object {
		return nil, &fatalKeyError{fmt.Sprintf("%s, not an object", v.Kind)}
	}
	text := func(name string) string {
		if m := v.Get(name); m != nil && m.Kind == strictjson.String {
			return m.Text
		}
		return ""
	}
	for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if v.Get(private) != nil {
			return nil, &fatalKeyError{"a private or symmetric key has been published"}
		}
	}
	switch text("kty") {
	case "oct":
		return nil, &fatalKeyError{"a symmetric key has been published"}
	case "RSA", "EC", "OKP":
	default:
		return nil, fmt.Errorf("kty %q is unknown", text("kty"))
	}
	if use := v.Get("use"); use != nil && text("use") != "sig" {
		return nil, errors.New("not for signatures (use)")
	}
	if ops := v.Get("key_ops"); ops != nil && !slices.ContainsFunc(ops.Items, func(op strictjson.Value) bool { return op.Text == "verify" }) {
		return nil, errors.New("not for verification (key_ops)")
	}
	id := text("kid")
	if id == "" || len(id) > maxKeyIDBytes || hasControl(id) {
		return nil, fmt.Errorf("a kid of 1 to %d printable bytes is needed", maxKeyIDBytes)
	}
	return newRemoteKey(id, v, text("alg"))
}

func newRemoteKey(id string, v *strictjson.Value, alg string) (*Key, error) {
	parsed, err := jwk.ParseKey(v.Raw)
	if err != nil {
		return nil, fmt.Errorf("not a valid key: %w", err)
	}
	var public any
	if err := jwk.Export(parsed, &public); err != nil {
		return nil, fmt.Errorf("not a valid key: %w", err)
	}
	implied, err := impliedAlg(public)
	if err != nil {
		return nil, err
	}
	if v.Get("alg") == nil {
		return &Key{ID: id, Alg: implied, public: public}, nil
	}
	return NewKey(id, alg, public)
}

// same reports whether two keys are one: a refreshed set keeps the old object,
// so that the tokens verified with it stay cached.
func (k *Key) same(other *Key) bool {
	if k.ID != other.ID || k.Alg != other.Alg {
		return false
	}
	public, ok := k.public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(other.public)
}
