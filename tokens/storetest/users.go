package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// NewUser is a user with every field set, fit to be stored, as it is stored.
func NewUser(id string) *tokens.User {
	return &tokens.User{
		ID: id, Email: "Ada." + id + "@Example.com", Name: "Ada — " + id, Role: tokens.Developer, Account: "acme",
		Suspended: true, CreatedAt: Epoch, Rev: 1,
	}
}

func createUsers(t *testing.T, s Store, users ...*tokens.User) {
	t.Helper()
	for _, u := range users {
		do(t, s.CreateUser(t.Context(), u))
	}
}

func listUsers(t *testing.T, s Store) []*tokens.User {
	t.Helper()
	return must[[]*tokens.User](t)(s.UsersPage(t.Context(), "", tokens.Position{}, 1000))
}

func userComesBack(t *testing.T, s *world) {
	var want []*tokens.User
	for i, role := range []tokens.Role{tokens.Administrator, tokens.Reviewer, tokens.Developer, tokens.Viewer} {
		u := NewUser(fmt.Sprintf("user%d", i))
		u.Role, u.Suspended = role, i%2 == 0
		want = append(want, u)
		unnumbered := *u
		unnumbered.Rev = 0 // the store counts
		createUsers(t, s, &unnumbered)
	}
	for _, u := range want {
		for _, name := range []string{u.ID, u.Email, strings.ToLower(u.Email), strings.ToUpper(u.Email)} {
			diff(t, must[*tokens.User](t)(s.User(t.Context(), name)), u)
		}
	}
	diff(t, listUsers(t, s), want)
	for _, name := range []string{"", "USER1", "user", "user1 ", "%", "ada.user1", "@example.com"} {
		_, err := s.User(t.Context(), name)
		wantError(t, err, tokens.ErrNotFound)
	}
	// Its account was made along with the first one.
	diff(t, must[[]*tokens.Account](t)(s.ListAccounts(t.Context())), []*tokens.Account{{Name: "acme", CreatedAt: Epoch}})
}

func faultyUser(t *testing.T, s *world) {
	createUsers(t, s, NewUser("user1"))
	for name, spoil := range map[string]func(*tokens.User){
		"no ID":               func(u *tokens.User) { u.ID = "" },
		"an ID that is there": func(u *tokens.User) { u.ID = "user1" },
		"an address as ID":    func(u *tokens.User) { u.ID = "ada@example.com" },
		"no e-mail address":   func(u *tokens.User) { u.Email = "" },
		"no name":             func(u *tokens.User) { u.Name = " " },
		"no role":             func(u *tokens.User) { u.Role = "" },
		"unknown role":        func(u *tokens.User) { u.Role = "root" },
		"no account":          func(u *tokens.User) { u.Account = "" },
		"no time":             func(u *tokens.User) { u.CreatedAt = time.Time{} },
	} {
		u := NewUser("user2")
		u.Account = "initech"
		spoil(u)
		if err := s.CreateUser(t.Context(), u); err == nil {
			t.Errorf("%s: the user was stored", name)
		}
	}
	diff(t, listUsers(t, s), []*tokens.User{NewUser("user1")})
	diff(t, must[[]*tokens.Account](t)(s.ListAccounts(t.Context())), []*tokens.Account{{Name: "acme", CreatedAt: Epoch}})
}

func emailIsTakenOnce(t *testing.T, s *world) {
	createUsers(t, s, NewUser("user1"))
	for _, email := range []string{"Ada.user1@Example.com", "ada.USER1@example.COM"} {
		u := NewUser("user2")
		u.Email, u.Account = email, "initech"
		err := s.CreateUser(t.Context(), u)
		wantError(t, err, tokens.ErrExists)
		if err != nil && !strings.Contains(err.Error(), email) {
			t.Errorf("got error %q, want it to name the address", err)
		}
	}
	diff(t, must[[]*tokens.Account](t)(s.ListAccounts(t.Context())), []*tokens.Account{{Name: "acme", CreatedAt: Epoch}})
	do(t, s.DeleteUser(t.Context(), "user1", nil))
	again := NewUser("user2")
	again.Email = "ada.user1@example.com"
	createUsers(t, s, again) // it is free again once its user is gone
	diff(t, listUsers(t, s), []*tokens.User{again})
}

func editUser(t *testing.T, s *world) {
	createUsers(t, s, NewUser("user1"), NewUser("user2"))
	want := NewUser("user1")
	step := func(name string, edit func(*tokens.User)) {
		t.Helper()
		edit(want)
		want.Rev++
		diff(t, must[*tokens.User](t)(s.EditUser(t.Context(), name, func(u *tokens.User) error { edit(u); return nil })), want)
		diff(t, must[*tokens.User](t)(s.User(t.Context(), "user1")), want)
	}
	step("user1", func(u *tokens.User) { u.Name = "Augusta" })
	step("ada.user1@EXAMPLE.com", func(u *tokens.User) { u.Role = tokens.Administrator })
	step("user1", func(u *tokens.User) { u.Suspended = false })
	s.advance(time.Hour)
	step("user1", func(u *tokens.User) { u.Account = "initech" })
	diff(t, must[*tokens.Account](t)(s.Account(t.Context(), "initech")), &tokens.Account{Name: "initech", CreatedAt: s.now})
	for name, spoil := range map[string]func(*tokens.User){
		"no name":      func(u *tokens.User) { u.Name = "" },
		"unknown role": func(u *tokens.User) { u.Role = "root" },
		"no account":   func(u *tokens.User) { u.Account = "" },
	} {
		if _, err := s.EditUser(t.Context(), "user1", func(u *tokens.User) error { spoil(u); return nil }); err == nil {
			t.Errorf("%s: the edit was stored", name)
		}
	}
	_, err := s.EditUser(t.Context(), "nobody", named("Ada"))
	wantError(t, err, tokens.ErrNotFound)
	diff(t, listUsers(t, s), []*tokens.User{want, NewUser("user2")})
}

func deleteUser(t *testing.T, s *world) {
	createUsers(t, s, NewUser("user1"), NewUser("user2"), NewUser("user3"))
	wantError(t, s.DeleteUser(t.Context(), "user1", func(u *tokens.User) error { diff(t, u, NewUser("user1")); return errStale }), errStale)
	diff(t, must[*tokens.User](t)(s.User(t.Context(), "user1")), NewUser("user1"))
	do(t, s.DeleteUser(t.Context(), "user1", func(*tokens.User) error { return nil }), s.DeleteUser(t.Context(), "ADA.user3@example.com", nil))
	for _, name := range []string{"user1", "", "nobody", "ada.user3@example.com"} {
		wantError(t, s.DeleteUser(t.Context(), name, nil), tokens.ErrNotFound)
	}
	diff(t, listUsers(t, s), []*tokens.User{NewUser("user2")})
}
