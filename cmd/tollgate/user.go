package main

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
	"github.com/tollgate-authz/tollgate/tokens"
	"github.com/tollgate-authz/tollgate/tokens/sqlite"
)

func (a *app) userCommand() *cobra.Command {
	c := group("user", "Create, list, change and delete users, who will sign in in the console", a.userCreate(), a.userList(), a.userUpdate(), a.userDelete())
	c.Long = `Create, list, change and delete users: people, with an e-mail address and a role.
They sign in in the console, which is not there yet: until then a user can be
recorded, and can do nothing. Programs have clients: tollgate client --help

Roles: an administrator changes everything; a reviewer approves and rejects
applications; a developer works on the one account it belongs to; a viewer sees all
accounts and changes nothing.`
	return c
}

// userView is a user as commands print it.
type userView struct {
	ID        string `json:"id"`
	Email     string `json:"email"`
	Name      string `json:"name"`
	Role      string `json:"role"`
	Account   string `json:"account"`
	Status    string `json:"status"`
	CreatedAt string `json:"created_at"`
}

func describeUser(u *tokens.User) userView {
	v := userView{u.ID, u.Email, u.Name, string(u.Role), u.Account, "active", u.CreatedAt.UTC().Format(time.RFC3339)}
	if u.Suspended {
		v.Status = "suspended"
	}
	return v
}

func (a *app) userCreate() *cobra.Command {
	var u tokens.User
	var role string
	c := a.outputFlag(&cobra.Command{
		Use: "create --email EMAIL --name NAME --role ROLE", Short: "Create a user", Args: cobra.NoArgs,
		Long: `Create a user. Users sign in in the console, which is not there yet; a user has no
password until then. An account that does not exist is made.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u.Role = tokens.Role(role)
			if err := errors.Join(u.Validate()...); err != nil {
				return usageError{err}
			}
			c, err := a.loadConfig()
			if err != nil {
				return err
			}
			return withStoreOf(cmd.Context(), c, func(_ *config.Config, _ secrets, db *sqlite.DB) error {
				var err error
				if u.ID, err = tokens.NewUserID(rand.Reader); err != nil {
					return err
				}
				u.CreatedAt = time.Now()
				if err := db.CreateUser(cmd.Context(), &u); err != nil {
					return err
				}
				if a.wantJSON() {
					return a.printJSON(describeUser(&u))
				}
				a.printf("created the user %s, %s\n", u.Email, u.ID)
				return nil
			})
		},
	})
	c.Flags().StringVar(&u.Email, "email", "", "`EMAIL` address to sign in with; no two users have the same, in any case")
	c.Flags().StringVar(&u.Name, "name", "", "`NAME` for people")
	c.Flags().StringVar(&role, "role", "", "`ROLE`: administrator, reviewer, developer or viewer")
	c.Flags().StringVar(&u.Account, "account", tokens.DefaultAccount, "`ACCOUNT` it belongs to; the only one that a developer sees")
	return c
}

// userTable shows users.
var userTable = table[userView]{"ID\tEMAIL\tNAME\tROLE\tACCOUNT\tSTATUS\tCREATED", func(v userView) []string {
	return []string{v.ID, v.Email, v.Name, v.Role, v.Account, v.Status, v.CreatedAt}
}}

func (a *app) userList() *cobra.Command {
	return listing(a, "List the users", allUsers, describeUser, userTable)
}

// allUsers reads one page after another.
func allUsers(db *sqlite.DB, ctx context.Context) (all []*tokens.User, err error) {
	const limit = 1000
	for after := (tokens.Position{}); ; after = all[len(all)-1].Position() {
		page, err := db.UsersPage(ctx, "", after, limit)
		all = append(all, page...)
		if err != nil || len(page) < limit {
			return all, err
		}
	}
}

func (a *app) userUpdate() *cobra.Command {
	var to tokens.User
	var role, email string
	c := a.outputFlag(&cobra.Command{
		Use: "update USER", Short: "Change a user's name, role or account, or suspend it", Args: cobra.ExactArgs(1),
		Long: `Change a user's name, role or account, or suspend it. USER is the ID or the e-mail
address. The address is fixed: for another one, create another user. Users sign in in
the console, which is not there yet.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			given := cmd.Flags().Changed
			switch {
			case given("email"):
				return usageError{errors.New("--email of a user is fixed when it is made: create another user, and delete this one")}
			case !given("name") && !given("role") && !given("account") && !given("suspended"):
				return usageError{errors.New("nothing to change: give --name, --role, --account or --suspended")}
			}
			if given("role") {
				var err error
				if to.Role, err = tokens.ParseRole(role); err != nil {
					return usageError{err}
				}
			}
			return a.withStore(cmd.Context(), func(_ *config.Config, _ secrets, db *sqlite.DB) error {
				u, err := db.EditUser(cmd.Context(), args[0], func(u *tokens.User) error {
					replace(given("name"), &u.Name, to.Name)
					replace(given("role"), &u.Role, to.Role)
					replace(given("account"), &u.Account, to.Account)
					replace(given("suspended"), &u.Suspended, to.Suspended)
					if err := errors.Join(u.Validate()...); err != nil {
						return usageError{err}
					}
					return nil
				})
				if err != nil {
					return err
				}
				if a.wantJSON() {
					return a.printJSON(describeUser(u))
				}
				return userTable.print(a, []userView{describeUser(u)})
			})
		},
	})
	c.Flags().StringVar(&to.Name, "name", "", "`NAME` for people")
	c.Flags().StringVar(&role, "role", "", "`ROLE`: administrator, reviewer, developer or viewer")
	c.Flags().StringVar(&to.Account, "account", "", "`ACCOUNT` it belongs to; made when there is none of that name")
	c.Flags().BoolVar(&to.Suspended, "suspended", false, "keep the user from signing in; --suspended=false ends that")
	c.Flags().StringVar(&email, "email", "", "")
	_ = c.Flags().MarkHidden("email") // only fails for a flag that is not there
	return c
}

// replace changes what was asked for, and leaves the rest.
func replace[T any](asked bool, field *T, value T) {
	if asked {
		*field = value
	}
}

func (a *app) userDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete USER", Short: "Delete a user, by ID or e-mail address", Args: cobra.ExactArgs(1),
		Long: `Delete a user. USER is the ID or the e-mail address. Its account stays, with the
clients and API keys in it.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withStore(cmd.Context(), func(_ *config.Config, _ secrets, db *sqlite.DB) error {
				if err := db.DeleteUser(cmd.Context(), args[0], nil); err != nil {
					return err
				}
				a.printf("deleted the user %s\n", args[0])
				return nil
			})
		},
	}
}
