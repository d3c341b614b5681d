//go:build !linux

package main

// cores are those that we may use; only on Linux are they told apart.
type cores struct{ apart bool }

func findCores() cores { return cores{} }

func (*cores) startServer(f func() error) error { return f() }

func (*cores) asLoader() (done func()) { return func() {} }
