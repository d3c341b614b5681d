//go:build !unix

package sqlite

import "io/fs"

func owner(fs.FileInfo) string { return "an unknown user" }

func self() string { return "another user" }
