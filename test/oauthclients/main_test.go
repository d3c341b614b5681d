// Package oauthclients runs OAuth clients that other people wrote against the
// tollgate binary, as the users of those libraries would: golang.org/x/oauth2
// here, Authlib and requests-oauthlib in python/, oauth4webapi and openid-client
// in node/. The tokens they get are used through a real Envoy. What the libraries
// themselves do is theirs; what tollgate answers in detail is checked in
// tokens/endpoint and test/e2e.
package oauthclients

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

var (
	root    = filepath.Join("..", "..")
	scratch string // removed at the end
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "tollgate-oauthclients-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	return m.Run()
}

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
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
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

// require ends a test that lacks a part of the machine: with a failure in CI,
// which must have it, and a skip on a laptop. What is wrong rather than missing
// is a failure everywhere.
func require[T any](t *testing.T, part func() (T, error)) T {
	t.Helper()
	got, err := part()
	switch {
	case err == nil:
	case isMissing(err) && os.Getenv("CI") != "true":
		t.Skip(err)
	default:
		t.Fatal(err)
	}
	return got
}
