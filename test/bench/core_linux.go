package main

import (
	"errors"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Server and loader get a core each. Where the kernel may choose, it puts them
// now on one core and now on two, and a call that has to wake another core costs
// half as much again: the same server then has two results.

// cores are those that we may use.
type cores struct {
	all, server, loader unix.CPUSet
	apart               bool // there are two at least
}

func findCores() (c cores) {
	if err := unix.SchedGetaffinity(0, &c.all); err != nil {
		return c
	}
	first, last := -1, -1
	for i := range len(c.all) * strconv.IntSize {
		if c.all.IsSet(i) {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	if c.apart = last > first; c.apart {
		c.server.Set(last)
		c.loader.Set(first)
	}
	return c
}

// startServer runs f, which starts a process, so that the process belongs to the
// servers' core: it inherits that from the thread it is started on.
func (c *cores) startServer(f func() error) error {
	if !c.apart {
		return f()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.SchedSetaffinity(0, &c.server); err != nil {
		return err
	}
	return errors.Join(f(), unix.SchedSetaffinity(0, &c.all))
}

// asLoader moves all threads of this process to the loader's core, until the
// function that it returns is called. Threads that are made meanwhile inherit it.
func (c *cores) asLoader() (done func()) {
	if !c.apart {
		return func() {}
	}
	moveThreads(&c.loader)
	return func() { moveThreads(&c.all) }
}

// moveThreads passes over a thread that has just ended; a move that does not
// work costs exactness, and the report tells how busy the server was.
func moveThreads(to *unix.CPUSet) {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	for _, t := range threads {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			_ = unix.SchedSetaffinity(id, to)
		}
	}
}
