package chunker

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// nextData is the first offset at or after from that holds data; false: none does. A
// file system that cannot tell answers from.
func nextData(f *os.File, from int64) (int64, bool) {
	at, err := unix.Seek(int(f.Fd()), from, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return 0, false
	}
	if err != nil {
		return from, true
	}
	return at, true
}

// allocated is the bytes of disk a file takes.
func allocated(fi fs.FileInfo) int64 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return math.MaxInt64
}
