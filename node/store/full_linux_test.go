package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/chunker"
	"shoal/node/store"

	"golang.org/x/sys/unix"
)

// smallDisk mounts a tmpfs of a few bytes.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("a tiny file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

func TestDiskFull(t *testing.T) {
	src, sh, data := lone(t, 8<<20)
	t.Run("known up front", func(t *testing.T) {
		dir := smallDisk(t, 6<<20)
		dst := open(t, t.TempDir(), always())
		d := begin(t, dst, store.Target{Root: sh.Root, Dir: dir, Name: "x"})
		defer d.Close()
		err := pumpNodes(t, openRoot(t, src, sh.Root), d)
		if !errors.Is(err, store.ErrNoSpace) || !strings.Contains(err.Error(), "2.0 MiB") {
			t.Errorf("error %v, want ErrNoSpace and how much is missing", err)
		}
	})
	t.Run("while writing", func(t *testing.T) {
		dir := smallDisk(t, 9<<20)
		dst := open(t, t.TempDir(), always())
		tgt := store.Target{Root: sh.Root, Dir: dir, Name: "x"}
		d := begin(t, dst, tgt)
		if err := pumpNodes(t, openRoot(t, src, sh.Root), d); err != nil {
			t.Fatal(err)
		}
		other := filepath.Join(dir, "other")
		if err := os.WriteFile(other, make([]byte, 4<<20), 0o644); err != nil {
			t.Fatal(err)
		}
		err := pump(t, openRoot(t, src, sh.Root), d, nil)
		if !errors.Is(err, store.ErrNoSpace) || !strings.Contains(err.Error(), filepath.Join(dir, "x.part")) {
			t.Errorf("error %v, want ErrNoSpace and the path", err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(other); err != nil {
			t.Fatal(err)
		}
		d = begin(t, dst, tgt)
		if d.HaveBytes() < 4<<20 {
			t.Errorf("only %d bytes were kept", d.HaveBytes())
		}
		if err := pump(t, openRoot(t, src, sh.Root), d, nil); err != nil {
			t.Fatal(err)
		}
		got, err := d.Finish(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(got.Path); err != nil || string(b) != string(data) {
			t.Errorf("content differs: %v", err)
		}
	})
	t.Run("read-only", func(t *testing.T) {
		dir := smallDisk(t, 16<<20)
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Skipf("remount: %v", err)
		}
		dst := open(t, t.TempDir(), always())
		d := begin(t, dst, store.Target{Root: sh.Root, Dir: dir, Name: "x"})
		defer d.Close()
		if err := pump(t, openRoot(t, src, sh.Root), d, nil); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("error %v, want ErrReadOnly", err)
		}
	})
}

// TestCheckpointFull fills the disk of the home during a download, and frees it again.
func TestCheckpointFull(t *testing.T) {
	src, sh, _ := lone(t, 4<<20)
	disk := smallDisk(t, 24<<20)
	home := filepath.Join(disk, "home")
	dst, err := store.Open(home, store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	d := begin(t, dst, store.Target{Root: sh.Root, Dir: t.TempDir(), Name: "x"})
	if err := pump(t, openRoot(t, src, sh.Root), d, func(i int) bool { return i < 3 }); err != nil {
		t.Fatal(err)
	}
	if err := fill(filepath.Join(disk, "fill")); err != nil {
		t.Fatal(err)
	}
	if err := d.Checkpoint(context.Background()); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("checkpoint: %v", err)
	}
	if err := os.Remove(filepath.Join(disk, "fill")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Checkpoint(context.Background()), d.Close(), dst.Close()); err != nil {
		t.Fatal(err)
	}
	dst, err = store.Open(home, store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	if got, err := dst.Share(sh.Root); err != nil || got.Have != 3 || got.HaveBytes != 3<<20 {
		t.Errorf("share %+v, %v", got, err)
	}
}

// TestHomeFull fills the disk of the home: the store answers with an error instead of
// ending the process, and a later start finds what was committed.
func TestHomeFull(t *testing.T) {
	dir := smallDisk(t, 24<<20)
	home := filepath.Join(dir, "home")
	s, err := store.Open(home, store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	first := filepath.Join(t.TempDir(), "first")
	makeTree(t, first, map[string]string{"a": "alpha"})
	sh := share(t, s, first, chunker.Config{})
	if err := fill(filepath.Join(dir, "fill")); err != nil {
		t.Fatal(err)
	}
	many := filepath.Join(t.TempDir(), "many")
	files := map[string]string{}
	for i := range 6000 {
		files[fmt.Sprintf("d%d/a rather long name for a small file %d", i%10, i)] = fmt.Sprint(i)
	}
	makeTree(t, many, files)
	for n := 0; err == nil && n < 40; n++ {
		im := s.Import()
		tree, berr := chunker.Build(context.Background(), many, chunker.Config{}, im.PutNode)
		if berr != nil {
			err = berr
			break
		}
		if _, err = im.Commit(context.Background(), tree, many, ""); err == nil {
			err = s.Remove(tree.Root)
		}
	}
	if !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("error %v, want ErrNoSpace", err)
	}
	if err := s.Close(); !errors.Is(err, store.ErrNoSpace) {
		t.Logf("close: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "fill")); err != nil {
		t.Fatal(err)
	}
	s = open(t, home, store.Config{})
	if got, err := s.Share(sh.Root); err != nil || got.State != store.Complete {
		t.Errorf("share %+v, %v", got, err)
	}
	s.Close()
}

// fill writes until the disk is full.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 4096} {
		for {
			if _, err := f.Write(make([]byte, size)); err != nil {
				break
			}
		}
	}
	return nil
}
