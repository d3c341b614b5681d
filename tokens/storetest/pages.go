package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// paged are records that can be listed by page.
type paged interface{ Position() tokens.Position }

// pager reads a page of an account's records, or of all.
type pager[R paged] func(ctx context.Context, account string, after tokens.Position, limit int) ([]R, error)

// walk reads all pages, and wants each to be full but the last.
func walk[R paged](t *testing.T, read pager[R], account string, limit int) []R {
	t.Helper()
	var all []R
	var after tokens.Position
	for range 1000 {
		list := must[[]R](t)(read(t.Context(), account, after, limit))
		all = append(all, list...)
		if len(list) > limit {
			t.Fatalf("a page of %d, want at most %d", len(list), limit)
		}
		if len(list) < limit {
			return all
		}
		after = list[len(list)-1].Position()
	}
	t.Fatal("there are pages without end")
	return nil
}

// wantPages wants the pages to be these records in this order, however long a page is.
func wantPages[R paged](t *testing.T, read pager[R], account string, want ...R) {
	t.Helper()
	for limit := 1; limit <= len(want)+1; limit++ {
		diff(t, walk(t, read, account, limit), want)
	}
	for _, limit := range []int{0, -1} {
		if list := must[[]R](t)(read(t.Context(), account, tokens.Position{}, limit)); len(list) > 0 {
			t.Errorf("a page of %d, want at most %d", len(list), limit)
		}
	}
}

// spread gives the records of a test their places: two are made at every moment, and
// neither their IDs nor their accounts follow the order in which they are stored.
var spread = []struct {
	id, account string
	after       time.Duration
}{
	{"d", "acme", time.Second},
	{"a", "initech", 2 * time.Second},
	{"f", "acme", 0},
	{"b", "initech", time.Second},
	{"e", "acme", 2 * time.Second},
	{"c", "acme", 0},
}

// inOrder are places in spread, of all records and of the account acme.
var inOrder, ofAcme = []int{5, 2, 3, 0, 1, 4}, []int{5, 2, 0, 4}

func pick[R any](list []R, places []int) []R {
	var picked []R
	for _, i := range places {
		picked = append(picked, list[i])
	}
	return picked
}

func wantSpread[R paged](t *testing.T, read pager[R], made []R) {
	t.Helper()
	wantPages(t, read, "", pick(made, inOrder)...)
	wantPages(t, read, "acme", pick(made, ofAcme)...)
	wantPages(t, read, "nobody")
	wantPages(t, read, "ACME")
}

func clientPages(t *testing.T, s *world) {
	var made []*tokens.Client
	for _, at := range spread {
		c := NewClient(at.id)
		c.Account, c.CreatedAt = at.account, Epoch.Add(at.after)
		create(t, s, c)
		made = append(made, must[*tokens.Client](t)(s.AddSecret(t.Context(), c.ID, hashOf("second"), time.Time{}))) // pages have all secrets
	}
	wantSpread(t, s.ClientsPage, made)
	diff(t, must[[]*tokens.Client](t)(s.ListClients(t.Context())), pick(made, inOrder))
}

func apiKeyPages(t *testing.T, s *world) {
	var made []*tokens.APIKey
	for _, at := range spread {
		k := NewAPIKey(at.id)
		k.Account, k.CreatedAt = at.account, Epoch.Add(at.after)
		createKeys(t, s, k)
		made = append(made, k)
	}
	wantSpread(t, s.APIKeysPage, made)
	diff(t, listKeys(t, s), pick(made, inOrder))
}

func userPages(t *testing.T, s *world) {
	var made []*tokens.User
	for _, at := range spread {
		u := NewUser(at.id)
		u.Account, u.CreatedAt = at.account, Epoch.Add(at.after)
		createUsers(t, s, u)
		made = append(made, u)
	}
	wantSpread(t, s.UsersPage, made)
}

func accountPages(t *testing.T, s *world) {
	var want []*tokens.Account
	for i := range 5 { // by name, whenever they were made
		a := &tokens.Account{Name: fmt.Sprintf("account%d", i), Zone: "Europe/Berlin", CreatedAt: Epoch.Add(-time.Duration(i) * time.Second)}
		want = append(want, a)
	}
	for _, i := range []int{3, 0, 4, 1, 2} {
		do(t, s.CreateAccount(t.Context(), want[i]))
	}
	wantPages(t, s.AccountsPage, "", want...)
	wantPages(t, s.AccountsPage, "account3", want[3])
	wantPages(t, s.AccountsPage, "account")
}

// pagesStay: what is made and deleted between two pages neither repeats nor hides what
// was there all the time.
func pagesStay(t *testing.T, s *world) {
	at := func(id string, after time.Duration) *tokens.APIKey {
		k := NewAPIKey(id)
		k.CreatedAt = Epoch.Add(after)
		return k
	}
	keys := []*tokens.APIKey{at("a", 0), at("b", time.Second), at("c", 2*time.Second), at("d", 3*time.Second)}
	createKeys(t, s, keys...)
	first := must[[]*tokens.APIKey](t)(s.APIKeysPage(t.Context(), "", tokens.Position{}, 2))
	diff(t, first, keys[:2])
	after := first[1].Position()
	do(t, s.DeleteAPIKey(t.Context(), "a", nil), s.DeleteAPIKey(t.Context(), "b", nil)) // that of the position too
	createKeys(t, s, at("before", -time.Second), at("behind", 4*time.Second))
	diff(t, must[[]*tokens.APIKey](t)(s.APIKeysPage(t.Context(), "", after, 5)), append(keys[2:], at("behind", 4*time.Second)))
	after.At = after.At.In(time.FixedZone("elsewhere", 3600)) // a moment, wherever it is told
	diff(t, must[[]*tokens.APIKey](t)(s.APIKeysPage(t.Context(), "", after, 1)), keys[2:3])
}
