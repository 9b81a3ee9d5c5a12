//go:build linux

package fault

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// page is the unit in which an FS remembers what was not synced.
const page = 4096

// FS is a directory that shows another one, Backing, with faults. The kernel's page cache is bypassed on open: every read shows the
// faults of its time. It is safe for concurrent use.
type FS struct {
	Dir     string // where it is mounted
	Backing string // what really lies on the disk; a file read here shows what a power cut would leave

	mu       sync.Mutex
	bad      []badRange
	room     int64 // bytes that may still be written; below 0: any number
	failSync bool
	keep     bool
	fold     bool
	names    int // limit on the bytes of a name; 0: what Backing takes
	illegal  string
	syncs    int
	files    map[uint64]*content
}

// badRange is a part of a file that cannot be read.
type badRange struct {
	name       string
	first, end int64
	errno      syscall.Errno
}

// MountFS mounts an FS at dir, which it makes, for the length of the test.
func MountFS(t testing.TB, dir string) *FS {
	t.Helper()
	Need(t, "fusermount3", "fuse3")
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
	f := &FS{Dir: dir, Backing: dir + ".backing", room: -1, files: map[uint64]*content{}}
	for _, d := range []string{f.Dir, f.Backing} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var st syscall.Stat_t
	if err := syscall.Stat(f.Backing, &st); err != nil {
		t.Fatal(err)
	}
	data := &fs.LoopbackRoot{Path: f.Backing, Dev: uint64(st.Dev)}
	root := &dirent{LoopbackNode: fs.LoopbackNode{RootData: data}, fs: f}
	data.RootNode = root
	server, err := fs.Mount(dir, root, &fs.Options{MountOptions: fuse.MountOptions{Name: "shoalfault", FsName: f.Backing, DirectMount: os.Geteuid() == 0}})
	if err != nil {
		t.Skipf("FUSE cannot be mounted here: %v", err)
	}
	keepFromChildren()
	t.Cleanup(func() {
		if err := server.Unmount(); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return f
}

// keepFromChildren keeps FUSE connections from being inherited: a child that holds one keeps it alive when the test is killed, and then
// whoever touches the mount hangs for ever.
func keepFromChildren() {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && to == "/dev/fuse" {
			if fd, err := strconv.Atoi(e.Name()); err == nil {
				syscall.CloseOnExec(fd)
			}
		}
	}
}

// FailReads makes reads that touch n bytes from off of the file with this base name fail with EIO, as a bad sector does.
func (f *FS) FailReads(base string, off, n int64) { f.FailReadsAs(base, off, n, syscall.EIO) }

// FailReadsAs is FailReads with another error.
func (f *FS) FailReadsAs(base string, off, n int64, errno syscall.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bad = append(f.bad, badRange{base, off, off + n, errno})
}

// Heal takes back every FailReads.
func (f *FS) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bad = nil
}

// SetRoom makes writes fail with ENOSPC after n more bytes; below 0: never.
func (f *FS) SetRoom(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.room = n
}

// FailSyncs makes every fsync fail with EIO, or no more. As on thin storage that is full, the data whose sync failed goes on being
// read back, counts as clean for every later sync, and is not on the disk (Backing).
func (f *FS) FailSyncs(fail bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failSync = fail
}

// Syncs counts the syncs that succeeded.
func (f *FS) Syncs() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.syncs
}

// FailRemoves makes every unlink and rmdir fail with EIO, or no more.
func (f *FS) FailRemoves(fail bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keep = fail
}

// FoldCase makes names that differ only in case the same name, as exFAT and NTFS do.
func (f *FS) FoldCase() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fold = true
}

// Refuse makes new names that contain one of the characters fail with EINVAL, and with ENAMETOOLONG those of more than longest bytes (0: no limit).
func (f *FS) Refuse(characters string, longest int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.illegal, f.names = characters, longest
}

// Forget drops what the cache holds and the disk does not, as a remount does.
func (f *FS) Forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.files {
		c.lost = map[int64][]byte{}
	}
}

// file is the content of the file with this inode; the caller holds mu.
func (f *FS) file(ino uint64) *content {
	c := f.files[ino]
	if c == nil {
		c = &content{dirty: map[int64][]byte{}, lost: map[int64][]byte{}}
		f.files[ino] = c
	}
	return c
}

// refused says whether a new name is one that the file system cannot hold.
func (f *FS) refused(name string) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.names > 0 && len(name) > f.names {
		return syscall.ENAMETOOLONG
	}
	if strings.ContainsAny(name, f.illegal) && f.illegal != "" {
		return syscall.EINVAL
	}
	return 0
}

