package testnet_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"shoal/node/api"
	"shoal/testnet"
	disks "shoal/testnet/fault"
)

// TestFailedSync fetches to a disk whose syncs fail for a while: after a remount all is there that a get said is.
// It takes root and FUSE (Debian package fuse3).
func TestFailedSync(t *testing.T) {
	lab := testnet.Start(t, 2, testnet.Options{})
	sharer, fetcher := lab.Peers[0], lab.Peers[1]
	disk := disks.MountFS(t, filepath.Join(t.TempDir(), "mnt"))
	path := testnet.RandomFile(t, sharer.Path("original"), 48*chunk, 1)
	shared := sharer.Share(path)
	dest := filepath.Join(disk.Dir, "copy")
	disk.FailSyncs(true)
	if r := fetcher.Fetch(shared.Link, dest).Wait(); r.Code == 0 {
		t.Fatalf("a get whose syncs failed succeeded: %s", r)
	}
	disk.FailSyncs(false)
	fetcher.Get(shared.Link, dest)
	disk.Forget()
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(disk.Backing, "copy"))
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d of %d bytes are on the disk (%v)", len(got), len(want), err)
	}
	for i := range 48 {
		if !bytes.Equal(got[i*chunk:(i+1)*chunk], want[i*chunk:(i+1)*chunk]) {
			t.Errorf("chunk %d is not on the disk", i)
		}
	}
}

// TestBadSector shares a file with a bad sector: the rest of it is served, and the share says what is not. It takes root and FUSE.
func TestBadSector(t *testing.T) {
	lab := testnet.Start(t, 2, testnet.Options{})
	sharer, fetcher := lab.Peers[0], lab.Peers[1]
	disk := disks.MountFS(t, filepath.Join(t.TempDir(), "mnt"))
	path := testnet.RandomFile(t, filepath.Join(disk.Dir, "original"), 32*chunk, 1)
	shared := sharer.Share(path)
	disk.FailReads("original", 5*chunk+1000, 10)
	f := fetcher.Fetch(shared.Link, fetcher.Path("copy"))
	f.UntilBytes(31 * chunk)
	if s, _ := sharer.FindShare(shared.CID); s.Have != 31 || s.State != api.StateChanged || !strings.Contains(s.Reason, "original: chunk 5, at byte 5242880") {
		t.Errorf("it is listed as %+v", s)
	}
	f.Interrupt()
	f.Wait()
	disk.Heal()
	sharer.Run("verify", shared.CID)
	fetcher.Get(shared.Link, fetcher.Path("copy"))
	lab.Same(path, fetcher.Path("copy"), false)
}

// TestEditWhileFetched lets another program write to a .part while it is fetched: the result is right all the same.
func TestEditWhileFetched(t *testing.T) {
	for name, script := range map[string]string{
		"overwritten": `printf XXXXXXXX | dd of="$1" bs=1 seek=1048600 conv=notrunc status=none`,
		"truncated":   `truncate -s 1048600 "$1"`,
	} {
		t.Run(name, func(t *testing.T) {
			const leaves, before = 32, 16
			lab := testnet.Start(t, 2, testnet.Options{})
			fetcher := lab.Peers[1]
			path := testnet.RandomFile(t, fetcher.Path("original"), leaves*chunk, 1)
			g := newGate(t, before)
			s := newSeed(t, lab, path, g.pass)
			dest := fetcher.Path("dest")
			f := fetcher.Fetch(s.root.String(), dest)
			f.UntilBytes(before / 2 * chunk)
			if out, err := exec.Command("sh", "-ec", script, "sh", dest+".part").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			g.Open()
			f.Done()
			lab.Same(path, dest, false)
		})
	}
}
