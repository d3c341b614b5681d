package tokens

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/netip"
	"time"
)

// Grant is an access token that must be known here: an opaque one, a JWT that has
// terms of its own, or one that was revoked. JWTs that are as they were signed need
// no record. A *Grant is never changed once published.
type Grant struct {
	ID         string            // the token's jti
	Client     string            // ID of the client it was issued to
	Hash       [sha256.Size]byte // SHA-256 of an opaque token, which is too long to be guessed; zero for a JWT
	Family     string            // ID of the family it belongs to; empty: none
	Generation int64             // of the secret it was made with
	Scopes     []string
	Audience   string
	CreatedAt  time.Time
	ExpiresAt  time.Time
	RevokedAt  time.Time // zero: it was not
	Deleted    bool      // whoever administers tokens sees it no more; it is revoked too
	Terms      *Terms    // nil: none of its own
}

func (g *Grant) livesFrom() time.Time {
	if g.Terms != nil && !g.Terms.LivesFrom.IsZero() {
		return g.Terms.LivesFrom
	}
	return g.CreatedAt
}

// TTL is the lifetime that was set for the token last.
func (g *Grant) TTL() time.Duration { return g.ExpiresAt.Sub(g.livesFrom()) }

// SetTTL gives the token a lifetime from now on.
func (g *Grant) SetTTL(now time.Time, ttl time.Duration) {
	g.ExpiresAt = now.Add(ttl)
	g.own().LivesFrom = now
}

// own returns the terms to be changed, and makes them where there are none.
func (g *Grant) own() *Terms {
	if g.Terms == nil {
		g.Terms = &Terms{}
	}
	return g.Terms
}

// Limits are the token's own.
func (g *Grant) Limits() TokenLimits {
	if g.Terms == nil {
		return TokenLimits{}
	}
	return g.Terms.Limits
}

// SetLimits gives the token other limits; those that it has already are no edit.
func (g *Grant) SetLimits(limits TokenLimits) {
	if g.Limits() != limits {
		t := g.own()
		t.Limits, t.LimitsRev = limits, t.LimitsRev+1
	}
}

// SetTrustedIPs says where the token may be used from.
func (g *Grant) SetTrustedIPs(list []netip.Prefix) { g.own().TrustedIPs = list }

// rotation is which of its tokens is in force.
func (g *Grant) rotation() int64 {
	if g.Terms == nil {
		return 0
	}
	return g.Terms.Rotation
}

// rotationOf tells which of the record's opaque tokens has that hash.
func (g *Grant) rotationOf(hash *[sha256.Size]byte) (rotation int64, ok bool) {
	switch {
	case g.Hash == *hash:
		return g.rotation(), true
	case g.Terms != nil && g.Terms.OldHash == *hash:
		return g.rotation() - 1, true
	}
	return 0, false
}

// oldHash is that of its opaque token before the last rotation, nil when there is none
// that may still work.
func (g *Grant) oldHash() *[sha256.Size]byte {
	if g.Terms == nil || g.Terms.OldHash == [sha256.Size]byte{} {
		return nil
	}
	return &g.Terms.OldHash
}

// clone is a copy that can be changed.
func (g *Grant) clone() *Grant {
	c := *g
	if g.Terms != nil {
		terms := *g.Terms
		c.Terms = &terms
	}
	return &c
}

// IsOpaque tells a token that is only known by its hash from a JWT.
func (g *Grant) IsOpaque() bool { return g.Hash != [sha256.Size]byte{} }

// opaquePrefix marks access tokens for people and secret scanners.
const opaquePrefix = "tga_"

// NewOpaqueToken draws an opaque access token: 256 bits, in the classic format 142.
func NewOpaqueToken(format Format, random io.Reader) (token Secret, hash [sha256.Size]byte, id string, err error) {
	var text string
	if format == Classic {
		text, err = drawText(classicToken, random)
	} else {
		text, err = drawBytes(32, random)
		text = opaquePrefix + text
	}
	if err == nil {
		id, err = newID(random)
	}
	if err != nil {
		return "", hash, "", fmt.Errorf("draw an opaque token: %w", err)
	}
	return Secret(text), sha256.Sum256([]byte(text)), id, nil
}

// Family is what a refresh token stands for: one grant to a client, which lives on
// from one pair of tokens to the next. Of its refresh tokens only the most recent
// one works (row D4); another one is proof that one of them was stolen, and ends
// the family with its access tokens (RFC 9700 section 4.14.2).
type Family struct {
	ID         string
	Client     string // ID
	Token      string // ID of the recorded token that it rotates; empty: each of its access tokens is one of its own
	Generation int64  // of the secret that was used last
	Scopes     []string
	Audience   string
	Counter    uint32 // of the refresh token that works; the first is 1
	CreatedAt  time.Time
	RotatedAt  time.Time // when that refresh token was made
	IdleUntil  time.Time // when it expires if it is not used
	ExpiresAt  time.Time // when the family ends in any case
	EndedAt    time.Time // zero: it was not ended
	// TokensUntil is when the last of its access tokens expires.
	TokensUntil time.Time
}

// Expires is when the family's refresh token expires if it is not used.
func (f *Family) Expires() time.Time { return earliest(f.IdleUntil, f.ExpiresAt) }

// Live reports whether the family's refresh token works at now.
func (f *Family) Live(now time.Time) bool { return f.EndedAt.IsZero() && now.Before(f.Expires()) }

// Record is what must be known of the token once it is revoked.
func (t *Token) Record() *Grant {
	g := &Grant{
		ID: t.ID, Client: t.ClientID, Family: t.Family, Generation: t.Generation, Scopes: t.Scopes, CreatedAt: t.Issued, ExpiresAt: t.Expires,
	}
	if len(t.Audience) > 0 {
		g.Audience = t.Audience[0]
	}
	if t.opaque {
		g.Hash = t.digest
	}
	return g
}
