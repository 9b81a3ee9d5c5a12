package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"shoal/chunker"
	"shoal/node/store"
	"shoal/testnet/fault"
)

// TestReadAgain: what a disk could not read for a while, found by a peer's request or by a verify, is served again once it can be, also
// after a restart, without another verify. What stays bad keeps nothing else back. It needs FUSE: apt-get install fuse3.
func TestReadAgain(t *testing.T) {
	ctx := context.Background()
	disk := fault.MountFS(t, filepath.Join(t.TempDir(), "disk"))
	home, path := t.TempDir(), filepath.Join(disk.Dir, "f")
	data := content(1, 20<<20)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	s := open(t, home, always())
	sh := share(t, s, path, chunker.Config{})
	heal := func(want int) {
		t.Helper()
		_, later, err := s.Heal(ctx, 0)
		got, serr := s.Share(sh.Root)
		if err != nil || serr != nil || got.Have != want || later != (want < 20) || (got.State == store.Complete) != (want == 20) {
			t.Fatalf("later %t, %v; %+v, %v; want %d leaves", later, err, got, serr, want)
		}
	}
	heal(20)
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.EBADMSG, syscall.EUCLEAN, syscall.ENODATA, syscall.ETIMEDOUT} {
		disk.FailReadsAs("f", 1<<20, 10, errno)
		if _, err := openRoot(t, s, sh.Root).ReadLeaf(1, make([]byte, 1<<20)); !errors.Is(err, store.ErrChanged) || !errors.Is(err, errno) {
			t.Fatalf("read: %v, want ErrChanged and %v", err, errno)
		}
		heal(19)
		disk.Heal()
		heal(20)
	}

	disk.FailReads("f", 0, 20<<20)
	for _, restart := range []bool{false, true} {
		if rep, err := s.Verify(ctx, sh.Root, true, nil); err != nil || len(rep.Bad) != 1 || rep.Bad[0].BadLeaves != 20 {
			t.Fatalf("verify: %+v, %v", rep, err)
		}
		heal(0)
		if restart {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, home, always())
		}
		disk.Heal()
		disk.FailReads("f", 7<<20, 10)
		heal(19)
		disk.Heal()
		heal(20)
		servesAll(t, s, sh.Root, data)
		disk.FailReads("f", 0, 20<<20)
	}
}
