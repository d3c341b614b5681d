package envoy

import (
	"context"
	"errors"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestStartAndStop(t *testing.T) {
	t.Parallel()
	forEachEnvoy(t, func(t *testing.T, binary string) {
		// In a folder of the caller's, with what an earlier run has left there.
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "admin-address"), []byte("127.0.0.1:1"), 0o600); err != nil {
			t.Fatal(err)
		}
		front := complete()
		front.Listen, front.Admin = "127.0.0.1:0", "127.0.0.1:0"
		config, err := YAML(front)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Start(t.Context(), StartConfig{Binary: binary, Config: config, Dir: dir, Concurrency: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Stop()
		addr, err := p.ListenerAddr(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for what, addr := range map[string]string{"listener": addr, "admin": p.AdminAddr()} {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			conn.Close()
		}

		p.Stop()
		select {
		case <-p.Exited():
		default:
			t.Error("Exited is open after Stop")
		}
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			t.Error("somebody listens after Stop")
		}
		p.Stop() // is harmless
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("the caller's folder: %v", err)
		}
	})
}

func TestStartTellsWhyEnvoyExited(t *testing.T) {
	t.Parallel()
	forEachEnvoy(t, func(t *testing.T, binary string) {
		_, err := Start(t.Context(), StartConfig{Binary: binary, Config: []byte("no_such_field: 1\n")})
		if err == nil || !strings.Contains(err.Error(), "exited before it was ready") || !strings.Contains(err.Error(), "no_such_field") {
			t.Errorf("got %v, want an error with Envoy's last lines", err)
		}
	})
}

func TestStartOfNothing(t *testing.T) {
	t.Parallel()
	if _, err := Start(t.Context(), StartConfig{Binary: "/nowhere/envoy"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that there is no such file", err)
	}
}

// script is a program that stands in for an Envoy that misbehaves.
func script(t *testing.T, text string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell")
	}
	file := filepath.Join(t.TempDir(), "envoy")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

// An Envoy that never becomes ready is given up when the context ends, and does
// not stay behind.
func TestStartGivesUp(t *testing.T) {
	t.Parallel()
	pidFile := filepath.Join(t.TempDir(), "pid")
	binary := script(t, "echo warming; echo $$ >"+pidFile+"; exec sleep 600\n")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		until(t, "the child runs", func() bool { return readPID(pidFile) != 0 })
	}()
	_, err := Start(ctx, StartConfig{Binary: binary})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "warming") {
		t.Errorf("got %v, want that the context ended, and the last lines", err)
	}
	if err := syscall.Kill(readPID(pidFile), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the child is still there: %v", err)
	}
}

// Stop does not wait for ever on an Envoy that ignores SIGTERM.
func TestStopKills(t *testing.T) {
	t.Parallel()
	started := filepath.Join(t.TempDir(), "pid")
	binary := script(t, "trap '' TERM; echo $$ >"+started+"; while :; do sleep 1; done\n")
	p := &Process{dir: t.TempDir(), output: &tail{}, grace: 50 * time.Millisecond, exited: make(chan struct{}), cmd: exec.Command(binary)}
	if err := p.launch(); err != nil {
		t.Fatal(err)
	}
	until(t, "the child ignores SIGTERM", func() bool { return readPID(started) != 0 })
	p.Stop()
	if got := p.cmd.ProcessState.Sys().(syscall.WaitStatus); got.Signal() != syscall.SIGKILL {
		t.Errorf("it ended by %v, want SIGKILL", got.Signal())
	}
}

// asParent makes the test binary play a parent that starts an Envoy and is then
// killed.
const asParent = "TOLLGATE_TEST_ENVOY_PARENT"

func TestMain(m *testing.M) {
	if binary := os.Getenv(asParent); binary != "" {
		_, err := Start(context.Background(), StartConfig{Binary: binary}) // which is never ready
		log.Fatal(err)
	}
	os.Exit(m.Run())
}

// A parent that was killed cannot stop its child: the kernel does.
func TestEnvoyDiesWithItsParent(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has a parent-death signal")
	}
	pidFile := filepath.Join(t.TempDir(), "pid")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self)
	parent.Env = append(os.Environ(), asParent+"="+script(t, "echo $$ >"+pidFile+"; exec sleep 600\n"))
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "the child runs", func() bool { return readPID(pidFile) != 0 })
	child := readPID(pidFile)
	if err := syscall.Kill(child, 0); err != nil {
		t.Fatalf("the child does not run: %v", err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	until(t, "the child is gone", func() bool { return gone(child) })
}

// gone holds for a zombie too: nobody may be there to wait for an orphan.
func gone(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(state, "Z")
}

func readPID(file string) int {
	text, _ := os.ReadFile(file)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

func TestTailKeepsTheEnd(t *testing.T) {
	t.Parallel()
	var all buffer
	log := tail{to: &all}
	if got := log.String(); got != "(it printed nothing)" {
		t.Errorf("empty: got %q", got)
	}
	var want strings.Builder
	for i := range 1000 {
		line := "line " + strconv.Itoa(i) + "\n"
		want.WriteString(line)
		if n, err := log.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatalf("got %d, %v", n, err)
		}
	}
	got := log.String()
	if !strings.HasSuffix(got, "line 998\nline 999") || len(got) > tailSize || !strings.HasPrefix(got, "line ") {
		t.Errorf("got %d bytes, %.20q…, want whole lines at the end", len(got), got)
	}
	if all.String() != want.String() {
		t.Error("not everything was passed on")
	}
}