// dirent is a file or directory of an FS.
type dirent struct {
	fs.LoopbackNode

	fs *FS
}

// stored is the name under which an entry lies in Backing.
func (d *dirent) stored(name string) string {
	d.fs.mu.Lock()
	fold := d.fs.fold
	d.fs.mu.Unlock()
	if !fold {
		return name
	}
	list, err := os.ReadDir(filepath.Join(d.RootData.Path, d.Path(d.Root())))
	if err != nil {
		return name
	}
	for _, e := range list {
		if strings.EqualFold(e.Name(), name) {
			return e.Name()
		}
	}
	return name
}

// created is the name under which a new entry is made, or why it cannot be.
func (d *dirent) created(name string) (string, syscall.Errno) {
	return d.stored(name), d.fs.refused(name)
}

func (d *dirent) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return d.LoopbackNode.Lookup(ctx, d.stored(name), out)
}

func (d *dirent) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	name, errno := d.created(name)
	if errno != 0 {
		return nil, errno
	}
	return d.LoopbackNode.Mkdir(ctx, name, mode, out)
}

func (d *dirent) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	name, errno := d.created(name)
	if errno != 0 {
		return nil, errno
	}
	return d.LoopbackNode.Symlink(ctx, target, name, out)
}

func (d *dirent) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, syscall.EPERM // as on exFAT
}

// kept says whether names cannot be removed.
func (d *dirent) kept() syscall.Errno {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	if d.fs.keep {
		return syscall.EIO
	}
	return 0
}

func (d *dirent) Unlink(ctx context.Context, name string) syscall.Errno {
	if errno := d.kept(); errno != 0 {
		return errno
	}
	return d.LoopbackNode.Unlink(ctx, d.stored(name))
}

func (d *dirent) Rmdir(ctx context.Context, name string) syscall.Errno {
	if errno := d.kept(); errno != 0 {
		return errno
	}
	return d.LoopbackNode.Rmdir(ctx, d.stored(name))
}

func (d *dirent) Rename(ctx context.Context, name string, newParent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	to, errno := newParent.(*dirent).created(newName)
	if errno != 0 {
		return errno
	}
	if from := d.stored(name); from != to || d != newParent.(*dirent) {
		return d.LoopbackNode.Rename(ctx, from, &newParent.(*dirent).LoopbackNode, to, flags)
	}
	return d.LoopbackNode.Rename(ctx, d.stored(name), &newParent.(*dirent).LoopbackNode, newName, 0) // a change of case alone
}

func (d *dirent) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	name, errno := d.created(name)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	inode, h, kept, errno := d.LoopbackNode.Create(ctx, name, readable(flags), mode, out)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	return inode, d.fs.open(h, inode.StableAttr().Ino, name), kept, 0
}

func (d *dirent) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	h, kept, errno := d.LoopbackNode.Open(ctx, readable(flags))
	if errno != 0 {
		return nil, 0, errno
	}
	return d.fs.open(h, d.StableAttr().Ino, filepath.Base(d.Path(d.Root()))), kept, 0
}

// readable opens for reading too what is opened for writing: what a failing sync takes back is read before it is overwritten.
func readable(flags uint32) uint32 {
	if flags&syscall.O_ACCMODE == syscall.O_WRONLY {
		return flags&^syscall.O_ACCMODE | syscall.O_RDWR
	}
	return flags
}

// CopyFileRange is not there, so that copies go through Write.
func (d *dirent) CopyFileRange(context.Context, fs.FileHandle, uint64, *fs.Inode, fs.FileHandle, uint64, uint64, uint64) (uint32, syscall.Errno) {
	return 0, syscall.ENOTSUP
}

// Getxattr and the others of extended attributes are not there.
func (d *dirent) Getxattr(context.Context, string, []byte) (uint32, syscall.Errno) {
	return 0, syscall.ENOTSUP
}

// Statfs shows no more room than SetRoom leaves.
func (d *dirent) Statfs(ctx context.Context, out *fuse.StatfsOut) syscall.Errno {
	errno := d.LoopbackNode.Statfs(ctx, out)
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	if d.fs.room >= 0 && out.Bsize > 0 {
		out.Bfree = min(out.Bfree, uint64(d.fs.room)/uint64(out.Bsize))
		out.Bavail = min(out.Bavail, out.Bfree)
	}
	return errno
}

// WrapChild makes what is below a faulty directory faulty too.
func (d *dirent) WrapChild(context.Context, fs.InodeEmbedder) fs.InodeEmbedder {
	return &dirent{LoopbackNode: fs.LoopbackNode{RootData: d.RootData}, fs: d.fs}
}
