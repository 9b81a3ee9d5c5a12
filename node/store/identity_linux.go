package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// birth is when the file name in dir was made, in nanoseconds since the epoch; at is that directory, opened, or nil. 0: the file system
// does not tell, or fi is of another file.
func birth(at *os.File, dir, name string, fi fs.FileInfo) int64 {
	fd := unix.AT_FDCWD
	if at != nil {
		fd = int(at.Fd())
	} else {
		name = filepath.Join(dir, name)
	}
	var st unix.Statx_t
	err := error(unix.EINTR)
	for errors.Is(err, unix.EINTR) {
		err = unix.Statx(fd, name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_INO|unix.STATX_BTIME, &st)
	}
	if err != nil || st.Mask&unix.STATX_BTIME == 0 || st.Ino != inodeOf(fi) {
		return 0
	}
	return st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
}
