package tokens

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
)

// SigningKey is one of our own private keys.
type SigningKey struct {
	ID        string // kid: the key's RFC 7638 thumbprint
	Alg       string // ES256, EdDSA or RS256
	Private   crypto.Signer
	CreatedAt time.Time
	SignsFrom time.Time // until then it is published only, so that everybody knows it by then
	// VerifiesUntil is when the last token that it signed has expired; zero while it
	// is the newest.
	VerifiesUntil time.Time
}

// NewSigningKey draws a key for tokens.signing_algorithm.
func NewSigningKey(alg string, random io.Reader, now time.Time) (*SigningKey, error) {
	var private crypto.Signer
	var err error
	switch alg {
	case "ES256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), random)
	case "EdDSA":
		_, private, err = ed25519.GenerateKey(random)
	case "RS256":
		private, err = rsa.GenerateKey(random, 2048)
	default:
		return nil, fmt.Errorf("signing algorithm %q is unknown: ES256, EdDSA or RS256", alg)
	}
	if err != nil {
		return nil, fmt.Errorf("draw a signing key: %w", err)
	}
	return newSigningKey(alg, private, now)
}

func newSigningKey(alg string, private crypto.Signer, created time.Time) (*SigningKey, error) {
	public, err := jwk.Import(private.Public())
	if err != nil {
		return nil, fmt.Errorf("describe the signing key: %w", err)
	}
	sum, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("name the signing key: %w", err)
	}
	return &SigningKey{ID: base64.RawURLEncoding.EncodeToString(sum), Alg: alg, Private: private, CreatedAt: created}, nil
}

// Marshal returns the private key in PKCS #8. Whoever stores it encrypts it.
func (k *SigningKey) Marshal() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(k.Private) }

// UnmarshalSigningKey reads what Marshal made.
func UnmarshalSigningKey(alg string, pkcs8 []byte, created time.Time) (*SigningKey, error) {
	private, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return nil, fmt.Errorf("read a signing key: %w", err)
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("read a signing key: a %T cannot sign", private)
	}
	return newSigningKey(alg, signer, created)
}

// Public returns the key that verifies what this one signs.
func (k *SigningKey) Public() (*Key, error) { return NewKey(k.ID, k.Alg, k.Private.Public()) }

// KeySetDocument is the JWK Set (RFC 7517) with the public halves of keys.
func KeySetDocument(keys []*SigningKey) ([]byte, error) {
	set := jwk.NewSet()
	for _, k := range keys {
		public, err := jwk.Import(k.Private.Public())
		if err != nil {
			return nil, fmt.Errorf("publish the key %s: %w", k.ID, err)
		}
		for name, value := range map[string]string{jwk.KeyIDKey: k.ID, jwk.AlgorithmKey: k.Alg, jwk.KeyUsageKey: "sig"} {
			if err := public.Set(name, value); err != nil {
				return nil, fmt.Errorf("publish the key %s: %w", k.ID, err)
			}
		}
		if err := set.AddKey(public); err != nil {
			return nil, fmt.Errorf("publish the key %s: %w", k.ID, err)
		}
	}
	return json.Marshal(set)
}

// Issuer signs access tokens (RFC 9068).
type Issuer struct {
	url    string
	random io.Reader
	header jws.Headers
	alg    jwa.SignatureAlgorithm
	key    jwk.Key
}

// NewIssuer signs with key, as the issuer of that URL.
func NewIssuer(url string, key *SigningKey, random io.Reader) (*Issuer, error) {
	alg, ok := jwa.LookupSignatureAlgorithm(key.Alg)
	if !ok {
		return nil, fmt.Errorf("signing algorithm %q is unknown", key.Alg)
	}
	private, err := jwk.Import(key.Private)
	if err != nil {
		return nil, fmt.Errorf("use the signing key: %w", err)
	}
	header := jws.NewHeaders()
	for name, value := range map[string]string{jws.TypeKey: "at+jwt", jws.KeyIDKey: key.ID} {
		if err := header.Set(name, value); err != nil {
			return nil, fmt.Errorf("use the signing key: %w", err)
		}
	}
	return &Issuer{url: url, random: random, header: header, alg: alg, key: private}, nil
}

// URL is the issuer's name, the iss of its tokens.
func (i *Issuer) URL() string { return i.url }

// AccessToken is a token as it was issued.
type AccessToken struct {
	Bearer    Secret
	ID        string
	ExpiresIn time.Duration
}

// Claims are what an access token says beside its own name.
type Claims struct {
	ID         string // of a record that is there already; empty: a new one is drawn
	Rotation   int64  // see Origin
	Client     string // ID; also the subject of a client-credentials token
	Audience   string
	Scopes     []string
	Generation int64
	Family     string // empty: none
	Recorded   bool   // it is worth nothing without its record, see Origin
	IssuedAt   time.Time
	TTL        time.Duration // whole seconds
}

// Issue signs a JWT (RFC 9068 section 2.2).
func (i *Issuer) Issue(c Claims) (AccessToken, error) {
	id := c.ID
	if id == "" {
		var err error
		if id, err = newID(i.random); err != nil {
			return AccessToken{}, fmt.Errorf("draw a token ID: %w", err)
		}
	}
	jti := id
	if c.Rotation > 0 {
		jti += rotationMark + strconv.FormatInt(c.Rotation, 10)
	}
	payload, err := json.Marshal(struct {
		Issuer     string `json:"iss"`
		Subject    string `json:"sub"`
		Audience   string `json:"aud"`
		Expires    int64  `json:"exp"`
		IssuedAt   int64  `json:"iat"`
		ID         string `json:"jti"`
		ClientID   string `json:"client_id"`
		Scope      string `json:"scope"`
		Generation int64  `json:"gen"`
		Family     string `json:"fam,omitempty"`
		Recorded   bool   `json:"rec,omitempty"`
		Rotation   int64  `json:"rot,omitempty"`
	}{i.url, c.Client, c.Audience, c.IssuedAt.Add(c.TTL).Unix(), c.IssuedAt.Unix(), jti, c.Client, strings.Join(c.Scopes, " "), c.Generation, c.Family, c.Recorded, c.Rotation})
	if err != nil {
		return AccessToken{}, fmt.Errorf("write the claims: %w", err)
	}
	signed, err := jws.Sign(payload, jws.WithKey(i.alg, i.key, jws.WithProtectedHeaders(i.header)))
	if err != nil {
		return AccessToken{}, fmt.Errorf("sign a token: %w", err)
	}
	return AccessToken{Bearer: Secret(signed), ID: id, ExpiresIn: c.TTL}, nil
}
