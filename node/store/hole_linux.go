package store

import (
	"errors"
	"os"

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
