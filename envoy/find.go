package envoy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Find returns the path of an Envoy binary: the one that TOLLGATE_ENVOY names,
// else envoy on PATH, else the newest that install-envoy has put under
// .cache in dir.
func Find(dir string, getenv func(string) string) (string, error) {
	if named := getenv("TOLLGATE_ENVOY"); named != "" {
		if err := executable(named); err != nil {
			return "", fmt.Errorf("find envoy: TOLLGATE_ENVOY names no program: %w", err)
		}
		return filepath.Abs(named)
	}
	for _, folder := range filepath.SplitList(getenv("PATH")) {
		// As exec.LookPath: what lies in the current folder is not meant.
		if candidate := filepath.Join(folder, "envoy"); filepath.IsAbs(folder) && executable(candidate) == nil {
			return candidate, nil
		}
	}
	installed, err := Installed(dir)
	if err != nil {
		return "", err
	}
	if len(installed) > 0 {
		return installed[len(installed)-1], nil
	}
	return "", fmt.Errorf("find envoy: there is none: name a binary in TOLLGATE_ENVOY, put envoy on PATH, or run %q, which installs one under %s",
		"make envoy", filepath.Join(dir, ".cache"))
}

// Installed lists the Envoy binaries under .cache in dir, the oldest version
// first.
func Installed(dir string) ([]string, error) {
	root, err := filepath.Abs(filepath.Join(dir, ".cache"))
	if err != nil {
		return nil, fmt.Errorf("list installed envoys: %w", err)
	}
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list installed envoys: %w", err)
	}
	type install struct {
		version []int
		binary  string
	}
	var found []install
	for _, entry := range entries {
		version, ok := parseVersion(strings.TrimPrefix(entry.Name(), "envoy-"))
		binary := filepath.Join(root, entry.Name(), "envoy", "_bin", "envoy")
		if ok && strings.HasPrefix(entry.Name(), "envoy-") && executable(binary) == nil {
			found = append(found, install{version, binary})
		}
	}
	slices.SortFunc(found, func(a, b install) int { return slices.Compare(a.version, b.version) })
	binaries := make([]string, len(found))
	for i, f := range found {
		binaries[i] = f.binary
	}
	return binaries, nil
}

// parseVersion reads 1.40.0 as numbers, since 1.9 is older than 1.40.
func parseVersion(text string) ([]int, bool) {
	var version []int
	for part := range strings.SplitSeq(text, ".") {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return nil, false
		}
		version = append(version, int(n))
	}
	return version, true
}

func executable(name string) error {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		return fmt.Errorf("%s: not an executable file", name)
	}
	return nil
}
