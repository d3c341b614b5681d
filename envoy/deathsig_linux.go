package envoy

import "syscall"

// dieWithParent has the kernel end the child when this process dies without
// having stopped it, as with kill -9.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
