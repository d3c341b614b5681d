package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
)

// results counts what became of the tests on each version of Envoy.
var results = tally{byVersion: map[string]*[2]int{}}

type tally struct {
	mu        sync.Mutex
	byVersion map[string]*[2]int // passed, failed
}

func (r *tally) add(version string, failed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byVersion[version] == nil {
		r.byVersion[version] = &[2]int{}
	}
	if failed {
		r.byVersion[version][1]++
	} else {
		r.byVersion[version][0]++
	}
}

// writeVersions writes the table of docs/envoy-versions.md.
func writeVersions(path string) error {
	results.mu.Lock()
	defer results.mu.Unlock()
	var b strings.Builder
	b.WriteString("# Versions of Envoy\n\n`make test` runs every end-to-end test on 1.36.3 and 1.40.0, `make test-envoy-matrix` on all of these.\nIt writes this table.\n\n| Envoy | tests passed | tests failed |\n|---|---|---|\n")
	var versions []string
	for v := range results.byVersion {
		versions = append(versions, v)
	}
	slices.Sort(versions)
	for _, v := range versions {
		fmt.Fprintf(&b, "| %s | %d | %d |\n", v, results.byVersion[v][0], results.byVersion[v][1])
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}
