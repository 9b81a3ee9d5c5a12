package chunker

import "io/fs"

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
