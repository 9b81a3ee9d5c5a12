package store

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// cloneRange makes n bytes of dst share their disk blocks with src. false: these two
// files, or this range, do not allow it.
func cloneRange(dst *os.File, to int64, src *os.File, from int64, n int) (bool, error) {
	r := unix.FileCloneRange{Src_fd: int64(src.Fd()), Src_offset: uint64(from), Src_length: uint64(n), Dest_offset: uint64(to)}
	for {
		err := unix.IoctlFileCloneRange(int(dst.Fd()), &r)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EROFS), errors.Is(err, unix.EIO):
			return false, os.NewSyscallError("ioctl FICLONERANGE", err)
		default:
			return false, nil
		}
	}
}

// punchHole makes n bytes of f a hole. false: the file system has none.
func punchHole(f *os.File, off, n int64) (bool, error) {
	for {
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return false, nil
		default:
			return false, os.NewSyscallError("fallocate", err)
		}
	}
}
