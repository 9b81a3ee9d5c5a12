package store

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// cloneRange copies n bytes inside the kernel; file systems that can share the blocks
// instead. false: these two files do not allow it.
func cloneRange(dst *os.File, to int64, src *os.File, from int64, n int) (bool, error) {
	for n > 0 {
		done, err := unix.CopyFileRange(int(src.Fd()), &from, int(dst.Fd()), &to, n, 0)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EXDEV), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP):
			return false, nil
		case err != nil:
			return false, os.NewSyscallError("copy_file_range", err)
		case done == 0:
			return false, nil // the source is shorter than it was
		}
		n -= max(done, 0)
	}
	return true, nil
}
