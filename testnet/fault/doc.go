// Package fault makes the faults that real disks and machines have, for tests: Linux only, most of it as root.
//
// FS (fs.go) is a directory through FUSE whose reads, writes, syncs and names can be made to fail. Disk (disk.go) is a block
// device that can lose power: an image of it (ImageAt, CutNow) holds what was flushed and a random part of what was not. Format (loop.go) makes a small
// file system of any kind in a file. Inject and Limited (child.go) wrap a command so that its system calls or its resources fail.
//
// Each skips the test where the machine lacks what it needs, and says what installs it. Debian packages: fuse3 (FS, Disk), strace (Inject),
// util-linux (Limited, Disk, Format), e2fsprogs, xfsprogs, exfatprogs with exfat-fuse, and ntfs-3g for the file systems.
//
// A mounted FS or Disk owns the goroutines of its FUSE server, which end with the test that mounted it.
package fault
