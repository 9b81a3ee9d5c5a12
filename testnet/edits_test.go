//go:build linux

package testnet_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"shoal/node/api"
	"shoal/testnet"
)

// fileEdit is something that people and programs do to a file that shoal has in its hands.
type fileEdit struct {
	name     string
	do       func(path string) error
	harmless bool // what was shared is still at its place, with the same bytes
}

// fileEdits are the kinds. The file has several chunks.
var fileEdits = []fileEdit{
	{"append", func(p string) error { return openAnd(p, os.O_WRONLY|os.O_APPEND, writeText("more")) }, false},
	{"truncate", func(p string) error { return os.Truncate(p, chunk+5) }, false},
	{"empty", func(p string) error { return os.Truncate(p, 0) }, false},
	{"extend", func(p string) error { return os.Truncate(p, 9*chunk) }, false},
	{"overwrite the start", func(p string) error { return writeAt(p, 10, "edited") }, false},
	{"overwrite the end", func(p string) error { return writeAt(p, 5*chunk, "edited") }, false},
	{"overwrite, mtime put back", func(p string) error {
		fi, err := os.Stat(p)
		if err != nil {
			return err
		}
		if err := writeAt(p, 2*chunk, "edited"); err != nil {
			return err
		}
		return os.Chtimes(p, fi.ModTime(), fi.ModTime())
	}, false},
	{"overwrite through a hard link", func(p string) error {
		if err := os.Link(p, p+".link"); err != nil {
			return err
		}
		return writeAt(p+".link", 3*chunk, "edited")
	}, false},
	{"overwrite through a mapping", mapped, false},
	{"punch a hole", func(p string) error {
		return openAnd(p, os.O_RDWR, func(f *os.File) error {
			return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, chunk, 2*chunk)
		})
	}, false},
	{"replace by another file", func(p string) error {
		if err := os.WriteFile(p+".new", bytes.Repeat([]byte("another "), chunk/2), 0o644); err != nil {
			return err
		}
		return os.Rename(p+".new", p)
	}, false},
	{"replace by a directory", func(p string) error { return remade(p, func() error { return os.Mkdir(p, 0o755) }) }, false},
	{"replace by a symlink", func(p string) error { return remade(p, func() error { return os.Symlink("/etc/hostname", p) }) }, false},
	{"replace by a FIFO", func(p string) error { return remade(p, func() error { return syscall.Mkfifo(p, 0o644) }) }, false},
	{"delete", os.Remove, false},
	{"move away", func(p string) error { return os.Rename(p, p+".moved") }, false},
	{"move away and back", func(p string) error {
		if err := os.Rename(p, p+".moved"); err != nil {
			return err
		}
		return os.Rename(p+".moved", p)
	}, true},
	{"hard link", func(p string) error { return os.Link(p, p+".link") }, true},
	{"chmod 000", func(p string) error { return os.Chmod(p, 0) }, os.Geteuid() == 0},
	{"touch", func(p string) error {
		fi, err := os.Stat(p)
		if err != nil {
			return err
		}
		return os.Chtimes(p, fi.ModTime().Add(1e9), fi.ModTime().Add(1e9))
	}, true},
}

func openAnd(path string, flag int, fn func(f *os.File) error) error {
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return err
	}
	return closed(f, fn(f))
}

func writeText(text string) func(f *os.File) error {
	return func(f *os.File) error { _, err := f.WriteString(text); return err }
}

func remade(path string, fn func() error) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return fn()
}

// mapped writes by a memory mapping, which no system call tells of.
func mapped(path string) error {
	return openAnd(path, os.O_RDWR, func(f *os.File) error {
		mem, err := unix.Mmap(int(f.Fd()), 0, 4*chunk, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return err
		}
		copy(mem[3*chunk+100:], "edited")
		return unix.Munmap(mem)
	})
}

