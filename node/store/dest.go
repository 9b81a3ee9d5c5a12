package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"shoal/chunker"
)

// dest writes the .part of one download. All names are resolved below the parent
// directory by os.Root, which lets nothing out, and no symlink is followed on the way:
// only the destination's own directories and regular files are ever opened.
type dest struct {
	parent *os.Root
	dir    string // path of parent
	part   string // name in parent
	tree   bool   // part is a directory
	dirs   *pool[string, *os.Root]
	files  *pool[int, *os.File] // by entry
	owner  *owner               // of part; nil: not ours, as beside gives it

	diskMu sync.Mutex
	disk   *os.File // the parent directory, for syncs of the file system; nil: not opened yet
}

// openDest opens the parent directory; part is made when it is first written to.
func openDest(dir, part string, tree bool, handles int) (*dest, error) {
	parent, err := chunker.OpenRootPath(dir)
	if err != nil {
		return nil, fsError("open", dir, err)
	}
	disk, err := parent.Open(".")
	if err != nil {
		parent.Close()
		return nil, fsError("open", dir, err)
	}
	return &dest{
		parent: parent, dir: dir, part: part, tree: tree, disk: disk,
		dirs: newPool[string, *os.Root](handles), files: newPool[int, *os.File](handles),
	}, nil
}

// beside is another name in the same parent directory. Its handles must be closed, the
// parent not.
func (t *dest) beside(name string) *dest {
	return &dest{
		parent: t.parent, dir: t.dir, part: name, tree: t.tree,
		dirs: newPool[string, *os.Root](t.dirs.max), files: newPool[int, *os.File](1),
	}
}

// closeHandles closes what is below part, so that it can be moved on any system.
func (t *dest) closeHandles() error { return errors.Join(t.files.close(), t.dirs.close()) }

func (t *dest) close() error {
	err := t.closeHandles()
	t.diskMu.Lock()
	defer t.diskMu.Unlock()
	if t.disk != nil {
		err = errors.Join(err, t.disk.Close())
		t.disk = nil
	}
	return errors.Join(err, t.parent.Close())
}

// path is where rel is, for messages.
func (t *dest) path(rel string) string {
	return filepath.Join(t.dir, t.part, filepath.FromSlash(rel))
}

var errSymlink = errors.New("what is in its place is not the file or directory that it should be")

// acquireDir opens the directory rel of the tree, "" being part itself, and makes it and
// those above if create is set.
func (t *dest) acquireDir(rel string, create bool) (h *pooled[*os.Root], err error) {
	err = t.patient(func() (err error) {
		h, err = t.acquireDirOnce(rel, create)
		return err
	})
	return h, err
}

func (t *dest) acquireDirOnce(rel string, create bool) (*pooled[*os.Root], error) {
	return t.dirs.acquire(rel, func() (*os.Root, error) {
		if rel == "" {
			return t.openTree(create)
		}
		above, name := splitRel(rel)
		up, err := t.acquireDirOnce(above, create)
		if err != nil {
			return nil, err
		}
		defer t.dirs.release(up)
		dir, _, err := openDir(up.v, name, create, t.owner != nil)
		return dir, err
	})
}

// openTree opens part, a directory. One that somebody else made is left alone.
func (t *dest) openTree(create bool) (*os.Root, error) {
	made := false
	if create {
		var err error
		if made, err = t.makePart(); err != nil {
			return nil, err
		}
	}
	was, err := t.parent.Lstat(t.part)
	dir, fresh, err := openDir(t.parent, t.part, create, err == nil && t.owner.is(t.identify(t.part, was)))
	if err != nil || t.owner == nil {
		return dir, err
	}
	fi, err := dir.Stat(".")
	if err == nil {
		err = t.owner.check(t.identify(t.part, fi), fresh || made)
	}
	if err != nil {
		dir.Close()
		return nil, err
	}
	return dir, nil
}

// openDir opens one real directory below up; fresh tells that it was made. One that is
// ours can be entered and, with create, written to, whatever modes a Finish that was cut
// short has given it; the next one does that again.
func openDir(up *os.Root, name string, create, ours bool) (dir *os.Root, fresh bool, err error) {
	name, err = localName(name)
	if err != nil {
		return nil, false, fmt.Errorf("name is not possible on this system: %w", err)
	}
	if create {
		err := up.Mkdir(name, 0o777)
		if fresh = err == nil; !fresh && !errors.Is(err, fs.ErrExist) {
			return nil, false, err
		}
	}
	was, err := up.Lstat(name)
	if err != nil {
		return nil, false, err
	}
	if !was.IsDir() {
		return nil, false, errSymlink
	}
	if perm := was.Mode().Perm(); ours && (perm&0o500 != 0o500 || create && perm&0o200 == 0) {
		if err := up.Chmod(name, perm|0o700); err != nil {
			return nil, false, err
		}
	}
	if dir, err = up.OpenRoot(name); err != nil {
		return nil, false, err
	}
	is, err := dir.Stat(".")
	if err == nil && !os.SameFile(was, is) {
		err = errSymlink // swapped between the two calls
	}
	if err != nil {
		dir.Close()
		return nil, false, err
	}
	return dir, fresh, nil
}

