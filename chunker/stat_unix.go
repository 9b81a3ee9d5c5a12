//go:build unix

package chunker

import (
	"io/fs"
	"syscall"
)

// fillStat adds what only Unix tells.
func fillStat(st *FileStat, fi fs.FileInfo) {
	if sys, ok := fi.Sys().(*syscall.Stat_t); ok {
		st.Inode, st.Device, st.Ctime = uint64(sys.Ino), uint64(sys.Dev), ctime(sys)
	}
}
