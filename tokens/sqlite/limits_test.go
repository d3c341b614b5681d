package sqlite

import (
	"maps"
	"strings"
	"testing"

	"github.com/tollgate-authz/tollgate/tokens/storetest"
)

// TestLimitRevisionsOfTheSameFile: a process that starts with the limits that are stored
// writes nothing, so it starts while another holds the lock.
func TestLimitRevisionsOfTheSameFile(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	db, other := open(t, config(path)), open(t, config(path))
	limits := map[string]int64{"default.per_day": 5, "gold.per_day": 7}
	want, err := db.LimitRevisions(t.Context(), limits)
	if err != nil {
		t.Fatal(err)
	}
	lock, err := other.writer.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Rollback() }()
	if got, err := db.LimitRevisions(t.Context(), limits); err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

// TestTermsThatCannotBeRead: with an address that cannot be read, more would be trusted
// than was meant.
func TestTermsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	db := open(t, config(""))
	g := storetest.NewGrant("token1", "client1")
	g.Terms = storetest.NewTerms()
	if err := db.CreateClient(t.Context(), storetest.NewClient("client1")); err != nil {
		t.Fatal(err)
	}
	if err := db.AddTokens(t.Context(), nil, g); err != nil {
		t.Fatal(err)
	}
	if _, err := db.writer.Exec(`UPDATE grants SET trusted_ips = '203.0.113.0/24 junk'`); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Snapshot(t.Context()); err == nil || !strings.Contains(err.Error(), "token1") {
		t.Errorf("got error %v, want one that names the token", err)
	}
}