// in calls fn with the directory that holds rel and rel's name in it; again, if the mode of our own directory was in the way.
func (t *dest) in(rel string, create bool, fn func(dir *os.Root, name string) error) error {
	if !t.tree {
		return fn(t.parent, t.part)
	}
	above, name := splitRel(rel)
	name, err := localName(name)
	if err != nil {
		return fmt.Errorf("name is not possible on this system: %w", err)
	}
	up, err := t.acquireDir(above, create)
	if err != nil {
		return err
	}
	defer t.dirs.release(up)
	if err = fn(up.v, name); errors.Is(err, fs.ErrPermission) && t.owner != nil && unlock(up.v) {
		err = fn(up.v, name)
	}
	return err
}

// unlock lets us write to a directory of the .part to which a part that was finished, or a Finish that was cut short, has given a mode that
// forbids it. false: that is not what is in the way.
func unlock(dir *os.Root) bool {
	fi, err := dir.Stat(".")
	return err == nil && fi.Mode().Perm()&0o700 != 0o700 && dir.Chmod(".", fi.Mode().Perm()|0o700) == nil
}

// openFile opens the regular file rel for reading and writing. With create it is made
// if it is missing; fresh tells that it was.
func (t *dest) openFile(rel string, create bool) (f *os.File, fresh bool, err error) {
	err = t.patient(func() (err error) {
		f, fresh, err = t.openFileOnce(rel, create)
		return err
	})
	return f, fresh, err
}

func (t *dest) openFileOnce(rel string, create bool) (f *os.File, fresh bool, err error) {
	made := false
	if create && !t.tree {
		if made, err = t.makePart(); err != nil {
			return nil, false, err
		}
	}
	err = t.in(rel, create, func(dir *os.Root, name string) error {
		if create {
			f, err = dir.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
			if fresh = err == nil; !fresh && !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
		if !fresh {
			f, err = openRegular(dir, name, os.O_RDWR)
		}
		return err
	})
	if err != nil || t.tree || t.owner == nil {
		return f, fresh, err
	}
	fresh = fresh || made
	fi, err := f.Stat()
	if err == nil {
		err = t.owner.check(t.identify(t.part, fi), fresh)
	}
	if err != nil {
		f.Close()
		return nil, false, err
	}
	return f, fresh, nil
}

// readFile opens the regular file rel for reading only.
func (t *dest) readFile(rel string) (f *os.File, err error) {
	err = t.in(rel, false, func(dir *os.Root, name string) error {
		f, err = openRegular(dir, name, os.O_RDONLY)
		return err
	})
	return f, err
}

// openRegular opens an existing file that is neither a symlink nor special. A Finish
// that was cut short may have left our own file read-only.
func openRegular(dir *os.Root, name string, flag int) (*os.File, error) {
	was, err := dir.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !was.Mode().IsRegular() {
		return nil, errSymlink
	}
	f, err := dir.OpenFile(name, flag, 0)
	if flag != os.O_RDONLY && errors.Is(err, fs.ErrPermission) && dir.Chmod(name, was.Mode().Perm()|0o600) == nil {
		f, err = dir.OpenFile(name, flag, 0)
	}
	if err != nil {
		return nil, err
	}
	is, err := f.Stat()
	if err == nil && !os.SameFile(was, is) {
		err = errSymlink
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// lstat looks at rel in the tree, or at the lone file.
func (t *dest) lstat(rel string) (fi fs.FileInfo, err error) {
	err = t.in(rel, false, func(dir *os.Root, name string) error {
		fi, err = dir.Lstat(name)
		return err
	})
	return fi, err
}

// splitRel is path.Split without the slash in between.
func splitRel(rel string) (above, name string) {
	above, name = path.Split(rel)
	if above != "" {
		above = above[:len(above)-1]
	}
	return above, name
}

// How long an open waits for a descriptor.
const (
	openPatience = 10 * time.Second
	openPause    = 2 * time.Millisecond
)

// patient runs open again while the process or the system has no descriptor left, and closes handles that nobody uses.
func (t *dest) patient(open func() error) error {
	for pause, waited := openPause, time.Duration(0); ; pause = min(2*pause, 100*time.Millisecond) {
		err := open()
		if !isExhausted(err) || waited >= openPatience {
			return err
		}
		t.files.shrink()
		t.dirs.shrink()
		time.Sleep(pause)
		waited += pause
	}
}

// openParent opens the parent directory, to be synced.
func (t *dest) openParent() (f *os.File, err error) {
	err = t.patient(func() (err error) {
		f, err = t.parent.Open(".")
		return err
	})
	return f, err
}
