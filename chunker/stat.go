package chunker

import "io/fs"

// FileStat is what tells a file apart from an edited one.
type FileStat struct {
	Size    int64  // bytes
	ModTime int64  // nanoseconds since the Unix epoch
	Inode   uint64 // 0 where the platform does not tell
}

// StatOf takes the FileStat out of fi.
func StatOf(fi fs.FileInfo) FileStat {
	return FileStat{Size: fi.Size(), ModTime: fi.ModTime().UnixNano(), Inode: inode(fi)}
}
