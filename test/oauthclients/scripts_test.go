package oauthclients

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/test/outside"
)

// The scripts of a library are python/<library>_<scenario>.py and
// node/<library>_<scenario>.mjs. Each gets a client of its own and reads as a
// sample for that library; it fails by an exception. Those whose scenario names a
// refresh token get a client with refresh tokens.

func TestD3D4V5_Authlib(t *testing.T) {
	t.Parallel()
	runPython(t, "authlib", 6)
}

func TestD3D4V5_RequestsOAuthlib(t *testing.T) {
	t.Parallel()
	runPython(t, "requests_oauthlib", 4)
}

func TestD3D4V5_OAuth4WebAPI(t *testing.T) {
	t.Parallel()
	runNode(t, "oauth4webapi", 6)
}

func TestD3D4V5_OpenIDClient(t *testing.T) {
	t.Parallel()
	runNode(t, "openid_client", 5)
}

func runPython(t *testing.T, library string, scripts int) {
	t.Helper()
	p := outside.Require(t, python)
	runScripts(t, p.Program, filepath.Join("python", library+"_*.py"), scripts, "PYTHONPATH="+p.Packages, "PYTHONNOUSERSITE=1", "PYTHONDONTWRITEBYTECODE=1")
}

// runNode puts the scripts beside the packages: imports are looked up from where
// a script lies.
func runNode(t *testing.T, library string, scripts int) {
	t.Helper()
	n := outside.Require(t, node)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("node")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(n.Packages, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	runScripts(t, n.Program, filepath.Join(dir, library+"_*.mjs"), scripts)
}

// runScripts runs each on a client of its own. How many there are is said by the
// caller, so that none is lost to a wrong name.
func runScripts(t *testing.T, program, pattern string, want int, env ...string) {
	t.Helper()
	scripts, err := filepath.Glob(pattern)
	if err != nil || len(scripts) != want {
		t.Fatalf("got %d scripts %s, want %d: %v", len(scripts), pattern, want, err)
	}
	s := newStack(t)
	for _, script := range scripts {
		library, _, _ := strings.Cut(filepath.Base(pattern), "*")
		scenario := strings.TrimPrefix(strings.TrimSuffix(filepath.Base(script), filepath.Ext(script)), library)
		t.Run(scenario, func(t *testing.T) {
			t.Parallel()
			var flags []string
			if strings.Contains(scenario, "refresh") {
				flags = append(flags, "--refresh")
			}
			c := s.client(t, flags...)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, program, script)
			cmd.Env = append(os.Environ(), "ISSUER="+s.issuer, "CLIENT_ID="+c.ID, "CLIENT_SECRET="+c.Secret, "API="+s.api,
				"NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
			cmd.Env = append(cmd.Env, env...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", filepath.Base(script), err, out)
			}
		})
	}
}
