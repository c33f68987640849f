//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package command

import (
	"os"
	"syscall"
)

// lock keeps other processes from locking a file until it is closed, or this process ends. It
// is false if another one has done so. Where the file system has no locks it does nothing.
func lock(file *os.File) bool {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != syscall.EWOULDBLOCK
}
