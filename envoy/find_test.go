package envoy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(mode os.FileMode, parts ...string) string {
		t.Helper()
		file := filepath.Join(append([]string{dir}, parts...)...)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
		return file
	}
	named := write(0o755, "named", "my-envoy")
	text := write(0o644, "named", "notes")
	onPath := write(0o755, "bin", "envoy")
	write(0o644, "docs", "envoy") // a file of that name that is no program
	if err := os.MkdirAll(filepath.Join(dir, "src", "envoy"), 0o755); err != nil {
		t.Fatal(err)
	}
	install := func(root, version string) string {
		return write(0o755, root, ".cache", "envoy-"+version, "envoy", "_bin", "envoy")
	}
	install("repo", "1.9.9")
	newest := install("repo", "1.40.0")
	install("repo", "1.36.3")
	install("repo", "1.x")
	write(0o755, "repo", ".cache", "1.50.0", "envoy", "_bin", "envoy")
	write(0o644, "repo", ".cache", "envoy-1.41.0", "envoy", "_bin", "envoy") // was not installed to its end

	cwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	relative, err := filepath.Rel(cwd, filepath.Join(dir, "bin"))
	if err != nil {
		t.Fatal(err)
	}
	nothing := filepath.Join(dir, "docs") + ":" + filepath.Join(dir, "src") + "::" + relative
	path := nothing + ":" + filepath.Join(dir, "bin")
	tests := []struct {
		name, dir, variable, path string
		want                      string
		fault                     []string
	}{
		{name: "the variable comes first", dir: "repo", variable: named, path: path, want: named},
		{name: "then PATH", dir: "repo", path: path, want: onPath},
		{name: "then the newest", dir: "repo", path: nothing, want: newest},
		{name: "a variable that is wrong is not passed over", dir: "repo", variable: text, path: path, fault: []string{"TOLLGATE_ENVOY", text, "not an executable file"}},
		{name: "nor one that names nothing", dir: "repo", variable: "/nowhere/envoy", path: path, fault: []string{"TOLLGATE_ENVOY", "/nowhere/envoy"}},
		{name: "nor a folder", dir: "repo", variable: dir, path: path, fault: []string{"not an executable file"}},
		{name: "none", dir: "empty", path: nothing, fault: []string{"TOLLGATE_ENVOY", "PATH", "make envoy"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			environment := map[string]string{"TOLLGATE_ENVOY": test.variable, "PATH": test.path}
			got, err := Find(filepath.Join(dir, test.dir), func(name string) string { return environment[name] })
			if got != test.want || (err == nil) != (test.fault == nil) {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
			for _, part := range test.fault {
				if err != nil && !strings.Contains(err.Error(), part) {
					t.Errorf("got %q, want %q in it", err, part)
				}
			}
		})
	}

	got, err := Installed(filepath.Join(dir, "repo"))
	if err != nil {
		t.Fatal(err)
	}
	var versions []string
	for _, binary := range got {
		versions = append(versions, strings.Split(strings.TrimPrefix(binary, filepath.Join(dir, "repo", ".cache")+"/"), "/")[0])
	}
	if diff := cmp.Diff([]string{"envoy-1.9.9", "envoy-1.36.3", "envoy-1.40.0"}, versions); diff != "" {
		t.Errorf("Installed: -want +got:\n%s", diff)
	}
}
