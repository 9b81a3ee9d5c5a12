//go:build unix

package testnet_test

import (
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"

	"shoal/testnet"
)

// diskUse is what `du` counts: the blocks of all files at and below a path, in bytes.
func diskUse(t *testing.T, path string) (sum int64) {
	t.Helper()
	err := filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil {
			sum += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// TestDisk holds the promise that files stay where they are: no second copy, neither of what is shared nor of what is fetched.
func TestDisk(t *testing.T) {
	big(t)
	const size = 1 << 30
	lab := testnet.Start(t, 2, testnet.Options{})
	sharer, fetcher := lab.Peers[0], lab.Peers[1]
	path := testnet.RandomFile(t, sharer.Path("original"), size, 1)
	before := diskUse(t, sharer.Home())
	shared := sharer.Share(path)
	grown := diskUse(t, sharer.Home()) - before
	dest := fetcher.Path("copy")
	fetcher.Get(shared.Link, dest)
	total := diskUse(t, dest) + diskUse(t, fetcher.Home())
	t.Logf("sharing 1 GiB: the home has grown by %d KiB; fetching it: destination and home are %.4f GiB", grown>>10, float64(total)/size)
	if grown >= 10<<20 {
		t.Errorf("sharing 1 GiB took %d bytes in the home", grown)
	}
	if total > size+size/100 {
		t.Errorf("destination and home take %d bytes after fetching 1 GiB", total)
	}
	lab.Same(path, dest, false)
}
