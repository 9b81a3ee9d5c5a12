//go:build unix

package testnet_test

import (
	"os"
	"testing"

	"shoal/testnet"
)

// sparse makes a file of size bytes with a few chunks of data and the rest holes.
func sparse(t *testing.T, path string, size int64, at ...int64) string {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, chunk)
	for i, off := range at {
		for k := range data {
			data[k] = byte(k*(i+3) + k>>8)
		}
		if _, err := f.WriteAt(data, off); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// TestSparse moves a sparse file: holes are neither read nor sent nor written.
func TestSparse(t *testing.T) {
	t.Parallel()
	const size = 16 << 30
	lab := testnet.Start(t, 2, testnet.Options{})
	sharer, fetcher := lab.Peers[0], lab.Peers[1]
	offsets := []int64{0, chunk / 2 * 3, 1 << 30, 9<<30 + 77, size - chunk}
	path := sparse(t, sharer.Path("sparse"), size, offsets...)
	if diskUse(t, path) > size/2 {
		t.Skip("the file system has no holes")
	}
	shared := sharer.Share(path)
	dest := fetcher.Path("copy")
	got := fetcher.Get(shared.Link, dest)
	if n := got.From[sharer.ID()]; n > 2*chunk*int64(len(offsets)) {
		t.Errorf("%d bytes were fetched for %d chunks of data", n, len(offsets))
	}
	if n := diskUse(t, dest); n > 4*chunk*int64(len(offsets)) {
		t.Errorf("the copy takes %d bytes of disk", n)
	}
	if same := fetcher.Share(dest); same.CID != shared.CID {
		t.Errorf("the copy is %s, not %s", same.CID, shared.CID)
	}
	sameAt(t, path, dest, append(offsets, 5<<30, size/2))
	if got := fetcher.Get(shared.Link, dest); got.Had != size {
		t.Errorf("fetched again: %+v", got)
	}
	fetcher.Must("verify", "--full", shared.CID)
}

// TestSparsePart fetches a small file that lies beside a huge sparse one.
func TestSparsePart(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 2, testnet.Options{})
	sharer, fetcher := lab.Peers[0], lab.Peers[1]
	if err := os.Mkdir(sharer.Path("tree"), 0o755); err != nil {
		t.Fatal(err)
	}
	huge := sparse(t, sharer.Path("tree", "huge"), 64<<30, 1<<30)
	if diskUse(t, huge) > 1<<30 {
		t.Skip("the file system has no holes")
	}
	testnet.RandomFile(t, sharer.Path("tree", "small"), 3*chunk+5, 1)
	shared := sharer.Share(sharer.Path("tree"))
	got := fetcher.Get(shared.Link, fetcher.Path("copy"), "--select", "small")
	lab.Same(sharer.Path("tree", "small"), fetcher.Path("copy", "small"), false)
	if n := received(got.From); n != 3*chunk+5 {
		t.Errorf("%d bytes were fetched", n)
	}
}

// sameAt compares two files at some offsets.
func sameAt(t *testing.T, a, b string, offsets []int64) {
	t.Helper()
	read := func(path string, off int64) string {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		buf := make([]byte, chunk)
		n, err := f.ReadAt(buf, off)
		if n < chunk {
			t.Fatal(err)
		}
		return string(buf)
	}
	for _, off := range offsets {
		if read(a, off) != read(b, off) {
			t.Errorf("%s and %s differ at %d", a, b, off)
		}
	}
}
