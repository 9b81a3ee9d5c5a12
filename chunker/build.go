package chunker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/ipfs/go-cid"
)

// Config says how Build reads a file or tree. The zero value is ready to use.
type Config struct {
	Profile  Profile // zero: UnixFSV1_2025
	Workers  int     // hashing goroutines, each with a buffer of up to 2 MiB; 0: GOMAXPROCS
	NoHidden bool    // leave out names inside the tree that start with a dot

	// Preserve records permission bits and modification times, as
	// `ipfs add --preserve-mode --preserve-mtime` does for directories, symlinks
	// and empty files. Kubo refuses raw leaves together with attributes; here
	// leaves stay raw, so that chunks stay shared with the plain form of the
	// file: its root carries the attributes, and a file of one chunk gets a
	// dag-pb root with one link.
	Preserve bool

	// Exclude are directories that are left out of a tree wherever they are in it, as
	// the home of a daemon, which holds its private key. One that is missing is ignored.
	Exclude []string

	// Ignore leaves out names inside a tree, as the ignore files in it do; see IgnoreFile.
	Ignore Ignore

	// Dead is told, serially, of each line of an IgnoreFile that can fit no name, as "d/.shoalignore:3: ../x".
	Dead func(line string)

	// Refuse is asked of each directory, the root too, before anything in it is looked at. An error, by custom an ErrExcluded,
	// leaves the directory out.
	Refuse func(dir string, entries []fs.DirEntry) error

	// Peek is shown the first bytes of each small file, from any goroutine, with the path as in Skip. It must not keep them.
	Peek func(path string, head []byte)

	// Skip is told, serially, of each entry left out of a tree: unreadable, a
	// device, FIFO or socket, a name that is not UTF-8, changing all the time,
	// nested too deep, excluded. The path is relative to the root, slash separated.
	Skip func(path string, err error)

	// Known tells the digests of the chunks of a file that was hashed before and has the same stat since, by the index of
	// the chunk; nil: it must be read. The chunks must be those of the Profile. It is asked from any goroutine, with the path
	// as in Skip, and of no empty file.
	Known func(path string, is FileStat) func(chunk int) [32]byte

	// Progress gets cumulative counts, serially, some ten times a second and
	// once at the end.
	Progress func(files, bytes int64)
}

// Tree is what Build made: a root, and the state of every file behind it.
type Tree struct {
	Root  cid.Cid
	Dir   bool
	Size  int64               // bytes of file content
	Files int                 // regular files
	Stats map[string]FileStat // by Entry.Path; "" for a lone file

	Ignored []string // paths of ignore files that were followed and are left out themselves
}

// Build hashes the file or directory tree at path. put gets every inner node
// once it is made, children before parents, by serial calls from any goroutine;
// it may keep the block. Equal nodes are put each time they occur. Leaves are
// not put: they stay where they are.
//
// A symlink given as path is followed, as a person naming it means what it
// points to; symlinks inside a tree are recorded and never followed.
//
// Build reads at offsets with one buffer a worker, several workers to a large
// file; besides the tree's names and Stats its memory does not grow with sizes.
// Errors: ErrChanged, ErrNotFile, those of the file system, of put and of ctx.
// Inside a tree the first three leave out an entry (see Config.Skip) instead.
func Build(ctx context.Context, path string, cfg Config, put func(c cid.Cid, block []byte) error) (*Tree, error) {
	if cfg.Profile == (Profile{}) {
		cfg.Profile = UnixFSV1_2025()
	}
	if err := cfg.Profile.check(); err != nil {
		return nil, err
	}
	if cfg.Workers <= 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	path, fi, err := resolve(path)
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", path, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b := &builder{
		cfg:    cfg,
		root:   path,
		put:    put,
		cancel: cancel,
		jobs:   make(chan job, min(64*cfg.Workers, maxJobs)),
		help:   make(chan *hashing, cfg.Workers),
		done:   make(chan struct{}),
		open:   make(map[*os.File]struct{}),
		tree:   Tree{Dir: fi.IsDir(), Stats: make(map[string]FileStat)},
	}
	for _, dir := range cfg.Exclude {
		if fi, err := os.Stat(dir); err == nil {
			b.exclude = append(b.exclude, fi)
		}
	}
	return b.run(ctx)
}

