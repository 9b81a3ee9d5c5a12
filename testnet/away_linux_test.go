package testnet_test

import (
	"os"
	"strings"
	"testing"

	"shoal/testnet"
	inject "shoal/testnet/fault"
)

// TestDiskAway fetches half of a file to a mounted disk; the daemon is started again without the disk, and waits for it instead of
// writing beneath the mount point. It needs root and mkfs.ext4: apt-get install e2fsprogs.
func TestDiskAway(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 2, testnet.Options{})
	sharer, fetcher := lab.Peers[0], lab.Peers[1]
	path := testnet.RandomFile(t, sharer.Path("original"), 40*chunk, 1)
	shared := sharer.Share(path)
	disk, image := fetcher.Path("disk"), fetcher.Path("image")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(128 << 20); err != nil {
		t.Fatal(err)
	}
	f.Close()
	inject.MakeFS(t, image, "ext4", "-m", "0")
	unmount := inject.MountAt(t, image, disk, "ext4")
	out := fetcher.Path("disk", "copy")
	sharer.Must("limit", "--up", "4MB/s")
	half := fetcher.Fetch(shared.Link, out)
	half.UntilBytes(12 * chunk)
	half.Interrupt()
	half.Wait()
	fetcher.Stop()
	unmount()
	fetcher.Restart()
	r := fetcher.Fails(5, "get", shared.Link, "-o", out)
	if !strings.Contains(r.Stderr, "is not mounted") || !strings.Contains(r.Stderr, "shoal rm") {
		t.Errorf("get: %s", r)
	}
	if s := fetcher.Must("status"); !strings.Contains(s, "is not mounted") {
		t.Errorf("status: %s", s)
	}
	if l, err := os.ReadDir(disk); err != nil || len(l) != 0 {
		t.Errorf("beneath the mount point there are %v, %v", l, err)
	}
	sharer.Must("limit", "--up", "off")
	inject.MountAt(t, image, disk, "ext4")
	res := fetcher.Get(shared.Link, out)
	if res.Had < 12*chunk {
		t.Errorf("only %d bytes were had", res.Had)
	}
	lab.Same(path, out, false)
}
