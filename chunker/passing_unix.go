//go:build unix

package chunker

import (
	"errors"
	"syscall"
)

// passing tells errors of this process or of this moment from those of one file. For such an error nothing is left out of a tree: the
// same build finds the file a little later.
func passing(err error) bool {
	for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EINTR, syscall.EAGAIN, syscall.ESTALE} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
