package tokens

import (
	"io"
	"time"
)

// Minter makes recorded tokens, each with a refresh token beside it, and the tokens
// that take their place. What it makes must be stored before anybody has it.
type Minter struct {
	Keys   *KeyRing
	Pepper *Pepper
	Random io.Reader
}

// Pair is what the holder of a recorded token gets, once.
type Pair struct {
	Access  AccessToken
	Refresh Secret
}

// Holding is a recorded token with the family of its refresh token.
type Holding struct {
	Grant  *Grant
	Family *Family // nil: it has no refresh token
}

// Clone is a copy that can be changed.
func (h *Holding) Clone() *Holding {
	c := &Holding{Grant: h.Grant.clone()}
	if h.Family != nil {
		f := *h.Family
		c.Family = &f
	}
	return c
}

// Ended says why the token has ended for good, nil if it has not: nothing brings it back.
func (h *Holding) Ended(client *Client) error {
	switch {
	case !h.Grant.RevokedAt.IsZero():
		return errTokenRevoked
	case h.Family != nil && !h.Family.EndedAt.IsZero():
		return errFamilyEnded
	case h.Grant.Generation <= client.Ended:
		return errSecretRevoked
	}
	return nil
}

// Bind ties the family to the token: each use of its refresh token rotates the token, and
// makes none beside it that has none of its terms. Its scopes are the token's, which may
// have been changed.
func (h *Holding) Bind() {
	if h.Family != nil {
		h.Family.Token, h.Family.Scopes = h.Grant.ID, h.Grant.Scopes
		if h.Family.TokensUntil.Before(h.Grant.ExpiresAt) {
			h.Family.TokensUntil = h.Grant.ExpiresAt
		}
	}
}

// End ends the token with its refresh token, and hides it.
func (h *Holding) End(now time.Time) {
	h.Grant.Deleted = true
	if h.Grant.RevokedAt.IsZero() {
		h.Grant.RevokedAt = now
	}
	if h.Family != nil && h.Family.EndedAt.IsZero() {
		h.Family.EndedAt = now
	}
}

// Order says what token is to be made.
type Order struct {
	Format     Format
	Claims     Claims // Family, ID, Recorded and Rotation are filled in
	Terms      Terms
	RefreshTTL time.Duration // its refresh token expires when it is not used for so long after the access token has
	RefreshMax time.Duration // and in any case after so long
}

// Issuance is how the configuration has tokens made.
type Issuance struct {
	Audience      string // tokens.audience
	AccessTTL     time.Duration
	RefreshTTL    time.Duration
	RefreshMaxTTL time.Duration
	Format        Format // of clients that have none of their own
}

// Order is for a token as the client would get it by itself, but for its scopes.
func (i *Issuance) Order(c *Client, now time.Time) Order {
	return Order{
		Format: c.TokenFormat(i.Format), RefreshTTL: i.RefreshTTL, RefreshMax: i.RefreshMaxTTL,
		Claims: Claims{Client: c.ID, Audience: i.Audience, Generation: c.Generation, IssuedAt: now.Truncate(time.Second), TTL: c.TokenLifetime(i.Format, i.AccessTTL)},
	}
}

// Make makes a token and its records.
func (m *Minter) Make(o Order) (Pair, *Holding, error) {
	f, err := m.newFamily(&o)
	if err != nil {
		return Pair{}, nil, err
	}
	o.Claims.Family = f.ID
	access, g, err := m.Keys.Mint(o.Format, o.Claims, &o.Terms, m.Random)
	if err != nil {
		return Pair{}, nil, err
	}
	f.Token = g.ID
	p, err := m.pair(access, f)
	return p, &Holding{g, f}, err
}

// Rotate makes the token that takes the place of another, and changes its records to
// that: it has the scopes of the record, and the lifetime of the order's claims from
// their IssuedAt on. The token before works for the time of overlap, its refresh token
// not any more.
func (m *Minter) Rotate(o Order, h *Holding, overlap time.Duration) (Pair, error) {
	g, now := h.Grant, o.Claims.IssuedAt
	o.Format = g.format(o.Format)
	o.Claims.Client, o.Claims.Scopes, o.Claims.Audience = g.Client, g.Scopes, g.Audience
	if h.Family == nil || !h.Family.Live(now) || LastRefresh(h.Family.ID, h.Family.Counter) {
		f, err := m.newFamily(&o)
		if err != nil {
			return Pair{}, err
		}
		f.Token, h.Family = g.ID, f
	} else {
		h.Family.Counter++
	}
	f, terms := h.Family, g.own()
	f.Generation, f.Scopes, f.RotatedAt = o.Claims.Generation, g.Scopes, now
	f.renew(&o)
	terms.Rotation++
	o.Claims.ID, o.Claims.Rotation, o.Claims.Family = g.ID, terms.Rotation, f.ID
	access, made, err := m.Keys.Mint(o.Format, o.Claims, terms, m.Random)
	if err != nil {
		return Pair{}, err
	}
	terms.OldHash, terms.OldUntil = [len(g.Hash)]byte{}, time.Time{}
	if overlap > 0 {
		terms.OldHash, terms.OldUntil = g.Hash, earliest(now.Add(overlap), g.ExpiresAt)
	}
	g.Hash, g.Family, g.Generation = made.Hash, f.ID, o.Claims.Generation
	g.SetTTL(now, o.Claims.TTL)
	return m.pair(access, f)
}

// format is what the record's tokens look like. It stays a JWT or opaque, whatever the
// configuration says by now: whoever verifies JWTs has no use for others.
func (g *Grant) format(usual Format) Format {
	switch {
	case !g.IsOpaque():
		return JWT
	case usual == JWT:
		return Opaque
	}
	return usual
}

func (m *Minter) newFamily(o *Order) (*Family, error) {
	id, err := NewFamilyID(o.Format, m.Random)
	if err != nil {
		return nil, err
	}
	now := o.Claims.IssuedAt
	f := &Family{
		ID: id, Client: o.Claims.Client, Generation: o.Claims.Generation, Scopes: o.Claims.Scopes, Audience: o.Claims.Audience, Counter: 1,
		CreatedAt: now, RotatedAt: now, ExpiresAt: now.Add(max(o.RefreshMax, o.Claims.TTL)),
	}
	f.renew(o)
	return f, nil
}

// renew counts the times of a family from the newest access token on.
func (f *Family) renew(o *Order) {
	until := o.Claims.IssuedAt.Add(o.Claims.TTL)
	f.IdleUntil = until.Add(o.RefreshTTL)
	if f.TokensUntil.Before(until) {
		f.TokensUntil = until
	}
}

func (m *Minter) pair(access AccessToken, f *Family) (Pair, error) {
	refresh, err := m.Pepper.RefreshToken(f.ID, f.Counter)
	return Pair{access, refresh}, err
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
