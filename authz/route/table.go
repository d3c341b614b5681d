// Package route owns two questions about the target of a request: whether its
// path has one reading only (Plain), and which configured route it belongs to
// (Table). Hosts are matched as Envoy matches virtual hosts, methods and paths as
// net/http.ServeMux does, except that nothing is cleaned or redirected.
//
// It knows no APIs, scopes or configuration files: a route is a number to it, and
// what the number stands for is the caller's.
package route

import "errors"

// Entry is one route of one host.
type Entry struct {
	Host    string // api.example.com, *.example.com or *
	Pattern string // a pattern of net/http.ServeMux without host: "GET /v1/contacts/{id}"
	Source  string // where it was written ("tollgate.yaml:12:9"), for messages
}

// EntryError is a fault of one entry.
type EntryError struct {
	Index  int    // of the entry
	Other  int    // of the earlier entry that it conflicts with, or -1
	Source string // of the entry
	Err    error  // what is wrong and what would be right, without the source
}

func (e *EntryError) Error() string {
	if e.Source == "" {
		return e.Err.Error()
	}
	return e.Source + ": " + e.Err.Error()
}

func (e *EntryError) Unwrap() error { return e.Err }

// Table finds the route of a request. It does not change after New and may be
// used by many at once. The zero Table matches nothing.
type Table struct {
	hosts   []string
	methods []map[string]*node // for each host; "" holds patterns for all methods

	exact  map[string]int // positions in hosts
	suffix map[string]int // by ".example.com"
	every  int            // position of "*" plus one
	// longest is the length of the longest key of suffix: a name of a hundred
	// labels is not looked up a hundred times.
	longest int
}

// New makes a table. Hosts are those of the entries and those given besides, for
// APIs that own a host and have no route on it. The error joins all faults: an
// *EntryError for each of an entry's, in the order of entries.
func New(hosts []string, entries []Entry) (*Table, error) {
	b := builder{
		table:    &Table{exact: map[string]int{}, suffix: map[string]int{}},
		entries:  entries,
		patterns: make([]*pattern, len(entries)),
	}
	for _, host := range hosts {
		if _, err := b.host(host); err != nil {
			b.faults = append(b.faults, err)
		}
	}
	for i := range entries {
		b.add(i)
	}
	if len(b.faults) > 0 {
		return nil, errors.Join(b.faults...)
	}
	for _, methods := range b.table.methods {
		for _, root := range methods {
			root.sort()
		}
	}
	return b.table, nil
}

// Hosts returns all hosts in canonical form; Match.Host is a position in it. The
// slice is the table's own and must not be changed.
func (t *Table) Hosts() []string { return t.hosts }

// Match is where a request belongs.
type Match struct {
	Host  int // position in Hosts, or -1: no host matches
	Entry int // position in the entries, or -1: no route matches
}

// Match finds the best host, and on that host alone the most specific route.
// The method is compared as it is. The path is Envoy's :path up to the "?"; it
// need not have passed Plain yet, the gate refuses it later. A host that could not be one (two ports, userinfo, escapes)
// is matched by nothing, not even by "*".
func (t *Table) Match(method, host, path string) Match {
	m := Match{Host: t.matchHost(host), Entry: -1}
	if m.Host < 0 || path == "" || path[0] != '/' {
		return m
	}
	methods := t.methods[m.Host]
	entry := methods[method].match(path)
	if entry == 0 && method == "HEAD" {
		entry = methods["GET"].match(path)
	}
	if entry == 0 {
		entry = methods[""].match(path)
	}
	m.Entry = entry - 1
	return m
}

func (t *Table) matchHost(host string) int {
	host, ok := bare(host)
	if !ok {
		return -1
	}
	var buf [maxHost]byte
	n, ok := fold(&buf, host)
	if !ok {
		return -1
	}
	name := buf[:n]
	if i, found := t.exact[string(name)]; found {
		return i
	}
	for dot := max(1, n-t.longest); dot < n; dot++ { // from 1: the longest suffix still leaves a label
		if name[dot] != '.' {
			continue
		}
		if i, found := t.suffix[string(name[dot:])]; found {
			return i
		}
	}
	return t.every - 1
}
