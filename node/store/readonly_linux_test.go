package store_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/chunker"
	"shoal/node/store"

	"golang.org/x/sys/unix"
)

// remount makes the disk at dir read-only, or writable again.
func remount(t *testing.T, dir string, flags uintptr) {
	t.Helper()
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|flags, ""); err != nil {
		t.Skipf("remount: %v", err)
	}
}

// TestPartReadOnly goes on with a download whose disk has become read-only: that is told, and nothing of what has come is forgotten.
// It can be fetched to another disk with what is there, removed, and taken up again.
func TestPartReadOnly(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"file": nil,
		"tree": {"a": "alpha", "d/b": strings.Repeat("beta", 1000)},
	} {
		t.Run(name, func(t *testing.T) {
			src, sh, _ := lone(t, 4<<20)
			part := func(i int) bool { return i < 3 }
			if files != nil {
				src, sh = tree(t, files, chunker.Config{})
				part = func(i int) bool { return i < 1 }
			}
			disk := smallDisk(t, 16<<20)
			home := t.TempDir()
			var log bytes.Buffer
			cfg := store.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}
			tgt := store.Target{Root: sh.Root, Dir: disk, Name: "x"}
			dst := open(t, home, cfg)
			d := begin(t, dst, tgt)
			if err := errors.Join(pump(t, openRoot(t, src, sh.Root), d, part), d.Close()); err != nil {
				t.Fatal(err)
			}
			before, err := dst.Share(sh.Root)
			if err != nil || before.HaveBytes == 0 {
				t.Fatalf("share %+v, %v", before, err)
			}

			remount(t, disk, unix.MS_RDONLY)
			if _, err := dst.Download(context.Background(), tgt, chunker.Limits{}); !errors.Is(err, store.ErrReadOnly) || !strings.Contains(err.Error(), filepath.Join(disk, "x.part")) {
				t.Errorf("error %v, want ErrReadOnly and the path", err)
			}
			if err := dst.GiveUp(sh.Root, false); err != nil {
				t.Error(err)
			}
			if got, err := dst.Share(sh.Root); err != nil || got.HaveBytes != before.HaveBytes {
				t.Errorf("share %+v, %v; before %+v", got, err, before)
			}
			if err := dst.Close(); err != nil {
				t.Fatal(err)
			}
			dst = open(t, home, cfg)
			if log.Len() > 0 {
				t.Errorf("a start that has nothing to take away says:\n%s", log.String())
			}

			elsewhere := tgt
			elsewhere.Dir = t.TempDir()
			d = begin(t, dst, elsewhere)
			if d.HaveBytes() != before.HaveBytes {
				t.Errorf("%d bytes are taken along, of %d", d.HaveBytes(), before.HaveBytes)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if err := dst.Remove(sh.Root); err != nil {
				t.Errorf("remove what lies on a disk that can be written: %v", err)
			}

			remount(t, disk, 0)
			d = begin(t, dst, tgt) // recognised
			if err := errors.Join(pump(t, openRoot(t, src, sh.Root), d, part), d.Close()); err != nil {
				t.Fatal(err)
			}
			remount(t, disk, unix.MS_RDONLY)
			if err := dst.Remove(sh.Root); !errors.Is(err, store.ErrPartStays) || !strings.Contains(err.Error(), disk) {
				t.Errorf("error %v, want ErrPartStays and the path", err)
			}
			if _, err := dst.Share(sh.Root); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("it is not forgotten: %v", err)
			}
			remount(t, disk, 0)
			fetch(t, src, dst, tgt)
			if left, _ := filepath.Glob(filepath.Join(disk, "*.part")); len(left) > 1 {
				t.Errorf("left: %v", left)
			}
			if _, err := os.Stat(filepath.Join(disk, "x")); err != nil {
				t.Error(err)
			}
		})
	}
}
