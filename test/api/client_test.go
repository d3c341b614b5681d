package api

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/tollgate-authz/tollgate/test/outside"
)

// TestOpenAPIFileIsValid has the file read by a validator of OpenAPI 3.1.
func TestOpenAPIFileIsValid(t *testing.T) {
	t.Parallel()
	p := outside.Require(t, python)
	dir := t.TempDir()
	path, _ := newServer(t).file(dir)
	out, err := run(t, p, dir, nil, "-m", "openapi_spec_validator", "--schema", "3.1", path)
	if err != nil || !strings.HasSuffix(strings.TrimSpace(out), "OK") {
		t.Errorf("openapi_spec_validator: %v\n%s", err, out)
	}
}

// TestGeneratedClient has a generator make a client of the file, without a warning, and
// uses it.
func TestGeneratedClient(t *testing.T) {
	t.Parallel()
	p := outside.Require(t, python)
	s := newServer(t)
	dir := t.TempDir()
	path, operations := s.file(dir)
	config, err := filepath.Abs("generator.yml")
	if err != nil {
		t.Fatal(err)
	}
	out, err := run(t, p, dir, nil, "-m", "openapi_python_client", "generate", "--path", path, "--config", config,
		"--meta", "none", "--output-path", filepath.Join(dir, "tollgate_api"), "--fail-on-warning")
	if err != nil {
		t.Fatalf("openapi_python_client: %v\n%s", err, out)
	}
	made, err := filepath.Glob(filepath.Join(dir, "tollgate_api", "api", "*", "*.py"))
	if err != nil {
		t.Fatal(err)
	}
	functions := 0
	for _, name := range made {
		if filepath.Base(name) != "__init__.py" {
			functions++
		}
	}
	if functions != operations {
		t.Errorf("the client has %d operations, want %d: %v", functions, operations, made)
	}
	script, err := filepath.Abs("client.py")
	if err != nil {
		t.Fatal(err)
	}
	if out, err = run(t, p, dir, []string{"TOLLGATE_URL=" + s.url, "TOLLGATE_BEARER=" + s.bearer}, script); err != nil {
		t.Errorf("client.py: %v\n%s", err, out)
	}
	s.requireNoFaults()
	t.Log(out)
}
