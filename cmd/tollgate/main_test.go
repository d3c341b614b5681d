package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
)

// TestSecretsAreMadeOnce: processes that start together share one secret.
func TestSecretsAreMadeOnce(t *testing.T) {
	t.Parallel()
	c := &config.Config{Store: config.Store{SQLite: filepath.Join(t.TempDir(), "data", "t.db")}}
	var group sync.WaitGroup
	made := make([]secrets, 16)
	for i := range made {
		group.Go(func() {
			var err error
			if made[i], err = loadSecrets(c, rand.Reader); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for i := range made {
		if made[i] != made[0] {
			t.Fatal("two processes made two secrets")
		}
	}
	if made[0].encryption == [32]byte(made[0].pepper) {
		t.Error("one secret serves two purposes")
	}
	for _, name := range []string{"encryption-key", "pepper"} {
		info, err := os.Stat(c.Store.SQLite + "." + name)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", name, info, err)
		}
	}
	if err := os.WriteFile(c.Store.SQLite+".pepper", []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadSecrets(c, rand.Reader); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged file: %v, want an error", err)
	}
}

// TestWhatCannotBeAStore is named as such, and nothing is made beside it.
func TestWhatCannotBeAStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	junk, folder := filepath.Join(dir, "junk"), filepath.Join(dir, "folder")
	if err := errors.Join(os.WriteFile(junk, []byte("this is no database at all"), 0o600), os.Mkdir(folder, 0o700)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{junk: "no SQLite database", folder: "no regular file", os.DevNull: "no regular file", junk + "/x": "not a directory"} {
		_, err := loadSecrets(&config.Config{Store: config.Store{SQLite: path}}, rand.Reader)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
	if files, _ := os.ReadDir(dir); len(files) != 2 {
		t.Errorf("files were made: %v", files)
	}
}

// TestAPipeDoesNotHoldUpTheEnd: a configuration may be a pipe that nobody writes to.
func TestAPipeDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	a := &app{configFile: fifo, getenv: os.LookupEnv}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.awaitConfig(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was stopped", err)
	}
	w, err := os.OpenFile(fifo, os.O_RDWR, 0) // lets the reader go
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Error(err)
	}
}

func TestConfiguredSecretsAreUsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	long := strings.Repeat("x", 32)
	c := &config.Config{Store: config.Store{SQLite: filepath.Join(dir, "t.db")}, Keys: config.Keys{EncryptionKey: long, Pepper: long}}
	s, err := loadSecrets(c, rand.Reader)
	if err != nil || s.encryption == [32]byte(s.pepper) {
		t.Errorf("one text for both secrets gives one key: %v", err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("files were made: %v", files)
	}
}

func TestListenTakesOverAStaleSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s.sock")
	first, err := listen(t.Context(), "unix:"+path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listen(t.Context(), "unix:"+path, 0o600); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a socket in use: %v, want an error", err)
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false) // as a killed process leaves it
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := listen(t.Context(), "unix:"+path, 0o600)
	if err != nil {
		t.Fatalf("a stale socket: %v", err)
	}
	_ = second.Close()
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listen(t.Context(), "unix:"+path, 0o600); err == nil {
		t.Error("a file was taken for a socket")
	}
	if text, _ := os.ReadFile(path); string(text) != "precious" {
		t.Error("the file is gone")
	}
}

func TestQuestionKeepsThePathAsWritten(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"http://h/a/../b": "/a/../b", "http://h/a%2fb?x=1": "/a%2fb?x=1", "http://h": "/", "http://h?x=1": "/?x=1", "http://h//a": "//a", "http://h/%zz": "/%zz", "http://h/a#b": "/a",
	} {
		q := question{Method: "GET", URL: url, SourceIP: "192.0.2.1", Headers: []string{"Authorization: Bearer x", "authorization: Bearer y", "X-Forwarded-For: 1.2.3.4"}}
		req, err := q.request(nil)
		if err != nil || req.Path != want || req.Host != "h" || req.Authorizations != 2 || req.ForwardedFor != "1.2.3.4" {
			t.Errorf("%s: %+v, %v; want path %s", url, req, err, want)
		}
	}
	for _, q := range []question{{URL: "/a"}, {URL: "h/a"}, {URL: "http://h", SourceIP: "x"}, {URL: "http://h", Headers: []string{"x"}}, {URL: "http://h:x/"}, {URL: "http://h h/"}, {URL: "://h"}, {URL: "http://u@h/"}, {URL: "http://h", Headers: []string{": x"}}} {
		if _, err := q.request(nil); err == nil {
			t.Errorf("%+v was accepted", q)
		}
	}
}

func TestNeedsRestartNamesTheKeys(t *testing.T) {
	t.Parallel()
	a := &config.Config{Issuer: "https://a"}
	b := &config.Config{Issuer: "https://b", Listen: config.Listen{Ops: "127.0.0.1:1"}}
	if got := needsRestart(a, b); len(got) != 2 {
		t.Errorf("got %v, want issuer and listen", got)
	}
	if got := needsRestart(a, a); got != nil {
		t.Errorf("got %v, want none", got)
	}
}

func TestHelpFitsOnAScreen(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if status := run(context.Background(), []string{"--help"}, streams{strings.NewReader(""), &out, &out}, func(string) (string, bool) { return "", false }); status != exitOK {
		t.Errorf("status %d", status)
	}
	if lines := strings.Count(out.String(), "\n"); lines > 36 || !strings.Contains(out.String(), "serve") {
		t.Errorf("%d lines:\n%s", lines, out.String())
	}
}
