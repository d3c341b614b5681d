// Package outside is what tests share that judge tollgate from outside, by programs that
// other people wrote: the binary, a tollgate that runs, pinned packages of other languages
// in the cache of the tree, and the rule for what a machine lacks. What a test configures,
// which credentials it makes and what it asks for are its own.
//
// It is for the folders of tests beside it: a test runs in its own folder, and what is
// read here is found from there.
package outside

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Root is the top of the tree, from the folder of a test.
var Root = filepath.Join("..", "..")

var scratch string // of the process; removed at the end

// Run runs the tests of a folder, and removes what they had built.
func Run(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "tollgate-outside-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	return m.Run()
}

// Require ends a test that lacks a part of the machine: with a failure in CI,
// which must have it, and a skip on a laptop. What is wrong rather than missing
// is a failure everywhere.
func Require[T any](t *testing.T, part func() (T, error)) T {
	t.Helper()
	got, err := part()
	var missing missingError
	switch {
	case err == nil:
	case errors.As(err, &missing) && os.Getenv("CI") != "true":
		t.Skip(err)
	default:
		t.Fatal(err)
	}
	return got
}

// Missing is the error of a part of the machine that tests need and that is not there.
func Missing(format string, args ...any) error {
	return missingError{fmt.Sprintf(format, args...)}
}

type missingError struct{ what string }

func (e missingError) Error() string { return e.what }

// binary is the tollgate under test, built when the first test asks.
var binary = sync.OnceValues(func() (string, error) {
	if err := readSources(); err != nil {
		return "", err
	}
	path := filepath.Join(scratch, "tollgate")
	build := exec.Command("go", "build", "-trimpath", "-o", path, "github.com/tollgate-authz/tollgate/cmd/tollgate")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build tollgate: %w\n%s", err, out)
	}
	return path, nil
})

// readSources lists the folders of tollgate's sources. go test keeps the result
// of a test for as long as the files that it looked at stay the same, and it does
// not know what go build looks at.
func readSources() error {
	for _, top := range []string{"authz", "cmd", "envoy", "limiter", "proto", "tokens"} {
		err := filepath.WalkDir(filepath.Join(Root, top), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), ".") {
				return fs.SkipDir
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("read the sources: %w", err)
		}
	}
	return nil
}
