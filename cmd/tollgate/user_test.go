package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestUserCommands goes through a user's life.
func TestUserCommands(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tollgate.yaml")
	text := fmt.Sprintf("issuer: https://auth.example.com\nstore: sqlite:%s\n", filepath.Join(t.TempDir(), "data", "t.db"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	do := func(status int, says string, args ...string) string {
		t.Helper()
		var out, fault bytes.Buffer
		got := run(t.Context(), append([]string{"--config", file, "user"}, args...), streams{strings.NewReader(""), &out, &fault}, func(string) (string, bool) { return "", false })
		if got != status || !strings.Contains(out.String()+fault.String(), says) {
			t.Fatalf("user %s: status %d, %s%s; want %d and %q", strings.Join(args, " "), got, &out, &fault, status, says)
		}
		return out.String()
	}
	view := func(text string) (v userView) {
		t.Helper()
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		return v
	}
	do(exitOK, "not there yet", "--help")
	do(exitOK, "not there yet", "create", "--help")
	do(exitOK, "[]", "list", "--output", "json")
	do(exitFailure, "no store", "update", "ada@example.com", "--name", "Ada")
	for says, args := range map[string]string{
		`e-mail address ""`: "create --name Ada --role viewer", `role "" is unknown`: "create --name Ada --email ada@example.com", `role "root"`: "create --name Ada --email ada@example.com --role root",
		`name ""`: "create --email ada@example.com --role viewer", "nothing to change": "update ada@example.com", "--email of a user is fixed": "update ada@example.com --email eve@example.com",
		`role "Viewer"`: "update ada@example.com --role Viewer", "accepts 1 arg": "delete",
	} {
		do(exitUsage, says, strings.Fields(args)...)
	}

	want := view(do(exitOK, "", "create", "--email", "Ada@example.com", "--name", "Ada", "--role", "developer", "--account", "acme", "--output", "json"))
	if d := cmp.Diff(userView{want.ID, "Ada@example.com", "Ada", "developer", "acme", "active", want.CreatedAt}, want); d != "" || want.ID == "" || want.CreatedAt == "" {
		t.Errorf("-want +got:\n%s", d)
	}
	do(exitFailure, "exists already", "create", "--email", "ada@EXAMPLE.com", "--name", "Ada", "--role", "viewer")
	do(exitOK, "created the user bob@example.com, ", "create", "--email", "bob@example.com", "--name", "Bob", "--role", "viewer")
	do(exitUsage, `account "a b"`, "update", want.ID, "--account", "a b")
	for _, step := range []struct {
		args   string
		change func()
	}{
		{"--suspended", func() { want.Status = "suspended" }},
		{"--name Augusta --role administrator", func() { want.Name, want.Role = "Augusta", "administrator" }},
		{"--suspended=false --account initech", func() { want.Status, want.Account = "active", "initech" }},
	} {
		step.change()
		got := view(do(exitOK, "", append([]string{"update", "ada@example.com", "--output", "json"}, strings.Fields(step.args)...)...))
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: -want +got:\n%s", step.args, d)
		}
	}
	if list := do(exitOK, "Augusta", "list"); strings.Count(list, "\n") != 3 || !strings.Contains(list, "bob@example.com") {
		t.Errorf("the list is\n%s", list)
	}
	do(exitOK, "deleted", "delete", want.ID)
	do(exitFailure, "not found", "delete", "ada@example.com")
	do(exitFailure, "not found", "update", "ada@example.com", "--name", "Ada")
	if list := do(exitOK, "bob@example.com", "list"); strings.Contains(list, "Ada") {
		t.Errorf("the list is\n%s", list)
	}
}
