package tokens

import (
	"fmt"
	"io"
	"net/mail"
	"strings"
	"time"
)

// User is a person who signs in, by e-mail address. A *User is never changed once
// published; an edit publishes a new one.
type User struct {
	ID        string
	Email     string // unique, compared without case
	Name      string
	Role      Role
	Account   string // a developer's: the one account to see; others': their home
	Suspended bool   // may not sign in, and is signed out, until resumed
	CreatedAt time.Time
	Rev       int64 // counts the edits, which the store does; 1: as created
}

// Role is what a user may do.
type Role string

// The roles. A developer sees one account; the others see all of them.
const (
	Administrator Role = "administrator" // changes everything
	Reviewer      Role = "reviewer"      // approves and rejects applications
	Developer     Role = "developer"     // changes what is the own account's
	Viewer        Role = "viewer"        // changes nothing
)

// ParseRole reads a role's name. There is no default: a slip must not make somebody an
// administrator, nor lock one out.
func ParseRole(s string) (Role, error) {
	switch role := Role(s); role {
	case Administrator, Reviewer, Developer, Viewer:
		return role, nil
	}
	return "", fmt.Errorf("role %q is unknown: administrator, reviewer, developer or viewer", s)
}

// Validate says everything that is wrong with a user that someone wants to store.
func (u *User) Validate() []error {
	var f faults
	f.email(u.Email)
	f.name(u.Name)
	if _, err := ParseRole(string(u.Role)); err != nil {
		f = append(f, err)
	}
	f.account(u.Account)
	return f
}

// maxEmail is the longest address that fits into the path of RFC 5321 section 4.5.3.1.3.
const maxEmail = 254

// email takes ASCII alone: addresses that differ only in letters that look alike, or in
// what some Unicode rule folds together, would be two users for the store and one for
// whoever reads the list.
func (f *faults) email(email string) {
	a, err := mail.ParseAddress(email)
	unusual := func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '[' }
	if err != nil || a.Address != email || len(email) > maxEmail || strings.ContainsFunc(email, unusual) {
		f.add("e-mail address %q: one such as ada@example.com is needed, of up to %d visible ASCII characters (a domain with others in its xn-- form)", email, maxEmail)
	}
}

// NewUserID draws the ID of a user. No ID has an @, so none is an e-mail address.
func NewUserID(random io.Reader) (string, error) {
	id, err := newID(random)
	if err != nil {
		return "", fmt.Errorf("draw a user's ID: %w", err)
	}
	return id, nil
}
