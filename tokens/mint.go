package tokens

import (
	"fmt"
	"io"
	"time"
)

// Mint makes an access token in a format, and its record where it needs one: an opaque
// token always does, a JWT when it has terms. The record must be stored before anybody
// has the token.
func (k *KeyRing) Mint(format Format, c Claims, terms *Terms, random io.Reader) (AccessToken, *Grant, error) {
	g := &Grant{
		Client: c.Client, Family: c.Family, Generation: c.Generation, Scopes: c.Scopes, Audience: c.Audience,
		CreatedAt: c.IssuedAt, ExpiresAt: c.IssuedAt.Add(c.TTL), Terms: terms,
	}
	if format == JWT {
		c.Recorded = terms != nil
		access, err := k.Issue(c)
		if err != nil || terms == nil {
			return access, nil, err
		}
		g.ID = access.ID
		return access, g, nil
	}
	bearer, hash, id, err := NewOpaqueToken(format, random)
	if err != nil {
		return AccessToken{}, nil, fmt.Errorf("make an access token: %w", err)
	}
	if c.ID != "" {
		id = c.ID
	}
	g.ID, g.Hash = id, hash
	return AccessToken{Bearer: bearer, ID: id, ExpiresIn: c.TTL}, g, nil
}

// TokenFormat is what the client's access tokens look like, where the configuration
// says usual.
func (c *Client) TokenFormat(usual Format) Format {
	if c.Format != "" {
		return c.Format
	}
	return usual
}

// TokenLifetime is how long the client's access tokens live, where the configuration
// says that tokens are of the usual format and live for accessTTL.
func (c *Client) TokenLifetime(usual Format, accessTTL time.Duration) time.Duration {
	switch {
	case c.TokenTTL > 0:
		return c.TokenTTL
	case c.TokenFormat(usual) == Classic:
		return ClassicTTL
	}
	return accessTTL
}
