// Package e2e runs the real binary behind real Envoys, as a user would: the
// configuration file, the commands, the front that envoy bootstrap prints.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tollgate-authz/tollgate/envoy"
)

var (
	binary  string   // the tollgate under test
	envoys  []string // Envoy binaries, the oldest first
	noEnvoy string   // why there are none
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tollgate-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "tollgate")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "github.com/tollgate-authz/tollgate/cmd/tollgate")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build tollgate: %v\n%s", err, out)
		return 1
	}
	findEnvoys()
	status := m.Run()
	if os.Getenv("TOLLGATE_ENVOY_MATRIX") != "" {
		if err := writeVersions(filepath.Join("..", "..", "docs", "envoy-versions.md")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return status
}

// findEnvoys takes the versions that make test installs, all of them when
// TOLLGATE_ENVOY_MATRIX names them, else whichever Envoy there is.
func findEnvoys() {
	root := filepath.Join("..", "..")
	wanted := strings.Fields(os.Getenv("TOLLGATE_ENVOY_MATRIX"))
	if len(wanted) == 0 {
		wanted = []string{"1.36.3", "1.40.0"}
	}
	if installed, err := envoy.Installed(root); err == nil {
		for _, path := range installed {
			if slices.ContainsFunc(wanted, func(v string) bool { return strings.Contains(path, "envoy-"+v+"/") }) {
				path, _ = filepath.Abs(path)
				envoys = append(envoys, path)
			}
		}
	}
	if len(envoys) == len(wanted) {
		return
	}
	if os.Getenv("CI") == "true" {
		envoys, noEnvoy = nil, fmt.Sprintf("CI must run on Envoy %s, found %v", strings.Join(wanted, " and "), envoys)
		return
	}
	if len(envoys) > 0 {
		return
	}
	one, err := envoy.Find(root, os.Getenv)
	if err != nil {
		noEnvoy = err.Error()
		return
	}
	envoys = []string{one}
}

// eachEnvoy runs a test on every version. Without any it skips on a laptop and
// fails in CI.
func eachEnvoy(t *testing.T, f func(t *testing.T, envoy string)) {
	t.Helper()
	if len(envoys) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal(noEnvoy)
		}
		t.Skip("no Envoy: ", noEnvoy)
	}
	t.Parallel()
	for _, path := range envoys {
		t.Run(versionOf(path), func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() { results.add(versionOf(path), t.Failed()) })
			f(t, path)
		})
	}
}

// oneEnvoy runs a test on the newest version, where others would add time alone.
func oneEnvoy(t *testing.T, f func(t *testing.T, envoy string)) {
	t.Helper()
	if len(envoys) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal(noEnvoy)
		}
		t.Skip("no Envoy: ", noEnvoy)
	}
	t.Parallel()
	f(t, envoys[len(envoys)-1])
}

func versionOf(path string) string {
	for _, part := range strings.Split(path, string(filepath.Separator)) {
		if v, ok := strings.CutPrefix(part, "envoy-"); ok {
			return v
		}
	}
	return "envoy"
}
