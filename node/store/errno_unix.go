//go:build unix

package store

import (
	"errors"
	"syscall"
)

func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// isTransient tells errors of this process or moment from those of the file.
func isTransient(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM) ||
		errors.Is(err, syscall.EINTR) || errors.Is(err, syscall.EAGAIN)
}

// isIO tells that the disk failed, which says nothing of what the file holds.
func isIO(err error) bool { return errors.Is(err, syscall.EIO) }

func isReadOnly(err error) bool { return errors.Is(err, syscall.EROFS) }
