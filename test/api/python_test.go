package api

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tollgate-authz/tollgate/test/outside"
)

// newestPython is the last that the pinned wheels are for.
const newestPython = 14

var python = sync.OnceValues(func() (outside.Runtime, error) {
	return outside.Python("api", "requirements.txt", newestPython)
})

// run runs a module in a folder of the test's, and returns what it printed.
func run(t *testing.T, p outside.Runtime, dir string, env []string, args ...string) (string, error) {
	t.Helper()
	// go test keeps the result of a test for as long as the files that it looked at stay
	// the same, and it does not know what Python looks at.
	for _, name := range []string{"hooks.py", "schemathesis.toml", "client.py", "generator.yml"} {
		if _, err := os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), p.Program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PYTHONPATH="+strings.Join([]string{p.Packages, here, dir}, string(os.PathListSeparator)), "PYTHONNOUSERSITE=1",
		"PYTHONDONTWRITEBYTECODE=1", "PYTHONUTF8=1", "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
