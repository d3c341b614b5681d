package manage

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollgate-authz/tollgate/tokens"
)

type updateUserInput struct {
	UserID
	Matching
	Body userChange
}

// userChange is what is to become of a user. What is left out stays.
type userChange struct {
	Name    string `json:"name,omitempty" minLength:"1" maxLength:"200" format:"name" doc:"For people."`
	Role    string `json:"role,omitempty" enum:"administrator,reviewer,developer,viewer"`
	Account string `json:"account,omitempty" minLength:"1" maxLength:"128" pattern:"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$" patternDescription:"letters, digits and . _ : / @ -, starting with a letter or digit" doc:"Account that the user belongs to; it is made where there is none."`
	Status  string `json:"status,omitempty" enum:"active,suspended" doc:"suspended: may not sign in."`

	Email fixed `json:"email,omitzero" hidden:"true"`
}

// Resolve says what is wrong beyond the types.
func (in *updateUserInput) Resolve(huma.Context) []error {
	faults := faultyFixed("is fixed when the user is made: make another user, and delete this one", map[string]fixed{"email": in.Body.Email})
	return append(faults, faultyName("body.name", in.Body.Name, false)...)
}

func (a *api) updateUser(ctx context.Context, by *caller, in *updateUserInput) (*userAnswer, error) {
	b := &in.Body
	u, err := a.Users.EditUser(ctx, in.ID, func(u *tokens.User) error {
		if err := mayEditUser(by, &in.Matching, u); err != nil {
			return err
		}
		if b.Name != "" {
			u.Name = b.Name
		}
		if b.Role != "" {
			u.Role = tokens.Role(b.Role)
		}
		if b.Account != "" {
			if !by.sees(b.Account) {
				return notFound("account")
			}
			u.Account = b.Account
		}
		if b.Status != "" {
			u.Suspended = b.Status == suspended
		}
		return nil
	})
	if err != nil {
		return nil, named(err, "user")
	}
	a.follow(ctx)
	return answerUser(u), nil
}

// mayEditUser refuses what is another's, and what somebody else has changed since.
func mayEditUser(by *caller, m *Matching, u *tokens.User) error {
	if !by.sees(u.Account) {
		return notFound("user")
	}
	return m.require(etagOf(describeUser(u)))
}

type deleteUserInput struct {
	UserID
	Matching
}

// deleteUser leaves the account, with the clients and API keys in it.
func (a *api) deleteUser(ctx context.Context, by *caller, in *deleteUserInput) (*struct{}, error) {
	err := a.Users.DeleteUser(ctx, in.ID, func(u *tokens.User) error { return mayEditUser(by, &in.Matching, u) })
	if err != nil {
		return nil, named(err, "user")
	}
	a.follow(ctx)
	return nil, nil
}
