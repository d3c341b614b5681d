package api

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tollgate-authz/tollgate/test/outside"
)

// records are there to begin with, so that what is done with one is tried early.
var records = map[string]string{
	"/api-keys": `{"name": "partner", "scopes": ["contacts:read"]}`,
	"/clients":  `{"name": "application", "scopes": ["contacts:read"]}`,
	"/tokens":   `{"name": "night job", "scopes": ["contacts:read"]}`,
	"/users":    `{"name": "Ada", "email": "ada@example.com", "role": "viewer"}`,
}

// TestSchemathesis has every operation called with what its schema allows and what it
// forbids, and with what others have answered. make schemathesis does more of it.
func TestSchemathesis(t *testing.T) {
	t.Parallel()
	seed, examples := cmp.Or(os.Getenv("TOLLGATE_API_SEED"), "1"), cmp.Or(os.Getenv("TOLLGATE_API_EXAMPLES"), "50")
	p := outside.Require(t, python)
	s := newServer(t)
	dir := t.TempDir() // for what it keeps
	path, operations := s.file(dir)
	for path, body := range records {
		s.make(path, body)
	}
	config, err := filepath.Abs("schemathesis.toml")
	if err != nil {
		t.Fatal(err)
	}
	out, err := run(t, p, dir, []string{"SCHEMATHESIS_HOOKS=hooks", "TOLLGATE_BEARER=" + s.bearer, "TOLLGATE_CLIENT=" + s.client},
		"-m", "schemathesis.cli", "--no-color", "--config-file", config, "run", path, "--url", s.url,
		"--seed", seed, "--max-examples", examples)
	s.requireNoFaults()
	s.requireAdministrator()
	// Of each operation that answers with success, what is said without a token and with
	// a wrong one is asked: the tool leaves that out without a word where it cannot.
	for _, cause := range []string{"a bearer token is needed", "the token is not one of ours"} {
		if n := strings.Count(s.log.String(), cause); n < operations/2 {
			t.Errorf("%q was answered %d times, for %d operations", cause, n, operations)
		}
	}
	if err != nil {
		t.Fatalf("schemathesis: %v\n%s", err, out)
	}
	if want := fmt.Sprintf("Tested: %d", operations); !strings.Contains(out, want) {
		t.Errorf("not every operation was called, want %q:\n%s", want, out)
	}
	for _, phase := range []string{"Examples", "Coverage", "Fuzzing", "Stateful"} {
		if !strings.Contains(out, "✅ "+phase) {
			t.Errorf("phase %s was left out:\n%s", phase, out)
		}
	}
	t.Logf("seed %s, %s examples\n%s", seed, examples, out)
}
