package manage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollgate-authz/tollgate/tokens"
)

// Users is where users are. What names one is the ID or the e-mail address. Errors are
// those of package tokens, such as ErrNotFound and ErrExists; those of edit and check are
// returned, and nothing is changed then.
type Users interface {
	User(ctx context.Context, idOrEmail string) (*tokens.User, error)
	UsersPage(ctx context.Context, account string, after tokens.Position, limit int) ([]*tokens.User, error)
	CreateUser(ctx context.Context, u *tokens.User) error
	EditUser(ctx context.Context, idOrEmail string, edit func(*tokens.User) error) (*tokens.User, error)
	DeleteUser(ctx context.Context, idOrEmail string, check func(*tokens.User) error) error
}

// User is a person who signs in.
type User struct {
	ID        string    `json:"id"`
	Email     string    `json:"email" doc:"E-mail address to sign in with." example:"ada@example.com"`
	Name      string    `json:"name" doc:"For people."`
	Role      string    `json:"role" enum:"administrator,reviewer,developer,viewer"`
	Account   string    `json:"account" doc:"Account that the user belongs to; the only one that a developer sees."`
	Status    string    `json:"status" enum:"active,suspended" doc:"suspended: may not sign in."`
	CreatedAt time.Time `json:"created_at"`
}

// userAnswer is the answer with one.
type userAnswer struct {
	ETag string `header:"ETag"`
	Body User
}

func describeUser(u *tokens.User) User {
	v := User{u.ID, u.Email, u.Name, string(u.Role), u.Account, active, second(u.CreatedAt)}
	if u.Suspended {
		v.Status = suspended
	}
	return v
}

func answerUser(u *tokens.User) *userAnswer {
	v := describeUser(u)
	return &userAnswer{etagOf(v), v}
}

type listUsersInput struct {
	Listing
	Account string `query:"account" maxLength:"128" doc:"Only users of that account."`
}

func (a *api) listUsers(ctx context.Context, by *caller, in *listUsersInput) (*page[User], error) {
	account, err := by.reach(in.Account)
	if err != nil {
		return nil, err
	}
	list, err := a.Users.UsersPage(ctx, account, in.after, in.Limit+1)
	if err != nil {
		return nil, err
	}
	return newPage(list, &in.Listing, describeUser, (*tokens.User).Position), nil
}

// UserID names a user in a path.
type UserID struct {
	ID string `path:"id" maxLength:"254" doc:"ID or e-mail address of the user."`
}

func (a *api) getUser(ctx context.Context, by *caller, in *UserID) (*userAnswer, error) {
	u, err := a.Users.User(ctx, in.ID)
	switch {
	case err != nil:
		return nil, named(err, "user")
	case !by.sees(u.Account):
		return nil, notFound("user")
	}
	return answerUser(u), nil
}

type createUserInput struct{ Body newUser }

// newUser is a user that is to be made. The command line takes the same.
type newUser struct {
	Email   string `json:"email" minLength:"3" maxLength:"254" doc:"E-mail address to sign in with. It is fixed, and no other user's, in any case." example:"ada@example.com"`
	Name    string `json:"name" minLength:"1" maxLength:"200" format:"name" doc:"For people."`
	Role    string `json:"role" enum:"administrator,reviewer,developer,viewer"`
	Account string `json:"account,omitempty" maxLength:"128" pattern:"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$" patternDescription:"letters, digits and . _ : / @ -, starting with a letter or digit" doc:"Account that the user belongs to; it is made where there is none. Left out: the caller's."`
}

// TransformSchema says in the OpenAPI file what Resolve refuses.
func (*newUser) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	extend(s.Properties["email"], "format", "email")
	return s
}

// Resolve says what is wrong beyond the types.
func (in *createUserInput) Resolve(huma.Context) []error {
	faults := faultyName("body.name", in.Body.Name, false)
	if in.Body.Email != "" && !validEmail(in.Body.Email) {
		faults = append(faults, wrong("body.email", "an e-mail address such as ada@example.com is needed, of visible ASCII characters (a domain with others in its xn-- form)"))
	}
	return faults
}

// validEmail asks package tokens, of a user with whom nothing else is wrong.
func validEmail(email string) bool {
	u := tokens.User{Email: email, Name: "user", Role: tokens.Viewer, Account: tokens.DefaultAccount}
	return len(u.Validate()) == 0
}

func (a *api) createUser(ctx context.Context, by *caller, in *createUserInput) (*userAnswer, error) {
	b := &in.Body
	account, err := by.own(b.Account)
	if err != nil {
		return nil, err
	}
	u := &tokens.User{Email: b.Email, Name: b.Name, Role: tokens.Role(b.Role), Account: account, CreatedAt: a.Now(), Rev: 1}
	if u.ID, err = tokens.NewUserID(a.Minter.Random); err != nil {
		return nil, err
	}
	switch err := a.Users.CreateUser(ctx, u); {
	case errors.Is(err, tokens.ErrExists):
		return nil, conflict("there is a user of that e-mail address")
	case err != nil:
		return nil, fmt.Errorf("make a user: %w", err)
	}
	a.follow(ctx)
	return answerUser(u), nil
}
