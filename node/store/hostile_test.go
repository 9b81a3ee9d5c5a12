package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/chunker"
	"shoal/node/store"

	"github.com/ipfs/go-cid"
)

// TestTampered puts symlinks where the .part is or is going to be: nothing may be
// written to what they point at.
func TestTampered(t *testing.T) {
	files := map[string]string{"d/a": "alpha", "d/b": string(content(1, 2<<20)), "e": "echo"}
	rows := []struct {
		name  string
		first int // leaves written before
		plant func(part, outside string) error
	}{
		{"part is a symlink to a directory", 0, func(part, outside string) error { return os.Symlink(outside, part) }},
		{"part is a dangling symlink", 0, func(part, outside string) error { return os.Symlink(outside+"/new", part) }},
		{"directory inside is a symlink", 1, func(part, outside string) error {
			return errors.Join(os.RemoveAll(part+"/d"), os.Symlink(outside, part+"/d"))
		}},
		{"file inside is a symlink", 1, func(part, outside string) error {
			return errors.Join(os.Remove(part+"/d/a"), os.Symlink(outside+"/a", part+"/d/a"))
		}},
		{"file inside is a dangling symlink", 1, func(part, outside string) error {
			return errors.Join(os.Remove(part+"/d/a"), os.Symlink(outside+"/new", part+"/d/a"))
		}},
		{"file inside is a symlink within", 1, func(part, outside string) error {
			return errors.Join(os.Remove(part+"/d/a"), os.Symlink("../e", part+"/d/a"))
		}},
		{"part is swapped for a symlink half way", 2, func(part, outside string) error {
			return errors.Join(os.Rename(part, part+"2"), os.Symlink(outside, part))
		}},
		{"part is a file", 0, func(part, outside string) error { return os.WriteFile(part, []byte("mine"), 0o644) }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			src, sh := tree(t, files, chunker.Config{})
			home, to, outside := t.TempDir(), t.TempDir(), t.TempDir()
			kept := map[string]string{"a": "outside a", "d/a": "outside d/a"}
			makeTree(t, outside, kept)
			dst := open(t, home, always())
			tgt := store.Target{Root: sh.Root, Dir: to, Name: "x"}
			d := begin(t, dst, tgt)
			if err := pump(t, openRoot(t, src, sh.Root), d, func(i int) bool { return i < row.first }); err != nil {
				t.Fatal(err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if err := row.plant(filepath.Join(to, "x.part"), outside); err != nil {
				t.Fatal(err)
			}
			d = begin(t, dst, tgt)
			err := pump(t, openRoot(t, src, sh.Root), d, nil)
			if err == nil {
				_, err = d.Finish(context.Background())
			}
			// What is at the place of the .part is not ours: another name is used.
			if elsewhere := strings.HasPrefix(row.name, "part "); elsewhere != (err == nil) {
				t.Errorf("error: %v", err)
			}
			d.Close()
			sameTree(t, readTree(t, outside), kept)
			if row.name == "part is a file" {
				if b, _ := os.ReadFile(filepath.Join(to, "x.part")); string(b) != "mine" {
					t.Errorf("the user's file now holds %q", b)
				}
			}
		})
	}
}

// TestForeignPart leaves a NAME.part alone that was there before.
func TestForeignPart(t *testing.T) {
	src, sh, data := lone(t, 1<<20+1)
	to := t.TempDir()
	mine := filepath.Join(to, "x.part")
	if err := os.WriteFile(mine, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	dst := open(t, t.TempDir(), always())
	got := fetch(t, src, dst, store.Target{Root: sh.Root, Dir: to, Name: "x"})
	if b, err := os.ReadFile(got.Path); err != nil || string(b) != string(data) {
		t.Errorf("result differs: %v", err)
	}
	if b, err := os.ReadFile(mine); err != nil || string(b) != "mine" {
		t.Errorf("the user's file: %q, %v", b, err)
	}
}

// TestTouchedPart deletes or edits files of the .part under a running download: Finish
// does not pass them off as whole, and a second try does.
func TestTouchedPart(t *testing.T) {
	rows := []struct {
		name  string
		touch func(part string) error
	}{
		{"deleted small", func(p string) error { return os.Remove(p + "/d/a") }},
		{"deleted large", func(p string) error { return os.Remove(p + "/d/b") }},
		{"truncated", func(p string) error { return os.Truncate(p+"/d/b", 1) }},
		{"replaced", func(p string) error {
			return errors.Join(os.WriteFile(p+"/n", []byte("alphA"), 0o644), os.Rename(p+"/n", p+"/d/a"))
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			src, sh := tree(t, map[string]string{"d/a": "alpha", "d/b": string(content(1, 2<<20)), "e": "echo"}, chunker.Config{})
			to := t.TempDir()
			dst := open(t, t.TempDir(), always())
			tgt := store.Target{Root: sh.Root, Dir: to, Name: "x"}
			d := begin(t, dst, tgt)
			if err := pump(t, openRoot(t, src, sh.Root), d, nil); err != nil {
				t.Fatal(err)
			}
			if err := row.touch(filepath.Join(to, "x.part")); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Finish(context.Background()); !errors.Is(err, store.ErrIncomplete) {
				t.Fatalf("finish: %v", err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			got := fetch(t, src, dst, tgt)
			sameTree(t, readTree(t, got.Path), map[string]string{"d/a": "alpha", "d/b": string(content(1, 2<<20)), "e": "echo"})
		})
	}
}

func TestBadWrites(t *testing.T) {
	src, sh, data := lone(t, 2<<20)
	dst := open(t, t.TempDir(), always())
	d := begin(t, dst, store.Target{Root: sh.Root, Dir: t.TempDir(), Name: "x"})
	if err := d.Write(0, data[:1<<20]); err == nil {
		t.Error("a leaf was written before it was known")
	}
	if err := d.AddNode([]byte("nonsense")); !errors.Is(err, chunker.ErrMismatch) {
		t.Errorf("wrong block: %v", err)
	}
	if err := pumpNodes(t, openRoot(t, src, sh.Root), d); err != nil {
		t.Fatal(err)
	}
	if err := d.Write(0, data[:100]); !errors.Is(err, chunker.ErrMismatch) {
		t.Errorf("short leaf: %v", err)
	}
	for _, i := range []int{-1, 2} {
		if err := d.Write(i, data[:1<<20]); err == nil {
			t.Errorf("leaf %d was written", i)
		}
	}
	if _, err := d.Finish(context.Background()); !errors.Is(err, store.ErrIncomplete) {
		t.Errorf("finish: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Write(0, data[:1<<20]); !errors.Is(err, store.ErrClosed) {
		t.Errorf("write after close: %v", err)
	}
}

func TestUnwritable(t *testing.T) {
	src, sh, _ := lone(t, 100)
	dst := open(t, t.TempDir(), always())
	for _, dir := range []string{"/nonexistent/dir", "/proc/self/exe"} {
		if _, err := dst.Download(context.Background(), store.Target{Root: sh.Root, Dir: dir, Name: "x"}, chunker.Limits{}); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if os.Geteuid() == 0 {
		t.Skip("root may write anywhere")
	}
	to := t.TempDir()
	if err := os.Chmod(to, 0o555); err != nil {
		t.Fatal(err)
	}
	d := begin(t, dst, store.Target{Root: sh.Root, Dir: to, Name: "x"})
	if err := pump(t, openRoot(t, src, sh.Root), d, nil); !errors.Is(err, store.ErrDenied) {
		t.Errorf("read-only directory: %v", err)
	}
}

// TestOneLeafTwoSizes: a false DAG names one leaf at two places, as of two sizes. What is
// behind the smaller one, verified by then, stays as it is.
func TestOneLeafTwoSizes(t *testing.T) {
	a, b := content(1, 64<<10), content(2, 64<<10)
	sizes := []int{len(a), 10, len(b)}
	var links, data []byte
	total := 0
	for i, leaf := range [][]byte{a, a, b} {
		sum := sha256.Sum256(leaf)
		id := append([]byte{0x0a, 36, 1, 0x55, 0x12, 32}, sum[:]...)
		link := binary.AppendUvarint(append(id, 0x12, 0, 0x18), uint64(sizes[i]))
		links = append(binary.AppendUvarint(append(links, 0x12), uint64(len(link))), link...)
		data = binary.AppendUvarint(append(data, 0x20), uint64(sizes[i]))
		total += sizes[i]
	}
	data = append(binary.AppendUvarint([]byte{0x08, 0x02, 0x18}, uint64(total)), data...)
	block := append(binary.AppendUvarint(append(links, 0x0a), uint64(len(data))), data...)
	root, err := cid.V1Builder{Codec: cid.DagProtobuf, MhType: 0x12}.Sum(block)
	if err != nil {
		t.Fatal(err)
	}

	to := t.TempDir()
	d := begin(t, open(t, t.TempDir(), always()), store.Target{Root: root, Dir: to, Name: "x"})
	defer d.Close()
	if err := d.AddNode(block); err != nil {
		t.Fatal(err)
	}
	if err := d.Write(2, b); err != nil {
		t.Fatal(err)
	}
	if err := d.Write(0, a); !errors.Is(err, chunker.ErrMismatch) || d.Has(1) {
		t.Errorf("error: %v, has the false leaf: %v", err, d.Has(1))
	}
	got, err := os.ReadFile(filepath.Join(to, "x.part"))
	if err != nil || !bytes.Equal(got[len(a)+10:], b) {
		t.Errorf("the leaf behind is not what was written: %d bytes, error %v", len(got), err)
	}
}
