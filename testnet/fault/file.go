//go:build linux

package fault

import (
	"context"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// content is what a file has beside its bytes in Backing, by the number of the page.
type content struct {
	dirty map[int64][]byte // what the disk had before a write that was not synced
	lost  map[int64][]byte // what is read back though its sync failed
}

// opened is an open file of an FS.
type opened struct {
	*fs.LoopbackFile

	fs   *FS
	ino  uint64
	base string
}

func (f *FS) open(h fs.FileHandle, ino uint64, base string) *opened {
	return &opened{LoopbackFile: h.(*fs.LoopbackFile), fs: f, ino: ino, base: base}
}

// PassthroughFd keeps the kernel from reading and writing past the faults.
func (o *opened) PassthroughFd() (int, bool) { return 0, false }

func (o *opened) fd() int {
	fd, _ := o.LoopbackFile.PassthroughFd()
	return fd
}

func (o *opened) Read(_ context.Context, buf []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	for _, b := range o.fs.bad {
		if b.name == o.base && off < b.end && b.first < off+int64(len(buf)) {
			return nil, b.errno
		}
	}
	n, err := syscall.Pread(o.fd(), buf, off)
	if err != nil {
		return nil, fs.ToErrno(err)
	}
	for at := off / page; at*page < off+int64(n); at++ {
		if kept, ok := o.fs.file(o.ino).lost[at]; ok {
			overlay(buf[:n], off, kept, at*page)
		}
	}
	return fuse.ReadResultData(buf[:n]), 0
}

// overlay copies what two ranges of a file share from one buffer to another.
func overlay(to []byte, toOff int64, from []byte, fromOff int64) {
	if fromOff >= toOff {
		if skip := fromOff - toOff; skip < int64(len(to)) {
			copy(to[skip:], from)
		}
	} else if skip := toOff - fromOff; skip < int64(len(from)) {
		copy(to, from[skip:])
	}
}

func (o *opened) Write(_ context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	if o.fs.room >= 0 && int64(len(data)) > o.fs.room {
		return 0, syscall.ENOSPC
	}
	c := o.fs.file(o.ino)
	for at := off / page; at*page < off+int64(len(data)); at++ {
		if errno := o.remember(c, at); errno != 0 {
			return 0, errno
		}
	}
	n, err := syscall.Pwrite(o.fd(), data, off)
	if o.fs.room >= 0 {
		o.fs.room -= int64(max(n, 0))
	}
	return uint32(max(n, 0)), fs.ToErrno(err)
}

// remember keeps what the disk has of a page before it is written, and brings back what was lost of it.
func (o *opened) remember(c *content, at int64) syscall.Errno {
	if _, ok := c.dirty[at]; !ok {
		before, errno := o.page(at)
		if errno != 0 {
			return errno
		}
		c.dirty[at] = before
	}
	if kept, ok := c.lost[at]; ok {
		delete(c.lost, at)
		_, err := syscall.Pwrite(o.fd(), kept, at*page)
		return fs.ToErrno(err)
	}
	return 0
}

// page reads a page of Backing, as far as the file goes.
func (o *opened) page(at int64) ([]byte, syscall.Errno) {
	buf := make([]byte, page)
	n, err := syscall.Pread(o.fd(), buf, at*page)
	if err != nil {
		return nil, fs.ToErrno(err)
	}
	return buf[:n], 0
}

func (o *opened) Fsync(ctx context.Context, flags uint32) syscall.Errno {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	c := o.fs.file(o.ino)
	if o.fs.failSync && len(c.dirty) > 0 {
		return o.lose(c)
	}
	clear(c.dirty)
	o.fs.syncs++
	return o.LoopbackFile.Fsync(ctx, flags)
}

// lose takes from the disk what was written since the last sync and keeps it for reads.
func (o *opened) lose(c *content) syscall.Errno {
	for at, before := range c.dirty {
		now, errno := o.page(at)
		if errno != 0 {
			return errno
		}
		c.lost[at] = now
		zeros := make([]byte, len(now))
		copy(zeros, before)
		if _, err := syscall.Pwrite(o.fd(), zeros, at*page); err != nil {
			return fs.ToErrno(err)
		}
	}
	clear(c.dirty)
	return syscall.EIO
}

// Lseek knows of no holes: what was lost may lie in one.
func (o *opened) Lseek(_ context.Context, off uint64, whence uint32) (uint64, syscall.Errno) {
	return 0, syscall.ENOTSUP
}