// TestEditShared does to a shared file, under a daemon that serves it, all that is done to files. No fetcher ever ends with a wrong byte,
// the sharer shows the truth, and when the file is as it was, the same get completes.
func TestEditShared(t *testing.T) {
	big(t)
	lab := testnet.Start(t, 2, testnet.Options{})
	sharer, fetcher := lab.Peers[0], lab.Peers[1]
	for i, edit := range fileEdits {
		t.Run(edit.name, func(t *testing.T) {
			dir := sharer.Path(strings.ReplaceAll(edit.name, " ", "-"))
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			path := testnet.RandomFile(t, filepath.Join(dir, "file"), 5*chunk+777, byte(i))
			pristine := testnet.RandomFile(t, filepath.Join(dir, "pristine"), 5*chunk+777, byte(i))
			shared := sharer.Share(path)
			if err := edit.do(path); err != nil {
				t.Fatal(err)
			}
			dest := fetcher.Path(filepath.Base(dir))
			r := fetcher.Run("get", "--timeout", "1500ms", "-o", dest, shared.Link)
			rightIf(t, r, pristine, dest)
			if r.Code != 0 && r.Code != 3 && r.Code != 4 {
				t.Errorf("what the file has become is no reason for %s", r)
			}
			if s, ok := sharer.FindShare(shared.CID); !edit.harmless && (!ok || s.State != api.StateChanged || s.Reason == "") {
				t.Errorf("the sharer lists it as %s, reason %q", s.State, s.Reason)
			}
			if v := sharer.Run("verify", "--full", shared.CID); (v.Code == 0) != edit.harmless {
				t.Errorf("verify says otherwise: %s", v)
			}
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			testnet.RandomFile(t, path, 5*chunk+777, byte(i)) // as it was
			sharer.Must("verify", shared.CID)
			if s, _ := sharer.FindShare(shared.CID); s.State != api.StateComplete {
				t.Errorf("as it was, it is listed as %s: %s", s.State, s.Reason)
			}
			rightIf(t, fetcher.Run("get", "-o", dest, shared.Link), pristine, dest)
			lab.Same(pristine, dest, false)
		})
	}
}

// TestEditServing edits a file while it is being sent.
func TestEditServing(t *testing.T) {
	big(t)
	lab := testnet.Start(t, 2, testnet.Options{Args: []string{"--limit-up", "8MB/s"}})
	sharer, fetcher := lab.Peers[0], lab.Peers[1]
	for i, edit := range fileEdits {
		t.Run(edit.name, func(t *testing.T) {
			dir := sharer.Path(strings.ReplaceAll(edit.name, " ", "-"))
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			path := testnet.RandomFile(t, filepath.Join(dir, "file"), 8*chunk+777, byte(i))
			pristine := testnet.RandomFile(t, filepath.Join(dir, "pristine"), 8*chunk+777, byte(i))
			shared := sharer.Share(path)
			dest := fetcher.Path(filepath.Base(dir))
			f := fetcher.Fetch(shared.Link, dest, "--timeout", "2s")
			f.UntilBytes(chunk)
			if err := edit.do(path); err != nil {
				t.Fatal(err)
			}
			rightIf(t, f.Wait(), pristine, dest)
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			testnet.RandomFile(t, path, 8*chunk+777, byte(i))
			sharer.Must("verify", shared.CID)
			rightIf(t, fetcher.Run("get", "-o", dest, shared.Link), pristine, dest)
			lab.Same(pristine, dest, false)
		})
	}
}

// rightIf holds that a get that says success has given every byte, and one that does not has given no file under its final name, or a right one.
func rightIf(t *testing.T, r testnet.Result, want, got string) {
	t.Helper()
	err := testnet.Same(want, got, false)
	switch {
	case r.Code == 0 && err != nil:
		t.Fatalf("success, and yet %v", err)
	case r.Code != 0:
		if _, missing := os.Lstat(got); missing == nil && err != nil {
			t.Fatalf("failed with %s\nand left under the final name: %v", r, err)
		}
	}
}
