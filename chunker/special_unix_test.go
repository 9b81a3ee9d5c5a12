//go:build unix

package chunker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ipfs/go-cid"
)

// special makes a directory with all that cannot be shared, and one file that can.
func special(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "good"), "good")
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Skip(err)
	}
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: filepath.Join(dir, "sock")}); err != nil {
		t.Skip(err)
	}
	os.WriteFile(filepath.Join(dir, "bad\xff"), nil, 0o644)
	return dir
}

func TestSpecialFilesAreSkipped(t *testing.T) {
	dir := special(t)
	b := build(t, dir, Config{})
	want := map[string]error{"fifo": ErrNotFile, "sock": ErrNotFile, "bad\xff": ErrUnsupported}
	if _, err := os.Lstat(filepath.Join(dir, "bad\xff")); err != nil {
		delete(want, "bad\xff") // some file systems refuse such names
	}
	for path, err := range want {
		if !errors.Is(b.skipped[path], err) {
			t.Errorf("%q: %v, want %v", path, b.skipped[path], err)
		}
	}
	if len(b.skipped) != len(want) || b.Files != 1 {
		t.Errorf("skipped %v, files %d", b.skipped, b.Files)
	}
	plain := t.TempDir()
	write(t, filepath.Join(plain, "good"), "good")
	if p := build(t, plain, Config{}); p.Root != b.Root {
		t.Errorf("root %s, without the skipped entries %s", b.Root, p.Root)
	}
}

func TestSpecialFilesAlone(t *testing.T) {
	dir := special(t)
	for path, want := range map[string]error{
		filepath.Join(dir, "fifo"): ErrNotFile,
		filepath.Join(dir, "sock"): ErrNotFile,
		"/dev/null":                ErrNotFile,
		filepath.Join(dir, "none"): fs.ErrNotExist,
	} {
		if _, err := Build(t.Context(), path, Config{}, nil); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
}

func TestUnreadable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads everything")
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "f"), "secret")
	os.Mkdir(filepath.Join(dir, "d"), 0)
	os.Chmod(filepath.Join(dir, "f"), 0)
	b := build(t, dir, Config{})
	if !errors.Is(b.skipped["f"], fs.ErrPermission) || !errors.Is(b.skipped["d"], fs.ErrPermission) {
		t.Errorf("skipped %v", b.skipped)
	}
	if _, err := Build(t.Context(), filepath.Join(dir, "f"), Config{}, nil); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("alone: %v", err)
	}
}

// TestFileThatChanges edits a file from within put: that is in the midst of its
// hashing, as the first bottom node is made before the last chunk is read.
func TestFileThatChanges(t *testing.T) {
	edits := map[string]func(*os.File) error{
		"grows":     func(f *os.File) error { _, err := f.WriteAt([]byte("more"), 300_000); return err },
		"shrinks":   func(f *os.File) error { return f.Truncate(100_000) },
		"is edited": func(f *os.File) error { _, err := f.WriteAt([]byte("x"), 1); return err },
	}
	for name, edit := range edits {
		for _, times := range []int{1, 100} {
			t.Run(name, func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, "f")
				fill(t, path, "f", 300_000)
				os.Chtimes(path, at, at)
				f, err := os.OpenFile(path, os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				cfg := Config{Profile: small(100, 100)}
				checkChanging(t, dir, cfg, times, func() {
					if err := edit(f); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// checkChanging builds the tree dir whose file f gets edited in its first passes.
func checkChanging(t *testing.T, dir string, cfg Config, times int, edit func()) {
	t.Helper()
	for _, lone := range []bool{true, false} {
		edits := 0
		put := func(cid.Cid, []byte) error {
			if edits < times {
				edits++
				edit()
			}
			return nil
		}
		var skipped error
		cfg.Skip = func(_ string, err error) { skipped = err }
		path := dir
		if lone {
			path = filepath.Join(dir, "f")
		}
		tree, err := Build(t.Context(), path, cfg, put)
		switch {
		case lone && !errors.Is(err, ErrChanged):
			t.Errorf("alone: %v", err)
		case !lone && err != nil:
			t.Errorf("in a tree: %v", err)
		case !lone && times > 50 && (tree.Files != 0 || !errors.Is(skipped, ErrChanged)):
			t.Errorf("in a tree, all the time: %d files, skipped %v", tree.Files, skipped)
		}
	}
}

func TestTooDeep(t *testing.T) {
	dir := t.TempDir()
	deep := dir + strings.Repeat("/d", maxTreeDepth+1)
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Skip(err)
	}
	b := build(t, dir, Config{})
	if len(b.skipped) != 1 {
		t.Errorf("skipped %d entries", len(b.skipped))
	}
	if _, err := Walk(b.Root, Limits{}, b.get); err != nil {
		t.Error(err)
	}
}

// TestSwappedDirectory: a directory that is replaced by a symlink while it is walked leads nowhere else.
func TestSwappedDirectory(t *testing.T) {
	tree, outside := t.TempDir(), t.TempDir()
	sub := filepath.Join(tree, "sub")
	for path, text := range map[string]string{filepath.Join(sub, "f"): "mine", filepath.Join(outside, "f"): "secret"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := openDir(nil, "", tree)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	dir, err := openDir(root, "sub", sub)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := errors.Join(os.Rename(sub, sub+".away"), os.Symlink(outside, sub)); err != nil {
		t.Fatal(err)
	}
	f, err := openFile(dir, "f", filepath.Join(sub, "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if text, err := io.ReadAll(f); err != nil || string(text) != "mine" {
		t.Errorf("read %q, %v", text, err)
	}
	if d, err := openDir(root, "sub", sub); err == nil {
		d.Close()
		t.Error("a symlink was taken for a directory")
	}
	if f, err := openFile(root, "sub", sub); err == nil {
		f.Close()
		t.Error("a symlink was taken for a file")
	}
	if to, err := readLink(root, "sub", sub); err != nil || to != outside {
		t.Errorf("link to %q, %v", to, err)
	}
}

// TestNoDirectoryLeft: none is open when a build has ended, whether well or not.
func TestNoDirectoryLeft(t *testing.T) {
	tree := t.TempDir()
	for i := range 300 {
		dir := filepath.Join(tree, fmt.Sprint("d", i))
		if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "f"), []byte(dir), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	failed := errors.New("no more")
	before := 0
	for i, most := range []int{1000, 1000, 20} {
		if i == 1 {
			before = openFiles(t) // with what the runtime opens once
		}
		_, err := Build(context.Background(), tree, Config{}, func(cid.Cid, []byte) error {
			if most--; most < 0 {
				return failed
			}
			return nil
		})
		if (err != nil) != (most < 0) {
			t.Fatal(err)
		}
		if after := openFiles(t); i > 0 && after > before {
			t.Errorf("%d files are open, %d were before", after, before)
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Skip("the system does not list open files")
	}
	return len(list)
}
