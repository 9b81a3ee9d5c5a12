package chunker

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// hashTries is how often a file of a tree that changes meanwhile is hashed.
const hashTries = 3

// worker hashes files, and helps others with large ones. It owns its buffer.
type worker struct {
	*builder
	buf []byte
}

// run works until the root is made or the build ends early.
func (w *worker) run(ctx context.Context) {
	for {
		select {
		case j := <-w.jobs:
			w.file(ctx, j)
		case h := <-w.help:
			if h.join() {
				h.work(ctx, w)
				h.leave()
			}
		case <-w.done:
			return
		case <-ctx.Done():
			return
		}
	}
}

// file hashes one file and puts it into its directory.
func (w *worker) file(ctx context.Context, j job) {
	rel, abs := j.dir.path(j.i)
	c, st, err := w.hash(ctx, j.dir.f, j.dir.kids[j.i].name, rel, abs)
	for try := 1; try < hashTries && !j.dir.lone && errors.Is(err, ErrChanged); try++ {
		c, st, err = w.hash(ctx, j.dir.f, j.dir.kids[j.i].name, rel, abs)
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return
	case skippable(err) && !j.dir.lone:
		w.leaveOut(j.dir, j.i, err)
		return
	default:
		w.cancel(err)
		return
	}
	w.treeMu.Lock()
	w.tree.Files++
	w.tree.Size += st.Size
	w.tree.Stats[rel] = st
	w.treeMu.Unlock()
	w.meter.add(1, 0)
	if j.dir.lone {
		w.finish(c)
		return
	}
	c.name = j.dir.kids[j.i].name
	j.dir.kids[j.i] = c
	w.release(j.dir)
}

// hash makes one pass over the file name in dir, or at path if dir is nil; rel is its path in the tree.
func (w *worker) hash(ctx context.Context, dir *os.File, name, rel, path string) (child, FileStat, error) {
	f, err := openFile(dir, name, path)
	if err != nil {
		return child{}, FileStat{}, err
	}
	defer f.Close()
	fi, err := settled(f)
	if err != nil {
		return child{}, FileStat{}, err
	}
	if !fi.Mode().IsRegular() {
		return child{}, FileStat{}, fmt.Errorf("%w: %s", ErrNotFile, fi.Mode().Type())
	}
	var a attrs
	if w.cfg.Preserve {
		a = attrsOf(fi)
	}
	st := StatOf(fi)
	if digest := w.known(rel, st); digest != nil {
		w.peek(f, rel, st.Size)
		c, err := w.reuse(digest, st.Size, a)
		return c, st, err
	}
	var c child
	if st.Size <= int64(w.cfg.Profile.ChunkSize) {
		c, err = w.single(f, fi, a, rel)
	} else {
		c, err = w.large(ctx, f, fi, a)
	}
	return c, st, err
}

const (
	peekBytes = 256      // of a file are shown to Config.Peek
	peekMost  = 64 << 10 // size of a file that is opened for that alone
)

// peek shows the head of a file that is not read otherwise. What cannot be read is not shown.
func (w *worker) peek(f *os.File, rel string, size int64) {
	if w.cfg.Peek == nil || size == 0 || size > peekMost {
		return
	}
	n, _ := f.ReadAt(w.buffer(int(min(size, peekBytes))), 0)
	w.cfg.Peek(rel, w.buf[:n])
}

// clockTick is the coarsest clock that common systems stamp files with.
const clockTick = 10 * time.Millisecond

// settled is the stat of f, once an edit after it would show in the time: two edits
// within one tick of the clock leave the same one.
func settled(f *os.File) (fs.FileInfo, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if age := time.Since(fi.ModTime()); age >= 0 && age < clockTick {
		time.Sleep(clockTick - age)
		return f.Stat()
	}
	return fi, nil
}

// single hashes a file of at most one chunk. Its leaf is the root itself, unless
// there are attributes, which only a dag-pb node can carry.
func (w *worker) single(f *os.File, fi fs.FileInfo, a attrs, rel string) (child, error) {
	buf := w.buffer(int(fi.Size()))
	if err := readFull(f, buf, 0); err != nil {
		return child{}, err
	}
	if w.cfg.Peek != nil {
		w.cfg.Peek(rel, buf[:min(len(buf), peekBytes)])
	}
	leaf := child{digest: sha256.Sum256(buf), raw: true, size: uint64(len(buf)), tsize: uint64(len(buf))}
	if err := unchanged(f, fi); err != nil {
		return child{}, err
	}
	w.meter.add(0, fi.Size())
	if !a.any() {
		return leaf, nil
	}
	var kids []child
	if leaf.size > 0 {
		kids = []child{leaf}
	}
	return w.fileNode(kids, a)
}

// fileNode makes and stores an inner file node.
func (b *builder) fileNode(kids []child, a attrs) (child, error) {
	block := encodeNode(kids, fileData(kids, a))
	c := seal(kids, block)
	return c, b.store(c, block)
}

// buffer is the worker's own, of n bytes; the next call reuses it.
func (w *worker) buffer(n int) []byte {
	if n > cap(w.buf) {
		size := 64 << 10
		for size < n {
			size *= 2
		}
		w.buf = make([]byte, size)
	}
	return w.buf[:n]
}

// readFull reads len(buf) bytes at off. A file that ends before has changed.
func readFull(f *os.File, buf []byte, off int64) error {
	if len(buf) == 0 {
		return nil
	}
	_, err := f.ReadAt(buf, off)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %s ends early", ErrChanged, f.Name())
	}
	return err
}

// unchanged compares the file with what it was before it was read.
func unchanged(f *os.File, before fs.FileInfo) error {
	after, err := f.Stat()
	if err != nil {
		return err
	}
	if StatOf(after) != StatOf(before) {
		return fmt.Errorf("%w: %s", ErrChanged, f.Name())
	}
	return nil
}
