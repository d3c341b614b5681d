package tokens

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestUserValidate(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", maxEmail-len("@example.com"))
	for email, ok := range map[string]bool{
		"ada@example.com": true, "Ada.Lovelace+tollgate@Mail.Example.com": true, "o'hara@example.com": true, "root@localhost": true,
		"ada@xn--bcher-kva.example": true, long + "@example.com": true, long + "a@example.com": false,
		"": false, "ada": false, "@example.com": false, "ada@": false, "ada@@example.com": false, "ada@example.com@example.com": false,
		"ada @example.com": false, " ada@example.com": false, "ada@example.com ": false, "ada@example.com\n": false, "a\x00b@example.com": false,
		"Ada <ada@example.com>": false, "<ada@example.com>": false, "ada@example.com (Ada)": false, `"ada lovelace"@example.com`: false, `"ada"@example.com`: false,
		"ada@example..com": false, ".ada@example.com": false, "ada@[127.0.0.1]": false, "ada@example.com, eve@example.com": false,
		"ädä@example.com": false, "ada@bücher.example": false, "\u212aate@example.com": false, // the sign for kelvin folds to k
	} {
		u := User{Email: email, Name: "Ada", Role: Viewer, Account: "acme"}
		if err := errors.Join(u.Validate()...); (err == nil) != ok {
			t.Errorf("%q: got error %v, want that it is accepted: %t", email, err, ok)
		}
	}
	faulty := User{Email: "x", Name: "\n", Role: "root", Account: "a b"}
	err := errors.Join(faulty.Validate()...)
	for _, want := range []string{`e-mail address "x"`, `name "\n"`, `role "root" is unknown: administrator, reviewer, developer or viewer`, `account "a b"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want it to say %s", err, want)
		}
	}
}

func TestParseRole(t *testing.T) {
	t.Parallel()
	for _, role := range []Role{Administrator, Reviewer, Developer, Viewer} {
		if got, err := ParseRole(string(role)); got != role || err != nil {
			t.Errorf("%s: got %q, %v", role, got, err)
		}
	}
	for _, s := range []string{"", "Administrator", "admin", "viewer ", "administrator,viewer"} {
		if got, err := ParseRole(s); got != "" || err == nil {
			t.Errorf("%q: got %q, want an error", s, got)
		}
	}
}

func TestNewUserID(t *testing.T) {
	t.Parallel()
	id, err := NewUserID(strings.NewReader("sixteen bytes ..") /* 128 bits */)
	if err != nil || len(id) != 22 || strings.Contains(id, "@") {
		t.Errorf("got %q, %v; want 22 characters", id, err)
	}
	if id, err := NewUserID(iotest.ErrReader(errors.New("no randomness"))); id != "" || err == nil {
		t.Errorf("got %q, want an error", id)
	}
}

// TestPositionIsZero: a record without a time still has a place of its own, so that a
// page after it is not the first again.
func TestPositionIsZero(t *testing.T) {
	t.Parallel()
	for _, p := range []Position{(&Client{ID: "a"}).Position(), (&Account{Name: "a"}).Position(), {At: time.Unix(0, 0)}} {
		if p.IsZero() {
			t.Errorf("%+v is zero", p)
		}
	}
	if !(Position{}).IsZero() {
		t.Error("the zero Position is not")
	}
}
