//go:build linux

package fault

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// sector is what a disk writes whole or not at all; some do so with a page.
const sector = 512

// Disk is a block device in memory with a volatile cache: what was written since the last flush may be lost. It is safe for concurrent use.
type Disk struct {
	Device string // such as /dev/loop0
	Pages  bool   // it writes 4 KiB whole, not 512 bytes: XFS does not recover from blocks of its own that are torn

	mu      sync.Mutex
	now     []byte  // what is read
	safe    []byte  // what was flushed
	pending []write // since the last flush, in order
	base    []byte  // what was flushed when Record was called; nil: it was not
	log     []write // since then
}

// write is a write, or without data a flush.
type write struct {
	off  int64
	data []byte
}

// NewDisk makes a device of some bytes, for the length of the test. Its FUSE server is mounted below dir.
func NewDisk(t testing.TB, dir string, size int64) *Disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a block device of its own takes root")
	}
	Need(t, "fusermount3", "fuse3")
	Need(t, "losetup", "util-linux")
	d := &Disk{now: mapped(t, size), safe: mapped(t, size)}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	root := &fs.Inode{}
	server, err := fs.Mount(dir, root, &fs.Options{
		MountOptions: fuse.MountOptions{Name: "shoaldisk", DirectMount: true, MaxWrite: 1 << 20},
		OnAdd: func(ctx context.Context) {
			root.AddChild("disk.img", root.NewPersistentInode(ctx, &platter{disk: d}, fs.StableAttr{Mode: syscall.S_IFREG}), false)
		},
	})
	if err != nil {
		t.Skipf("FUSE cannot be mounted here: %v", err)
	}
	keepFromChildren()
	t.Cleanup(func() {
		if err := server.Unmount(); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	d.Device = attach(t, filepath.Join(dir, "disk.img"))
	return d
}

// mapped is memory that costs only what is touched.
func mapped(t testing.TB, size int64) []byte {
	mem, err := syscall.Mmap(-1, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(mem) })
	return mem
}

// attach makes a loop device of a file; its flushes become syncs of the file.
func attach(t testing.TB, file string) string {
	t.Helper()
	out, err := exec.Command("losetup", "--find", "--show", "--direct-io=on", file).CombinedOutput()
	if err != nil {
		t.Skipf("no loop device to be had: %v: %s", err, out)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "-d", device).CombinedOutput(); err != nil {
			t.Errorf("losetup -d %s: %v: %s", device, err, out)
		}
	})
	return device
}

// Record begins to keep every write and flush, for ImageAt.
func (d *Disk) Record() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.base = make([]byte, len(d.safe))
	copyPages(d.base, d.safe)
	d.log = append([]write(nil), d.pending...)
}

// Recorded counts the writes and flushes since Record.
func (d *Disk) Recorded() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.log)
}

// ImageAt writes to a file what a power cut after n of the recorded writes and flushes would have left: all that was flushed by then, and
// of the later sectors a random part.
func (d *Disk) ImageAt(n int, path string, rng *rand.Rand) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	safe, flushed := make([]byte, len(d.base)), 0
	copyPages(safe, d.base)
	for i, w := range d.log[:n] {
		if w.data == nil {
			for _, w := range d.log[flushed:i] {
				copy(safe[w.off:], w.data)
			}
			flushed = i
		}
	}
	return d.image(path, safe, d.log[flushed:n], rng)
}

// CutNow writes to a file what a power cut at this moment would leave.
func (d *Disk) CutNow(path string, rng *rand.Rand) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.image(path, d.safe, d.pending, rng)
}

// copyPages copies what is not zero into zeros.
func copyPages(to, from []byte) {
	for off := 0; off < len(from); off += page {
		if p := from[off : off+page]; !zero(p) {
			copy(to[off:], p)
		}
	}
}

// image writes an image of what was flushed and a part of what was not.
func (d *Disk) image(path string, safe []byte, pending []write, rng *rand.Rand) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(int64(len(safe))); err != nil {
		return err
	}
	for off := 0; off < len(safe); off += page {
		if p := safe[off : off+page]; !zero(p) {
			if _, err := f.WriteAt(p, int64(off)); err != nil {
				return err
			}
		}
	}
	unit, keep := sector, rng.Float64()
	if rng.IntN(2) == 0 || d.Pages {
		unit = page
	}
	for _, w := range pending {
		for at := 0; at < len(w.data); at += unit {
			if rng.Float64() >= keep {
				continue
			}
			if _, err := f.WriteAt(w.data[at:min(at+unit, len(w.data))], w.off+int64(at)); err != nil {
				return err
			}
		}
	}
	return nil
}

func zero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}

// note keeps a write or flush; the caller holds mu.
func (d *Disk) note(w write) {
	if d.base != nil {
		d.log = append(d.log, w)
	}
}

// platter is the one file of a Disk.
type platter struct {
	fs.Inode

	disk *Disk
}

func (p *platter) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size, out.Blocks = 0o600, uint64(len(p.disk.now)), uint64(len(p.disk.now))/sector
	return 0
}

func (p *platter) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

func (p *platter) Read(_ context.Context, _ fs.FileHandle, buf []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	d := p.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	if off < int64(len(d.now)) {
		n = copy(buf, d.now[off:])
	}
	return fuse.ReadResultData(buf[:n]), 0
}

func (p *platter) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	d := p.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if off+int64(len(data)) > int64(len(d.now)) {
		return 0, syscall.ENOSPC
	}
	copy(d.now[off:], data)
	w := write{off, append([]byte(nil), data...)}
	d.pending = append(d.pending, w)
	d.note(w)
	return uint32(len(data)), 0
}

func (p *platter) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	d := p.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range d.pending {
		copy(d.safe[w.off:], w.data)
	}
	d.pending = nil
	d.note(write{})
	return 0
}

func (p *platter) Allocate(context.Context, fs.FileHandle, uint64, uint64, uint32) syscall.Errno {
	return syscall.ENOTSUP
}
