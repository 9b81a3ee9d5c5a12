package testnet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// RandomFile writes size bytes that depend only on seed, and returns path.
func RandomFile(t testing.TB, path string, size int64, seed byte) string {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte{seed}), size)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// node is one entry of the tree that MakeTree makes.
type node struct {
	path string
	kind fs.FileMode // 0, fs.ModeDir or fs.ModeSymlink
	text string      // contents, or target of a symlink
	perm fs.FileMode // 0: 0644 for files, 0755 for directories
}

// treeNodes is everything a tree may hold: what people have, and what breaks programs that did not expect it. Names that not
// every file system takes are left out on Windows and macOS.
func treeNodes() []node {
	nodes := []node{
		{path: "plain.txt", text: "hello\n"},
		{path: "empty"},
		{path: ".hidden", text: "dot"},
		{path: ".config/.deep/.file", text: "dots all the way"},
		{path: "no files here", kind: fs.ModeDir},
		{path: "a/b/c/d/e/f/g/h/i/j/deep.txt", text: "down here"},
		{path: "twins/one", text: strings.Repeat("the same chunk", 1000)},
		{path: "twins/two", text: strings.Repeat("the same chunk", 1000)},
		{path: "naïve café — 漢字 🐟.txt", text: "nfc"},
		{path: "cafe\u0301.txt", text: "nfd, another file than café.txt"},
		{path: "-rf", text: "a name like an option"},
		{path: "100% #1 &?+.txt", text: "a name like a query"},
		{path: strings.Repeat("n", 255), text: "the longest name"},
		{path: "modes/run.sh", text: "#!/bin/sh\n", perm: 0o755},
		{path: "modes/secret", text: "mine", perm: 0o600},
		{path: "modes/read-only", text: "look", perm: 0o444},
		{path: "modes/closed/inside", text: "in a directory that cannot be written"},
		{path: "modes/closed", kind: fs.ModeDir, perm: 0o555},
		{path: "links/relative", kind: fs.ModeSymlink, text: "../plain.txt"},
		{path: "links/dangling", kind: fs.ModeSymlink, text: "no/such/file"},
		{path: "links/to-dir", kind: fs.ModeSymlink, text: "../twins"},
		{path: "links/outside", kind: fs.ModeSymlink, text: "/dev/null"},
		{path: "links/loop", kind: fs.ModeSymlink, text: "loop"},
	}
	if runtime.GOOS == "linux" {
		nodes = append(nodes,
			node{path: "back\\slash", text: "one name, not two"},
			node{path: "new\nline\t\"quoted\" 'and' <more>: *|", text: "odd"},
			node{path: " leading and trailing ", text: "spaces"},
			node{path: "caf\u00e9.txt", text: "nfc, another file than the one above"},
		)
	}
	return nodes
}

