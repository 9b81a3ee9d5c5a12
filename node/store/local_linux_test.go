package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/chunker"
	"shoal/node/store"

	"golang.org/x/sys/unix"
)

// TestCopyToFullDisk: a copy from another share that does not fit ends the fetch with the reason, as a fetched chunk would.
func TestCopyToFullDisk(t *testing.T) {
	const leaf = 64 << 10
	one := content(1, 64*leaf)
	two := append([]byte("new"), one[3:]...)
	dst, _ := shareData(t, one)
	src, sh := shareData(t, two)
	dir := smallDisk(t, 5<<20)
	d := begin(t, dst, store.Target{Root: sh.Root, Dir: dir, Name: "two"})
	defer d.Close()
	d.StopLocal()
	if err := pumpNodes(t, openRoot(t, src, sh.Root), d); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "other"), make([]byte, 3<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	d.StartLocal()
	for err := error(nil); err == nil; {
		<-d.Signal()
		err = d.News(func(_, _ int) {}, func(_, _ int) {})
		if err != nil && (!errors.Is(err, store.ErrNoSpace) || !strings.Contains(err.Error(), "two.part")) {
			t.Errorf("error %v, want ErrNoSpace and the path", err)
		}
	}
}

// TestZerosNeedNoRoom fetches a file that is larger than the disk but for its holes, and takes no more than it must.
func TestZerosNeedNoRoom(t *testing.T) {
	const leaf = 64 << 10
	data := make([]byte, 64<<20)
	copy(data[30<<20:], content(1, 10*leaf))
	src, sh := shareData(t, data)
	dir := smallDisk(t, 2<<20)
	dst := open(t, t.TempDir(), always())
	d := begin(t, dst, store.Target{Root: sh.Root, Dir: dir, Name: "x"})
	finishWith(t, src, d, data)
	for _, row := range []struct {
		name string
		want error
	}{{"second copy", nil}, {"third copy", nil}, {"fourth copy", store.ErrNoSpace}} { // of 640 KiB each
		_, err := dst.Export(context.Background(), store.Target{Root: sh.Root, Dir: dir, Name: row.name}, nil)
		if !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
	}
}

// TestHolesInChunks: runs of zeros take no disk space inside of chunks either, and replace what was there.
func TestHolesInChunks(t *testing.T) {
	data := make([]byte, 20<<20)
	for i := range 20 {
		copy(data[i<<20+i*40_000:], content(uint64(i), 1000))
	}
	src := open(t, t.TempDir(), always())
	path := filepath.Join(t.TempDir(), "f.bin")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	sh := share(t, src, path, chunker.Config{})
	dst := open(t, t.TempDir(), always())
	tgt := store.Target{Root: sh.Root, Dir: t.TempDir(), Name: "x"}
	d := begin(t, dst, tgt)
	if err := pump(t, openRoot(t, src, sh.Root), d, func(i int) bool { return i < 1 }); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(tgt.Dir, "x.part"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(content(1, 8<<20), 5<<20); err != nil {
		t.Fatal(err)
	}
	f.Close()
	finishWith(t, src, begin(t, dst, tgt), data)
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(tgt.Dir, "x"), &st); err != nil || st.Blocks*512 > 1<<20 {
		t.Errorf("%d KiB of disk are taken, %v", st.Blocks/2, err)
	}
}
