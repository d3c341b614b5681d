package tokens

import "time"

// Position is where a record stands in the order of its kind, by creation and then by
// ID; accounts stand by name alone. A page begins after a position, so records that are
// made or deleted meanwhile shift nothing. The zero Position stands before every record.
type Position struct {
	At time.Time // when it was created; not used for accounts
	ID string    // for an account its name
}

// IsZero reports whether a page after the position begins with the first record.
func (p Position) IsZero() bool { return p.At.IsZero() && p.ID == "" }

// Position is where the client stands among clients.
func (c *Client) Position() Position { return Position{c.CreatedAt, c.ID} }

// Position is where the API key stands among API keys.
func (k *APIKey) Position() Position { return Position{k.CreatedAt, k.ID} }

// Position is where the account stands among accounts.
func (a *Account) Position() Position { return Position{ID: a.Name} }

// Position is where the user stands among users.
func (u *User) Position() Position { return Position{u.CreatedAt, u.ID} }

// Position is where the token stands among recorded tokens.
func (g *Grant) Position() Position { return Position{g.CreatedAt, g.ID} }
