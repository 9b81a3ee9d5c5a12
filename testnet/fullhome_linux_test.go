package testnet_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/testnet"
)

// TestFullHome fills the disk of a home under a daemon: that ends in order, and without one what is there is listed and checked.
func TestFullHome(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	mount(t, disk, "size=40m")
	peer := testnet.Start(t, 1, testnet.Options{Dir: disk}).Peers[0]
	shared := peer.Share(testnet.RandomFile(t, filepath.Join(t.TempDir(), "f"), chunk, 1))
	fill, err := os.Create(filepath.Join(disk, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	defer fill.Close()
	if _, err := io.CopyN(fill, zeros{}, 64<<20); err == nil {
		t.Fatal("the disk is not full")
	}
	peer.Stop()
	for _, verb := range []string{"ls", "verify"} {
		if r := peer.Run(verb); r.Code != 0 || !strings.Contains(r.Stdout, filepath.Base(shared.Name)) {
			t.Errorf("%s: %s", verb, r)
		}
	}
	if r := peer.Fails(5, "rm", shared.CID); !strings.Contains(r.Stderr, "not enough space") || !strings.Contains(r.Stderr, "Free some space in the home") {
		t.Errorf("rm: %s", r)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
