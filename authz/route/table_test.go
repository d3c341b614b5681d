package route

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func mustNew(t testing.TB, hosts []string, entries []Entry) *Table {
	t.Helper()
	table, err := New(hosts, entries)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// oneHost makes entries of patterns that share a host.
func oneHost(patterns ...string) []Entry {
	entries := make([]Entry, len(patterns))
	for i, p := range patterns {
		entries[i] = Entry{Host: "h.example", Pattern: p, Source: fmt.Sprintf("tollgate.yaml:%d:9", i+1)}
	}
	return entries
}

func TestMatch(t *testing.T) {
	t.Parallel()
	entries := oneHost(
		"GET /v1/contacts/{id}",
		"POST /v1/contacts",
		"GET /v1/contacts/me",
		"HEAD /v1/contacts/me",
		"/v1/",
		"DELETE /v1/files/{path...}",
		"/home/{$}",
		"/b%C3%BCcher/{id}",
		"GET /a%2fb",
		"OPTIONS /v1/contacts",
		"CONNECT /tunnel",
		"/x/{a}/c",
		"/x/b/d",
		"/100%",
		"M-SEARCH /with space",
	)
	table := mustNew(t, nil, entries)
	tests := []struct{ method, path, want string }{
		{"GET", "/v1/contacts/42", "GET /v1/contacts/{id}"},
		{"HEAD", "/v1/contacts/42", "GET /v1/contacts/{id}"},
		{"POST", "/v1/contacts/42", "/v1/"},
		{"get", "/v1/contacts/42", "/v1/"},
		{"", "/v1/contacts/42", "/v1/"},
		{"GET", "/v1/contacts/me", "GET /v1/contacts/me"},
		{"GET", "/v1/contacts/m%65", "GET /v1/contacts/me"},
		{"GET", "/v1/con%74acts/%6D%65", "GET /v1/contacts/me"},
		{"HEAD", "/v1/contacts/me", "HEAD /v1/contacts/me"},
		{"GET", "/v1/contacts/me2", "GET /v1/contacts/{id}"},
		{"GET", "/v1/contacts/m%66", "GET /v1/contacts/{id}"},
		{"GET", "/v1/contacts/m%6", "GET /v1/contacts/{id}"},
		{"GET", "/v1/contacts/", "/v1/"},
		{"POST", "/v1/contacts", "POST /v1/contacts"},
		{"OPTIONS", "/v1/contacts", "OPTIONS /v1/contacts"},
		{"GET", "/v1/", "/v1/"},
		{"GET", "/v1", ""},
		{"GET", "/V1/", ""},
		{"DELETE", "/v1/files/a/b", "DELETE /v1/files/{path...}"},
		{"DELETE", "/v1/files/", "DELETE /v1/files/{path...}"},
		{"DELETE", "/v1/files", "/v1/"},
		{"GET", "/home/", "/home/{$}"},
		{"GET", "/home", ""},
		{"GET", "/home/x", ""},
		{"GET", "/b%c3%bccher/1", "/b%C3%BCcher/{id}"},
		{"GET", "/bücher/1", "/b%C3%BCcher/{id}"},
		{"GET", "/b\xc3%bccher/1", "/b%C3%BCcher/{id}"},
		{"GET", "/bucher/1", ""},
		{"GET", "/a%2Fb", "GET /a%2fb"},
		{"GET", "/a/b", ""},
		{"CONNECT", "/tunnel", "CONNECT /tunnel"},
		{"CONNECT", "", ""},
		{"OPTIONS", "*", ""},
		{"GET", "/x/b/c", "/x/{a}/c"}, // after /x/b has led nowhere
		{"GET", "/x/b/d", "/x/b/d"},
		{"GET", "/x/b", ""},
		{"GET", "/100%25", "/100%"},
		{"M-SEARCH", "/with%20space", "M-SEARCH /with space"},
		{"GET", "/", ""},
	}
	for _, tt := range tests {
		got := ""
		if m := table.Match(tt.method, "h.example", tt.path); m.Entry >= 0 {
			got = entries[m.Entry].Pattern
		}
		if got != tt.want {
			t.Errorf("%s %s: got %q, want %q", tt.method, tt.path, got, tt.want)
		}
	}
}

// OPTIONS * and CONNECT have no path: not even a pattern for everything serves
// them.
func TestMatchNeedsAPath(t *testing.T) {
	t.Parallel()
	table := mustNew(t, nil, oneHost("/{x}", "/"))
	for _, path := range []string{"", "*", "a", "h.example:443"} {
		if got := table.Match("CONNECT", "h.example", path).Entry; got != -1 {
			t.Errorf("%q: got entry %d, want none", path, got)
		}
	}
}

// The best host alone decides: a route of a broader host is not served on a
// narrower one that lacks it.
func TestMatchDoesNotFallBackToABroaderHost(t *testing.T) {
	t.Parallel()
	table := mustNew(t, []string{"owned.example.com"}, []Entry{
		{Host: "api.example.com", Pattern: "GET /a"},
		{Host: "*.example.com", Pattern: "GET /b"},
		{Host: "*", Pattern: "GET /c"},
		{Host: "API.example.com.", Pattern: "GET /d"},
	})
	wantHosts := []string{"owned.example.com", "api.example.com", "*.example.com", "*"}
	if diff := cmp.Diff(wantHosts, table.Hosts()); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
	tests := []struct {
		host, path string
		want       Match
	}{
		{"owned.example.com", "/b", Match{0, -1}},
		{"api.example.com", "/a", Match{1, 0}},
		{"api.example.com", "/b", Match{1, -1}},
		{"api.example.com", "/d", Match{1, 3}},
		{"x.example.com", "/b", Match{2, 1}},
		{"x.example.com", "/c", Match{2, -1}},
		{"example.com", "/c", Match{3, 2}},
		{"exa mple.com", "/c", Match{-1, -1}},
	}
	for _, tt := range tests {
		if got := table.Match("GET", tt.host, tt.path); got != tt.want {
			t.Errorf("%s%s: got %+v, want %+v", tt.host, tt.path, got, tt.want)
		}
	}
}

func TestZeroTableMatchesNothing(t *testing.T) {
	t.Parallel()
	for _, table := range []*Table{{}, mustNew(t, nil, nil)} {
		if got, want := table.Match("GET", "h.example", "/"), (Match{-1, -1}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

// TestNewNamesAllFaults compares the whole report with a golden file, since its
// words are what an author of a configuration works with.
func TestNewNamesAllFaults(t *testing.T) {
	t.Parallel()
	entries := oneHost(
		"GET /v1/contacts/{id}",
		"GET /v1/contacts/{name}",
		"/v1/{kind}/me",
		"GET /v1/",
		"/v1/x/",
		"HEAD /v1/x/{rest...}",
		"",
		"GET",
		"GET ",
		"v1/contacts",
		"POST v1/contacts",
		"api.example.com/v1",
		"GET api.example.com/v1",
		"get /v1",
		"G(T /v1",
		"GET /v1?limit=1",
		"/a//b/",
		"GET /a/../b",
		"/a/%2e%2e",
		"/a%252fb",
		"/a%5cb",
		"/a{id}",
		"/{id}a",
		"/{a}{b}",
		"/{}",
		"/{...}",
		"/{user-id}",
		"/{id}/{id}",
		"/{rest...}/a",
		"/a/{$}/",
		"/ok",
	)
	entries = append(entries,
		Entry{Host: "h.example:80", Pattern: "nothing", Source: "tollgate.yaml:90:9"},
		Entry{Host: "other.example", Pattern: "GET /v1/contacts/{name}"},
		Entry{Host: "H.example", Pattern: "GET /v1/contacts/{x}"},
	)
	_, err := New([]string{"*x"}, entries)
	if err == nil {
		t.Fatal("New accepted all of it")
	}
	requireGolden(t, "testdata/faults.txt", err.Error()+"\n")
}

func TestEntryError(t *testing.T) {
	t.Parallel()
	_, err := New(nil, oneHost("/{a}/x", "/ok", "/y/{b}", "bad"))
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("got %v, want joined errors", err)
	}
	type fault struct {
		Index, Other int
		Source       string
	}
	var got []fault
	for _, err := range joined.Unwrap() {
		var e *EntryError
		if !errors.As(err, &e) {
			t.Fatalf("got %T, want *EntryError", err)
		}
		if strings.Contains(e.Err.Error(), e.Source) || !strings.HasPrefix(e.Error(), e.Source+": ") {
			t.Errorf("the source belongs before %q, and not into %q", e.Error(), e.Err)
		}
		got = append(got, fault{e.Index, e.Other, e.Source})
	}
	want := []fault{{2, 0, "tollgate.yaml:3:9"}, {3, -1, "tollgate.yaml:4:9"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

// A pattern that runs across a large table names some of its conflicts, not
// thousands.
func TestNewBoundsConflictsOfOneEntry(t *testing.T) {
	t.Parallel()
	var patterns []string
	for i := range 100 {
		patterns = append(patterns, fmt.Sprintf("/a%d/{x}", i))
	}
	_, err := New(nil, oneHost(append(patterns, "/{x}/b")...))
	if err == nil {
		t.Fatal("New saw no conflict")
	}
	if got := strings.Count(err.Error(), "neither is more specific"); got != maxConflicts {
		t.Errorf("got %d conflicts, want %d", got, maxConflicts)
	}
}

// requireGolden compares with a file; UPDATE_GOLDEN=1 writes it.
func requireGolden(t *testing.T, file, got string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}
