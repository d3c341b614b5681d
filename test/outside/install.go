package outside

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Runtime runs programs of a language with the packages that they import.
type Runtime struct {
	Program  string
	Packages string // the folder
}

// oldestPython is the first that the pinned wheels are for.
const oldestPython = 11

// Python is the one of the machine, from 3.11 to that minor version, or any later one
// where newest is 0. Its packages are the wheels of a file of requirements, in a folder of
// the cache that is named for the tests.
func Python(tests, requirements string, newest int) (Runtime, error) {
	program, err := exec.LookPath("python3")
	if err != nil {
		return Runtime{}, Missing("python3 is not on PATH")
	}
	out, err := exec.Command(program, "-c", `import sys; print(*sys.version_info[:2])`).Output()
	if err != nil {
		return Runtime{}, fmt.Errorf("ask python3 for its version: %w", err)
	}
	version := strings.TrimSpace(string(out))
	wanted := fmt.Sprintf("3.%d or newer", oldestPython)
	if newest != 0 {
		wanted = fmt.Sprintf("3.%d to 3.%d", oldestPython, newest)
	}
	minor, ok := strings.CutPrefix(version, "3 ")
	if n, err := strconv.Atoi(minor); !ok || err != nil || n < oldestPython || newest != 0 && n > newest {
		return Runtime{}, Missing("python3 on PATH is %s: the packages of %s are for %s", strings.ReplaceAll(version, " ", "."), requirements, wanted)
	}
	packages, err := Wheels(program, tests+"-python3."+minor, requirements)
	return Runtime{program, packages}, err
}

// Wheels returns the folder of the cache with what a file of requirements pins, which pip
// verifies.
func Wheels(python3, name, requirements string) (string, error) {
	return Installed(name, []string{requirements}, func(dir string) error { return pip(python3, requirements, dir) })
}

// Installed returns the folder of the cache for what those files pin, and fills
// it on first use. It appears at once or not at all: fill works in a folder that
// is then renamed. A change of the files is another folder.
func Installed(name string, pins []string, fill func(dir string) error) (string, error) {
	hash := sha256.New()
	for _, file := range pins {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		_, _ = hash.Write(text)
	}
	cache, err := filepath.Abs(filepath.Join(Root, ".cache"))
	if err != nil {
		return "", err
	}
	target := filepath.Join(cache, fmt.Sprintf("%s-%x", name, hash.Sum(nil)[:6]))
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(cache, "installing-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(work) }()
	dir := filepath.Join(work, "done")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	if err := fill(dir); err != nil {
		return "", err
	}
	if err := os.Rename(dir, target); err != nil {
		// Another run beside this one was quicker; what it installed is as good.
		if _, missing := os.Stat(target); missing != nil {
			return "", err
		}
	}
	return target, nil
}

// pip installs wheels into a folder of their own, which no distribution objects
// to and which needs no venv.
func pip(python3, requirements, dir string) error {
	if err := exec.Command(python3, "-m", "pip", "--version").Run(); err != nil {
		return Missing("python3 has no pip (Debian: apt-get install python3-pip)")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, python3, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--retries", "2",
		"--require-hashes", "--no-deps", "--only-binary=:all:", "--target", dir, "-r", requirements)
	// PIP_USER would contradict --target.
	cmd.Env = append(os.Environ(), "PIP_USER=0", "PIP_ROOT_USER_ACTION=ignore")
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil && strings.Contains(string(out), "DO NOT MATCH THE HASHES"):
		return fmt.Errorf("pip install: %w\n%s", err, out)
	case err != nil:
		return Missing("pip could not install %s (is there a network?): %v\n%s", requirements, err, out)
	}
	return nil
}
