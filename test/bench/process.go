package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a server under test.
type process struct {
	name string
	cmd  *exec.Cmd
	out  io.Reader
	log  tail // what it said last on standard error
}

// stopLimit is how long a server may take to end once it was told to.
const stopLimit = 10 * time.Second

// machineCores is how this machine is divided between servers and loader.
var machineCores = findCores()

// start runs a server on one core: the figures are those of a core.
func start(ctx context.Context, name, binary string, args ...string) (p *process, err error) {
	p = &process{name: name, cmd: exec.CommandContext(ctx, binary, args...)}
	p.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	p.cmd.Stderr = &p.log
	if p.out, err = p.cmd.StdoutPipe(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = stopLimit
	if err := machineCores.startServer(p.cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// stop ends the server, by force if it does not go.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(stopLimit, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	_ = p.cmd.Wait() // that it was stopped by a signal is no news
}

// failed adds to an error what the server said last.
func (p *process) failed(err error) error {
	return fmt.Errorf("%s: %w\n%s", p.name, err, p.log.String())
}

// cpu is the user and system time that the server has used so far.
func (p *process) cpu() (time.Duration, error) { return processCPU(p.cmd.Process.Pid) }

// residentKiB is the server's resident memory.
func (p *process) residentKiB() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	return parseResident(status)
}

// parseResident finds VmRSS in /proc/PID/status.
func parseResident(status []byte) (int64, error) {
	for line := range strings.Lines(string(status)) {
		rest, ok := strings.CutPrefix(line, "VmRSS:")
		if !ok {
			continue
		}
		fields := strings.Fields(rest)
		if len(fields) != 2 || fields[1] != "kB" {
			return 0, fmt.Errorf("VmRSS is %q; want a number of kB", strings.TrimSpace(rest))
		}
		return strconv.ParseInt(fields[0], 10, 64)
	}
	return 0, errors.New("no VmRSS in the process's status")
}

// startFloor runs the floor and returns its address, which it prints.
func startFloor(ctx context.Context, binary string) (*process, string, error) {
	p, err := start(ctx, "floor", binary)
	if err != nil {
		return nil, "", err
	}
	line, err := bufio.NewReader(p.out).ReadString('\n')
	if err != nil {
		p.stop()
		return nil, "", p.failed(fmt.Errorf("read its address: %w", err))
	}
	return p, strings.TrimSpace(line), nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

const tailBytes = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - tailBytes; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}
