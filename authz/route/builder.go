package route

import (
	"slices"
	"strings"
)

// builder adds entries to a table and gathers their faults.
type builder struct {
	table    *Table
	entries  []Entry
	patterns []*pattern // of the entries that are in the table
	faults   []error
}

// host returns the position of a host in the table, which it adds if it is new.
func (b *builder) host(written string) (int, error) {
	name, err := CanonicalHost(written)
	if err != nil {
		return 0, err
	}
	t := b.table
	next := len(t.hosts)
	if name == "*" {
		if t.every > 0 {
			return t.every - 1, nil
		}
		t.every = next + 1
	} else {
		names, key := t.exact, name
		if suffix, wild := strings.CutPrefix(name, "*"); wild {
			names, key = t.suffix, suffix
			t.longest = max(t.longest, len(suffix))
		}
		if i, found := names[key]; found {
			return i, nil
		}
		names[key] = next
	}
	t.hosts = append(t.hosts, name)
	t.methods = append(t.methods, map[string]*node{})
	return next, nil
}

// maxConflicts bounds what is said about one entry: a pattern that runs across
// a large table would otherwise be reported with all of it.
const maxConflicts = 10

// add takes one entry and notes its faults. One that conflicts is still compared
// with those after it, so that removing the other one brings up nothing new.
func (b *builder) add(i int) {
	e := b.entries[i]
	fault := func(other int, err error) {
		b.faults = append(b.faults, &EntryError{Index: i, Other: other, Source: e.Source, Err: err})
	}
	host, hostErr := b.host(e.Host)
	if hostErr != nil {
		fault(-1, hostErr)
	}
	p, err := parse(e.Pattern)
	if err != nil {
		fault(-1, err)
	}
	if hostErr != nil || err != nil {
		return
	}
	conflicts := b.conflicts(host, p)
	for _, other := range conflicts[:min(len(conflicts), maxConflicts)] {
		fault(other, p.describe(b.patterns[other], b.table.hosts[host], b.entries[other].Source))
	}
	same := func(other int) bool { return p.compare(b.patterns[other]) == 0 }
	if slices.ContainsFunc(conflicts, same) {
		return // its place in the tree is taken
	}
	b.patterns[i] = p
	methods := b.table.methods[host]
	if methods[p.method] == nil {
		methods[p.method] = &node{}
	}
	methods[p.method].add(p.segments, i)
}

// conflicts returns the entries that p conflicts with, in their order.
func (b *builder) conflicts(host int, p *pattern) []int {
	var found []int
	for method, root := range b.table.methods[host] {
		if compareMethods(p.method, method) != disjoint {
			found = root.overlapping(p.segments, found)
		}
	}
	found = slices.DeleteFunc(found, func(other int) bool { return !p.compare(b.patterns[other]).conflict() })
	slices.Sort(found)
	return found
}
