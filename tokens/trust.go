package tokens

import (
	"context"
	"slices"
	"strings"
	"time"
)

// MaxLifetime is the longest that any token may live, ours or a foreign one:
// what outlives a year was a mistake, and stays one for a year.
const MaxLifetime = 366 * 24 * time.Hour

// Leeway is how far clocks may differ unless trust says otherwise.
const Leeway = 30 * time.Second

// Trust is one issuer whose tokens are accepted, and how they are read. It is
// not changed after it was given to a Verifier.
type Trust struct {
	Issuer     string // exact value of iss
	Keys       KeySource
	Audiences  []string // one of them must stand in aud; nil: not judged here but per request (own tokens)
	Algorithms []string
	Types      []string // accepted typ, lower case, without "application/"; "" accepts a token without typ
	Leeway     time.Duration

	// Own marks the built-in issuer: jti, iat and client_id are required, exp has
	// no leeway, and client_id names a client of ours.
	Own bool

	// What stands in for a local client's record, for foreign issuers only.
	ScopeClaim  string
	ClientClaim string
	Account     string
	Plan        string
	Environment Environment
}

// KeySource finds the keys of one issuer in memory.
type KeySource interface {
	// Key returns the key of that kid, or nil when the issuer has none. It does
	// not wait for a fetch. ErrNoKeys means that no set was ever loaded, so that
	// nothing can be said about any token of the issuer.
	Key(ctx context.Context, kid string) (*Key, error)
}

// FixedKeys is a key set that does not change: our own, or a jwks_file.
type FixedKeys []*Key

// Key implements KeySource.
func (f FixedKeys) Key(_ context.Context, kid string) (*Key, error) {
	for _, k := range f {
		if k.ID == kid {
			return k, nil
		}
	}
	return nil, nil
}

// acceptsType applies RFC 9068 section 4: typ is compared without case, and the
// "application/" prefix may be left out (RFC 7515 section 4.1.9).
func (t *Trust) acceptsType(typ string) bool {
	typ = strings.ToLower(typ)
	return slices.Contains(t.Types, strings.TrimPrefix(typ, "application/"))
}
