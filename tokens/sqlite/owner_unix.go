//go:build unix

package sqlite

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

func owner(info fs.FileInfo) string {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return account(strconv.FormatUint(uint64(stat.Uid), 10))
	}
	return "an unknown user"
}

func self() string { return account(strconv.Itoa(os.Geteuid())) }

// account names a user. An image from scratch has no list of names.
func account(uid string) string {
	if u, err := user.LookupId(uid); err == nil {
		return fmt.Sprintf("%s (uid %s)", u.Username, uid)
	}
	return "uid " + uid
}
