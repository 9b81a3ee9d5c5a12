package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// errCut answers Pebble's writes after one failed for good.
var errCut = errors.New("an earlier write of the index failed")

// diskFS is the file system under Pebble. Pebble panics, or ends the process, when its log cannot be started or written.
// So from the first such error on, its disk is cut off: nothing more reaches it, Pebble takes its log for written, and the
// Store, which hears of the cut before Pebble goes on, refuses what was to be committed. What is on the disk then is what a
// power cut leaves there, from which a new Pebble goes on (see heal).
type diskFS struct {
	vfs.FS
	spare   *spares
	running atomic.Bool // open has returned; until then Pebble returns errors itself
	cause   atomic.Pointer[error]
	told    func(error) // hears of the cut, once
}

func newDiskFS(spare *spares, told func(error)) *diskFS {
	return &diskFS{FS: vfs.Default, spare: spare, told: told}
}

// cut ends all writing.
func (d *diskFS) cut(err error) {
	if d.cause.CompareAndSwap(nil, &err) {
		d.told(err)
	}
}

// err is why the disk was cut off; nil: it was not.
func (d *diskFS) err() error {
	if p := d.cause.Load(); p != nil {
		return *p
	}
	return nil
}

// gone answers for a write after the cut. While Pebble opens, all seem to succeed: it would try a failed flush for ever.
func (d *diskFS) gone() (after bool, err error) {
	switch {
	case d.err() == nil:
		return false, nil
	case d.running.Load():
		return true, errCut
	}
	return true, nil
}

// file wraps what was opened for writing. Of a log no error is let through.
func (d *diskFS) file(f vfs.File, name string, err error, isLog bool) (vfs.File, error) {
	switch {
	case err == nil:
		return &diskFile{File: f, fs: d, log: isLog}, nil
	case isLog && d.running.Load():
		d.cut(fmt.Errorf("start log %s: %w", name, err))
		return &diskFile{fs: d, log: true}, nil
	}
	return nil, err
}

func isLogName(name string) bool { return filepath.Ext(name) == ".log" }

// create runs make unless the disk is cut off.
func (d *diskFS) create(name string, make func() (vfs.File, error)) (vfs.File, error) {
	isLog := isLogName(name)
	if after, err := d.gone(); after {
		if err != nil && !isLog {
			return nil, err
		}
		return &diskFile{fs: d, log: isLog}, nil
	}
	var f vfs.File
	err := d.spare.with(func() (err error) {
		f, err = make()
		return err
	})
	return d.file(f, name, err, isLog)
}

// Create makes a file.
func (d *diskFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.create(name, func() (vfs.File, error) { return d.FS.Create(name, c) })
}

// ReuseForWrite makes a file of an old one.
func (d *diskFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.create(name, func() (vfs.File, error) {
		f, err := d.FS.ReuseForWrite(old, name, c)
		if errors.Is(err, fs.ErrNotExist) { // renamed by the try before
			f, err = d.FS.Create(name, c)
		}
		return f, err
	})
}

// OpenReadWrite opens a file or makes it.
func (d *diskFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return d.create(name, func() (vfs.File, error) { return d.FS.OpenReadWrite(name, c, opts...) })
}

// Open opens a file for reading.
func (d *diskFS) Open(name string, opts ...vfs.OpenOption) (f vfs.File, err error) {
	err = d.spare.with(func() (err error) {
		f, err = d.FS.Open(name, opts...)
		return err
	})
	return f, err
}

