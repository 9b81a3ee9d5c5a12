package chunker

import (
	"io/fs"
	"time"
)

// FileStat is what tells a file apart from an edited one. Programs can put a modification time back; the time of change
// (ctime) they cannot. It also moves when a file is renamed, linked or given other permissions, so a file whose
// ctime alone differs may still be what it was: only hashing tells.
type FileStat struct {
	Size    int64  // bytes
	ModTime int64  // nanoseconds since the Unix epoch
	Ctime   int64  // nanoseconds since the Unix epoch; 0 where the platform does not tell
	Inode   uint64 // 0 where the platform does not tell
	Device  uint64 // number of the file system; 0 where the platform does not tell
}

// StatOf takes the FileStat out of fi.
func StatOf(fi fs.FileInfo) FileStat {
	st := FileStat{Size: fi.Size(), ModTime: fi.ModTime().UnixNano()}
	fillStat(&st, fi)
	return st
}

// Same tells whether a file that looks like s now can be the unchanged file that was recorded as old. What old does not
// know is not compared. A device is numbered anew when its disk is plugged in again: where all else is the same, the
// time of change included, it is still the same file.
func (s FileStat) Same(old FileStat) bool {
	if s.Size != old.Size || s.ModTime != old.ModTime || s.Inode != old.Inode {
		return false
	}
	if old.Ctime != 0 && s.Ctime != 0 {
		return s.Ctime == old.Ctime
	}
	return old.Device == 0 || s.Device == old.Device
}

// coarse is the finest step of the clock of file systems that have no time of change, or one in steps that an edit fits into: 10 ms on
// exFAT, a second or two on FAT and on much that is mounted through FUSE.
const coarse = 10 * int64(time.Millisecond)

// Proves tells whether a file that looks like s now must be the unchanged file that was recorded as old: it looks the same, and has a
// time of change with a fine clock. Where it does not prove it, only hashing tells. A platform without times of change has nothing better.
func (s FileStat) Proves(old FileStat) bool {
	return s.Same(old) && (s.Ctime == 0 || old.Ctime != 0 && s.Ctime%coarse != 0)
}
