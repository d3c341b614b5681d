//go:build !linux

package envoy

import "syscall"

// dieWithParent is for Linux alone: elsewhere a child outlives a parent that
// did not call Stop.
func dieWithParent() *syscall.SysProcAttr { return nil }
