package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// processCPU reads the CPU clock of another process: user and system time of all
// its threads, ended ones too, in nanoseconds. /proc/PID/stat tells the same in
// hundredths of a second.
func processCPU(pid int) (time.Duration, error) {
	const schedulerClock = 2 // CPUCLOCK_SCHED
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedulerClock), &ts); err != nil {
		return 0, fmt.Errorf("read the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}
