package testnet_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"shoal/node/api"
	"shoal/testnet"
)

// mount mounts a small file system in memory at dir for the length of a test, which takes root.
func mount(t *testing.T, dir, options string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("a file system of its own cannot be mounted here (%v)", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// TestFull fetches to a disk that is too small, which says so; when there is room the same command goes on.
func TestFull(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 2, testnet.Options{})
	sharer, fetcher := lab.Peers[0], lab.Peers[1]
	disk := fetcher.Path("disk")
	mount(t, disk, "size=12m")
	path := testnet.RandomFile(t, sharer.Path("original"), 16*chunk, 1)
	shared := sharer.Share(path)
	r := fetcher.Fails(5, "get", shared.Link, "-o", fetcher.Path("disk", "copy"))
	if !strings.Contains(r.Stderr, "space") && !strings.Contains(r.Stderr, "full") {
		t.Errorf("does not say that the disk is full: %s", r)
	}
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	res := fetcher.Get(shared.Link, fetcher.Path("disk", "copy"))
	lab.Same(path, fetcher.Path("disk", "copy"), false)
	t.Logf("had %d, fetched %d bytes", res.Had, received(res.From))
}

// TestReadOnly fetches to a file system that cannot be written.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 2, testnet.Options{})
	sharer, fetcher := lab.Peers[0], lab.Peers[1]
	disk := fetcher.Path("disk")
	mount(t, disk, "size=12m,ro")
	shared := sharer.Share(testnet.RandomFile(t, sharer.Path("original"), chunk, 1))
	r := fetcher.Fails(5, "get", shared.Link, "-o", fetcher.Path("disk", "copy"))
	if !strings.Contains(r.Stderr, "read-only") {
		t.Errorf("does not say that the destination is read-only: %s", r)
	}
}

// TestTurnsReadOnly goes on with a download whose disk was remounted read-only: that is told in one line and costs nothing of what has
// come. To remove it then forgets it, and the same get takes up what stays.
func TestTurnsReadOnly(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 2, testnet.Options{})
	sharer, fetcher := lab.Peers[0], lab.Peers[1]
	disk, copied := fetcher.Path("disk"), fetcher.Path("disk", "copy")
	mount(t, disk, "size=64m")
	remount := func(flags uintptr) {
		lab.Eventually("nothing is open for writing", func() bool {
			return syscall.Mount("", disk, "", syscall.MS_REMOUNT|flags, "") == nil
		})
	}
	path := testnet.RandomFile(t, sharer.Path("original"), 16*chunk, 1)
	shared := sharer.Share(path, "--limit-up", "8MB/s")
	started := fetcher.Fetch(shared.Link, copied)
	started.UntilBytes(2 * chunk)
	started.Interrupt()
	before, _ := fetcher.FindShare(shared.CID)

	remount(syscall.MS_RDONLY)
	for range 2 {
		r := fetcher.Fails(5, "get", shared.Link, "-o", copied)
		if strings.Count(r.Stderr, "read-only file system") != 1 || !strings.Contains(r.Stderr, copied+".part") {
			t.Errorf("does not name the file and the reason once: %s", r)
		}
	}
	if got, ok := fetcher.FindShare(shared.CID); !ok || got.HaveBytes != before.HaveBytes || got.HaveBytes == 0 {
		t.Errorf("%d bytes are there, of %d", got.HaveBytes, before.HaveBytes)
	}
	r := fetcher.Fails(5, "rm", shared.CID)
	if !strings.Contains(r.Stderr, copied+".part") || !strings.Contains(r.Stderr, "the same get takes it up") {
		t.Errorf("does not say what stays: %s", r)
	}
	if got, ok := fetcher.FindShare(shared.CID); ok {
		t.Errorf("not forgotten: %+v", got)
	}
	remount(0)
	if res := fetcher.Get(shared.Link, copied); res.Had < before.HaveBytes {
		t.Errorf("had %d, of %d bytes", res.Had, before.HaveBytes)
	}
	lab.Same(path, copied, false)
}

// TestHomeReadOnly uses a home whose disk is read-only, without a daemon: what only reads works, and all else names that disk.
func TestHomeReadOnly(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 2, testnet.Options{})
	sharer, peer := lab.Peers[0], lab.Peers[1]
	link := sharer.Share(testnet.RandomFile(t, sharer.Path("other"), chunk, 2)).Link
	peer.Stop()
	mount(t, peer.Home(), "size=64m")
	peer.Restart()
	path := testnet.RandomFile(t, peer.Path("original"), chunk, 1)
	shared := peer.Share(path)
	peer.Stop()
	if err := syscall.Mount("", peer.Home(), "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("remount: %v", err)
	}
	for _, args := range [][]string{{"ls"}, {"ls", "original"}, {"verify"}, {"verify", "--full"}, {"id"}, {"share", "--exit", path}} {
		peer.Must(args...)
	}
	if out := peer.Must("doctor"); !strings.Contains(out, "a daemon cannot write it") || !strings.Contains(out, "read-only") {
		t.Errorf("doctor does not say that the home is read-only: %s", out)
	}
	for _, args := range [][]string{
		{"rm", path}, {"share", "--exit", sharer.Path("other")}, {"get", link, "-o", peer.Path("copy")}, {"cat", shared.CID}, {"why", shared.CID},
		{"find", shared.CID}, {"daemon"}, {"peers", "ban", sharer.ID()}, {"config", "set", "network", "lan"}, {"network", "new", "x"},
	} {
		r := peer.Fails(5, args...)
		if !strings.Contains(r.Stderr, "the home "+peer.Home()) || strings.Contains(r.Stderr, "level=WARN") {
			t.Errorf("%q does not say in short which home is meant: %s", args, r)
		}
	}
}

// TestWhyFull asks about a fetch that a full disk ended, from the daemon and without one.
func TestWhyFull(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 2, testnet.Options{})
	sharer, fetcher := lab.Peers[0], lab.Peers[1]
	mount(t, fetcher.Path("disk"), "size=24m")
	shared := sharer.Share(testnet.RandomFile(t, sharer.Path("original"), 16*chunk, 1), "--limit-up", "2MB/s")
	started := fetcher.Fetch(shared.Link, fetcher.Path("disk", "copy"))
	started.UntilBytes(chunk)
	started.Interrupt()
	testnet.RandomFile(t, fetcher.Path("disk", "other"), 16*chunk, 2)
	fetcher.Fails(5, "get", shared.Link, "-o", fetcher.Path("disk", "copy"))
	full := fault{cause: api.CauseNoSpace, exit: 5, says: "The disk at the destination is full"}
	full.judge(t, fetcher, shared.CID)
	fetcher.Stop()
	full.judge(t, fetcher, shared.CID)
}

// TestRemoveHomeFull removes shares while the disk of the home is full.
func TestRemoveHomeFull(t *testing.T) {
	t.Parallel()
	peer := testnet.Start(t, 1, testnet.Options{}).Peers[0]
	peer.Stop()
	mount(t, peer.Home(), "size=64m")
	peer.Restart()
	path := testnet.RandomFile(t, peer.Path("original"), chunk, 1)
	peer.Share(path)
	fill, err := os.Create(filepath.Join(peer.Home(), "fill"))
	if err != nil {
		t.Fatal(err)
	}
	defer fill.Close()
	for data := make([]byte, 64<<10); err == nil; {
		_, err = fill.Write(data)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	peer.Must("rm", path)
	if r := peer.Must("ls"); strings.Contains(r, "original") {
		t.Errorf("still shared: %s", r)
	}
}