// OpenDir opens a directory, whose syncs count as those of a log do.
func (d *diskFS) OpenDir(name string) (vfs.File, error) {
	var f vfs.File
	err := d.spare.with(func() (err error) {
		f, err = d.FS.OpenDir(name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &diskFile{File: f, fs: d, log: true}, nil
}

// Lock does nothing: the home is locked.
func (d *diskFS) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// List reads a directory.
func (d *diskFS) List(dir string) (names []string, err error) {
	err = d.spare.with(func() (err error) {
		names, err = d.FS.List(dir)
		return err
	})
	return names, err
}

func (d *diskFS) unless(fn func() error) error {
	if after, err := d.gone(); after {
		return err
	}
	return fn()
}

// Link makes a hard link.
func (d *diskFS) Link(old, name string) error {
	return d.unless(func() error { return d.FS.Link(old, name) })
}

// Remove deletes a file.
func (d *diskFS) Remove(name string) error {
	return d.unless(func() error { return d.FS.Remove(name) })
}

// RemoveAll deletes a tree.
func (d *diskFS) RemoveAll(name string) error {
	return d.unless(func() error { return d.FS.RemoveAll(name) })
}

// Rename moves a file.
func (d *diskFS) Rename(old, name string) error {
	return d.unless(func() error { return d.FS.Rename(old, name) })
}

// MkdirAll makes a directory.
func (d *diskFS) MkdirAll(dir string, perm os.FileMode) error {
	return d.unless(func() error { return d.FS.MkdirAll(dir, perm) })
}

// diskFile is a file or directory that Pebble writes or syncs.
type diskFile struct {
	vfs.File // nil: of no disk
	fs       *diskFS
	log      bool
}

// do runs a write. Errors of a log cut the disk off, and are not Pebble's to hear.
func (f *diskFile) do(fn func() error) error {
	after, err := f.fs.gone()
	if after || f.File == nil {
		if f.log {
			return nil
		}
		return err
	}
	err = fn()
	if err != nil && f.log && f.fs.running.Load() {
		f.fs.cut(err)
		return nil
	}
	return err
}

// Write appends.
func (f *diskFile) Write(p []byte) (n int, err error) {
	n = len(p)
	err = f.do(func() (err error) {
		n, err = f.File.Write(p)
		return err
	})
	if err == nil {
		n = len(p)
	}
	return n, err
}

// WriteAt writes at an offset.
func (f *diskFile) WriteAt(p []byte, off int64) (n int, err error) {
	n = len(p)
	err = f.do(func() (err error) {
		n, err = f.File.WriteAt(p, off)
		return err
	})
	if err == nil {
		n = len(p)
	}
	return n, err
}

// Preallocate takes space.
func (f *diskFile) Preallocate(off, length int64) error {
	return f.do(func() error { return f.File.Preallocate(off, length) })
}

// Sync makes all durable.
func (f *diskFile) Sync() error { return f.do(f.sync) }

// SyncData makes the data durable.
func (f *diskFile) SyncData() error { return f.do(func() error { return f.File.SyncData() }) }

func (f *diskFile) sync() error { return f.File.Sync() }

// SyncTo makes a prefix durable, or begins to.
func (f *diskFile) SyncTo(length int64) (full bool, err error) {
	err = f.do(func() (err error) {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}

// Stat describes the file.
func (f *diskFile) Stat() (vfs.FileInfo, error) {
	if f.File == nil {
		return nowhereInfo{}, nil
	}
	return f.File.Stat()
}

// Close closes it.
func (f *diskFile) Close() error {
	if f.File == nil {
		return nil
	}
	err := f.File.Close()
	if f.log && f.fs.running.Load() && err != nil {
		f.fs.cut(err)
		return nil
	}
	return err
}

// Fd is the descriptor.
func (f *diskFile) Fd() uintptr {
	if f.File == nil {
		return vfs.InvalidFd
	}
	return f.File.Fd()
}

// Read reads.
func (f *diskFile) Read(p []byte) (int, error) {
	if f.File == nil {
		return 0, io.EOF
	}
	return f.File.Read(p)
}

// ReadAt reads at an offset.
func (f *diskFile) ReadAt(p []byte, off int64) (int, error) {
	if f.File == nil {
		return 0, io.EOF
	}
	return f.File.ReadAt(p, off)
}

// Prefetch asks the system to read ahead.
func (f *diskFile) Prefetch(off, length int64) error {
	if f.File == nil {
		return nil
	}
	return f.File.Prefetch(off, length)
}

// nowhereInfo describes a file of no disk.
type nowhereInfo struct{}

func (nowhereInfo) Name() string           { return "" }
func (nowhereInfo) Size() int64            { return 0 }
func (nowhereInfo) Mode() os.FileMode      { return 0o600 }
func (nowhereInfo) ModTime() time.Time     { return time.Time{} }
func (nowhereInfo) IsDir() bool            { return false }
func (nowhereInfo) Sys() any               { return nil }
func (nowhereInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }

// spareFiles is how many descriptors are kept for the index.
const spareFiles = 4

// spares are descriptors kept open for the moment when the process has no other: the index must go on then.
type spares struct {
	mu   sync.Mutex
	held []*os.File
}

// fill opens what is missing.
func (s *spares) fill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.held) < spareFiles {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return err
		}
		s.held = append(s.held, f)
	}
	return nil
}

// few tells that there are not enough to start a log.
func (s *spares) few() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.held) < spareFiles/2
}

// with runs open, and again with a spare descriptor given up while it fails for the want of one.
func (s *spares) with(open func() error) error {
	for {
		err := open()
		if err == nil || !isExhausted(err) {
			return err
		}
		s.mu.Lock()
		n := len(s.held)
		if n > 0 {
			s.held[n-1].Close()
			s.held = s.held[:n-1]
		}
		s.mu.Unlock()
		if n == 0 {
			return err
		}
	}
}

func (s *spares) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.held {
		f.Close()
	}
	s.held = nil
}
