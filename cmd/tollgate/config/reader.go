package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// reader walks a parsed file along the fields of Config. It gathers every fault
// instead of stopping at the first.
type reader struct {
	file   string
	dir    string
	getenv func(string) (string, bool)
	files  bool // look into files that the configuration names

	faults Faults
	places map[string]place // by path, of all that the file has
	later  []string         // paths that are not enforced yet, without indexes
}

// place is where something stands in the file.
type place struct {
	line, column int
	names        []string // variables that were filled in
	broken       bool     // it could not be read, and has its fault already
}

func (p place) String() string { return fmt.Sprintf("%d:%d", p.line, p.column) }

// fault reports what is wrong with the value at a path. What the path's own
// reading or a block around it has reported is not reported again.
func (r *reader) fault(path, format string, args ...any) {
	for p := path; ; p = parent(p) {
		if r.places[p].broken {
			return
		}
		if p == "" {
			break
		}
	}
	at := r.at(path)
	r.faultAt(at.line, at.column, path, format, args...)
}

func (r *reader) faultAt(line, column int, path, format string, args ...any) {
	r.faults = append(r.faults, Fault{
		File: r.file, Line: line, Column: column, Path: path, Reason: clean(fmt.Sprintf(format, args...)),
	})
}

// spoil reports what is wrong with a value that cannot be read.
func (r *reader) spoil(path, format string, args ...any) {
	r.fault(path, format, args...)
	at := r.at(path)
	at.broken = true
	r.places[path] = at
}

// at returns the place of a path, or of the nearest block around it.
func (r *reader) at(path string) place {
	for {
		if at, written := r.places[path]; written || path == "" {
			return at
		}
		path = parent(path)
	}
}

// wrote reports whether the file has something at the path.
func (r *reader) wrote(path string) bool {
	_, written := r.places[path]
	return written
}

func parent(path string) string { return path[:max(strings.LastIndexAny(path, ".["), 0)] }

// ordinary is a key that needs no quotes in a path.
var ordinary = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func join(path, name string) string {
	if !ordinary.MatchString(name) {
		name = show(name)
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