// MakeTree fills dir with treeNodes, a file of several chunks and a directory of many entries (5,000 make it a HAMT under
// unixfs-v1-2025), all with modification times in the past that differ to the nanosecond. It returns dir.
func MakeTree(t testing.TB, dir string, many int) string {
	t.Helper()
	t.Cleanup(func() { makeWritable(dir) })
	nodes := treeNodes()
	for i := range many {
		nodes = append(nodes, node{path: fmt.Sprintf("many/file number %05d in a directory of many", i), text: fmt.Sprint(i)})
	}
	for _, n := range nodes {
		if err := n.make(dir); err != nil {
			t.Fatal(err)
		}
	}
	RandomFile(t, filepath.Join(dir, "several chunks.bin"), 5<<20+12345, 1)
	if err := setTimes(dir); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes { // after everything is inside
		if n.perm == 0 {
			continue
		}
		if err := os.Chmod(filepath.Join(dir, n.path), n.perm); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (n node) make(dir string) error {
	path := filepath.Join(dir, filepath.FromSlash(n.path))
	if n.kind == fs.ModeDir {
		return os.MkdirAll(path, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if n.kind == fs.ModeSymlink {
		return os.Symlink(n.text, path)
	}
	return os.WriteFile(path, []byte(n.text), 0o644)
}

// setTimes gives every file and directory below dir its own time in the past, children before parents.
func setTimes(dir string) error {
	var paths []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type() != fs.ModeSymlink {
			paths = append(paths, path)
		}
		return err
	})
	base := time.Date(2020, 2, 29, 12, 34, 56, 123456789, time.UTC)
	for i := len(paths) - 1; i >= 0 && err == nil; i-- {
		when := base.Add(time.Duration(i) * (time.Minute + 1001))
		err = os.Chtimes(paths[i], when, when)
	}
	return err
}

// Same compares two files or trees: names, kinds, contents and symlink targets; with preserve also permission bits and
// modification times (those of symlinks apart). It returns nil or an error that lists the first differences.
func Same(want, got string, preserve bool) error {
	c := comparison{want: want, got: got, preserve: preserve}
	if err := c.walk(want, got, c.compare); err != nil {
		return err
	}
	err := c.walk(got, want, func(rel string, _, there fs.FileInfo) error {
		if there == nil {
			c.differ(rel, "is too much")
		}
		return nil
	})
	if err == nil && c.count > 0 {
		err = fmt.Errorf("%s differs from %s in %d places:\n%s", got, want, c.count, strings.Join(c.listed, "\n"))
	}
	return err
}

type comparison struct {
	want, got string
	preserve  bool
	count     int
	listed    []string // at most 20
	a, b      []byte   // buffers for contents
}

// compareBytes is how much of two files is compared at once.
const compareBytes = 256 << 10

func (c *comparison) differ(rel, format string, args ...any) {
	c.count++
	if len(c.listed) < 20 {
		c.listed = append(c.listed, fmt.Sprintf("  %q %s", rel, fmt.Sprintf(format, args...)))
	}
}

// walk calls fn for everything at and below a, with what is at the same place of b or nil.
func (c *comparison) walk(a, b string, fn func(rel string, ia, ib fs.FileInfo) error) error {
	return filepath.WalkDir(a, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(a, path)
		if err != nil {
			return err
		}
		ia, err := e.Info()
		if err != nil {
			return err
		}
		ib, err := os.Lstat(filepath.Join(b, rel))
		if errors.Is(err, fs.ErrNotExist) {
			return fn(rel, ia, nil)
		}
		if err != nil {
			return err
		}
		return fn(rel, ia, ib)
	})
}

func (c *comparison) compare(rel string, want, got fs.FileInfo) error {
	switch {
	case got == nil:
		c.differ(rel, "is missing")
		return nil
	case want.Mode().Type() != got.Mode().Type():
		c.differ(rel, "is %s, not %s", got.Mode().Type(), want.Mode().Type())
		return nil
	case want.Mode().Type() == fs.ModeSymlink:
		return c.compareLinks(rel)
	}
	if c.preserve && want.Mode().Perm() != got.Mode().Perm() {
		c.differ(rel, "has mode %s, not %s", got.Mode(), want.Mode())
	}
	if c.preserve && !want.ModTime().Equal(got.ModTime()) {
		c.differ(rel, "has mtime %s, not %s", got.ModTime().UTC(), want.ModTime().UTC())
	}
	if want.IsDir() {
		return nil
	}
	if want.Size() != got.Size() {
		c.differ(rel, "has %d bytes, not %d", got.Size(), want.Size())
		return nil
	}
	return c.compareContents(rel)
}

func (c *comparison) compareLinks(rel string) error {
	want, err := os.Readlink(filepath.Join(c.want, rel))
	if err != nil {
		return err
	}
	got, err := os.Readlink(filepath.Join(c.got, rel))
	if err == nil && want != got {
		c.differ(rel, "leads to %q, not %q", got, want)
	}
	return err
}

func (c *comparison) compareContents(rel string) error {
	want, err := os.Open(filepath.Join(c.want, rel))
	if err != nil {
		return err
	}
	defer want.Close()
	got, err := os.Open(filepath.Join(c.got, rel))
	if err != nil {
		return err
	}
	defer got.Close()
	if c.a == nil {
		c.a, c.b = make([]byte, compareBytes), make([]byte, compareBytes)
	}
	at, err := firstDifference(want, got, c.a, c.b)
	if err == nil && at >= 0 {
		c.differ(rel, "differs from byte %d on", at)
	}
	return err
}

// firstDifference is the offset of the first byte in which two streams differ, or at which one ends; -1 if there is none. The
// buffers are of one size.
func firstDifference(a, b io.Reader, bufA, bufB []byte) (int64, error) {
	for at := int64(0); ; {
		n, err := io.ReadFull(a, bufA)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return 0, err
		}
		m, err := io.ReadFull(b, bufB)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return 0, err
		}
		if !bytes.Equal(bufA[:n], bufB[:m]) {
			i := 0
			for i < min(n, m) && bufA[i] == bufB[i] {
				i++
			}
			return at + int64(i), nil
		}
		if n < len(bufA) {
			return -1, nil
		}
		at += int64(n)
	}
}

// makeWritable lets the owner of the directories below dir remove what is in them; root needs no such help.
func makeWritable(dir string) {
	if os.Geteuid() == 0 {
		return
	}
	filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			os.Chmod(path, 0o755) // what cannot be changed shows when it cannot be removed
		}
		return nil
	})
}