// resolve follows a symlink at path and refuses what is neither file nor directory.
func resolve(path string) (string, fs.FileInfo, error) {
	path = filepath.Clean(path)
	fi, err := LstatPath(path)
	if err == nil && fi.Mode()&fs.ModeSymlink != 0 {
		var target string
		if target, err = filepath.EvalSymlinks(path); err != nil {
			if _, serr := StatPath(path); serr != nil {
				err = serr // names what is wrong, as a loop, in the system's way
			}
			return path, nil, err
		}
		path = target
		fi, err = LstatPath(path)
	}
	if err != nil {
		return path, nil, err
	}
	if !fi.IsDir() && !fi.Mode().IsRegular() {
		return path, nil, fmt.Errorf("%w: %s", ErrNotFile, fi.Mode().Type())
	}
	return path, fi, nil
}

// maxJobs bounds the files that wait to be hashed, and by that the directories that are
// open: each has one waiting, or is above one that has.
const maxJobs = 256

// job is a file to hash: the i-th child of dir.
type job struct {
	dir *dirNode
	i   int
}

// builder is the state of one Build, shared by the scanning goroutine and the
// workers.
type builder struct {
	cfg     Config
	root    string
	exclude []fs.FileInfo
	put     func(cid.Cid, []byte) error
	cancel  context.CancelCauseFunc
	jobs    chan job      // files, from the scan
	help    chan *hashing // large files that more workers may join
	done    chan struct{} // closed once the root is made

	putMu  sync.Mutex
	skipMu sync.Mutex
	treeMu sync.Mutex // guards tree and open
	tree   Tree
	open   map[*os.File]struct{} // directories with work in them
	meter  meter
}

// run scans in the calling goroutine and hashes in the workers, and waits for all.
func (b *builder) run(ctx context.Context) (*Tree, error) {
	b.meter.report = b.cfg.Progress
	var wg sync.WaitGroup
	for range b.cfg.Workers {
		wg.Go(func() { (&worker{builder: b}).run(ctx) })
	}
	if b.tree.Dir {
		b.scanRoot(ctx)
	} else {
		b.sendLone(ctx)
	}
	wg.Wait()
	for f := range b.open { // where the build ended early
		f.Close()
	}
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("build %s: %w", b.root, err)
	}
	b.meter.finish()
	return &b.tree, nil
}

// sendLone sets up a lone file as the only child of a directory that is never made.
func (b *builder) sendLone(ctx context.Context) {
	d := &dirNode{kids: make([]child, 1), abs: b.root, lone: true}
	d.pending.Store(1)
	select {
	case b.jobs <- job{d, 0}:
	case <-ctx.Done():
	}
}

// finish ends the build with its root.
func (b *builder) finish(root child) {
	b.treeMu.Lock()
	b.tree.Root = root.cid()
	b.treeMu.Unlock()
	close(b.done)
}

// store hands a finished node to put, one at a time. A failing put ends the build,
// also where a failing file would only be left out.
func (b *builder) store(c child, block []byte) error {
	b.putMu.Lock()
	defer b.putMu.Unlock()
	if err := b.put(c.cid(), block); err != nil {
		err = fmt.Errorf("keep node %s: %w", c.cid(), err)
		b.cancel(err)
		return err
	}
	return nil
}

// skip reports an entry that is left out.
func (b *builder) skip(path string, err error) {
	if b.cfg.Skip == nil {
		return
	}
	b.skipMu.Lock()
	defer b.skipMu.Unlock()
	b.cfg.Skip(path, err)
}

// skippable tells errors that concern one file from those that end the build.
func skippable(err error) bool {
	var pathErr *fs.PathError
	if passing(err) {
		return false
	}
	return errors.Is(err, ErrChanged) || errors.Is(err, ErrNotFile) || errors.As(err, &pathErr)
}
