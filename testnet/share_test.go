package testnet_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"shoal/node/api"
	"shoal/testnet"
)

const chunk = 1 << 20 // of unixfs-v1-2025

// TestFile moves lone files of the sizes at which something changes.
func TestFile(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 2, testnet.Options{})
	sharer, fetcher := lab.Peers[0], lab.Peers[1]
	for i, size := range []int64{0, 1, chunk - 1, chunk, chunk + 1, 7*chunk + 4711} {
		t.Run(strconv.FormatInt(size, 10), func(t *testing.T) {
			name := "file " + strconv.FormatInt(size, 10)
			path := testnet.RandomFile(t, sharer.Path(name), size, byte(i))
			shared := sharer.Share(path)
			if shared.Size != size || shared.Files != 1 || shared.Name != name {
				t.Errorf("shared as %+v", shared)
			}
			dest := fetcher.Path(name)
			got := fetcher.Get(shared.Link, dest)
			lab.Same(path, dest, false)
			if got.Size != size || got.Path != dest || got.CID != shared.CID {
				t.Errorf("got %+v", got)
			}
			if n := got.From[sharer.ID()]; n != size {
				t.Errorf("%d of %d bytes are said to be from the sharer: %v", n, size, got.From)
			}
			if s, ok := fetcher.FindShare(shared.CID); !ok || s.State != api.StateComplete || s.Path != dest {
				t.Errorf("the fetcher lists it as %+v", s)
			}
		})
	}
}

// TestTree moves a tree of everything a file system holds, with and without modes and times, and finds both again by hashing.
func TestTree(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 2, testnet.Options{})
	sharer, fetcher := lab.Peers[0], lab.Peers[1]
	tree := testnet.MakeTree(t, sharer.Path("tree"), 5000)
	for _, row := range []struct {
		name     string
		flags    []string
		preserve bool
	}{
		{"plain", nil, false},
		{"preserve", []string{"--preserve"}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			shared := sharer.Share(tree, row.flags...)
			if shared.SkippedCount != 0 {
				t.Errorf("left out: %v", shared.Skipped)
			}
			dest := fetcher.Path(row.name)
			got := fetcher.Get(shared.Link, dest)
			lab.Same(tree, dest, row.preserve)
			if got.Files != shared.Files || got.Size != shared.Size {
				t.Errorf("shared %d files of %d bytes, got %d of %d", shared.Files, shared.Size, got.Files, got.Size)
			}
			again := strings.TrimSpace(fetcher.Must(append([]string{"cid", dest}, row.flags...)...))
			if again != shared.CID {
				t.Errorf("the copy hashes to %s, the original to %s", again, shared.CID)
			}
		})
	}
}

// TestParts fetches some of a tree: what --select names, and what a path in the link names.
func TestParts(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 2, testnet.Options{})
	sharer, fetcher := lab.Peers[0], lab.Peers[1]
	tree := testnet.MakeTree(t, sharer.Path("tree"), 10)
	shared := sharer.Share(tree)

	some := fetcher.Path("some")
	fetcher.Get(shared.Link, some, "--select", "twins", "--select", "a/b/c")
	lab.Same(filepath.Join(tree, "twins"), filepath.Join(some, "twins"), false)
	lab.Same(filepath.Join(tree, "a"), filepath.Join(some, "a"), false)
	if _, err := os.Lstat(filepath.Join(some, "plain.txt")); !os.IsNotExist(err) {
		t.Errorf("plain.txt was not selected, and yet: %v", err)
	}

	other := lab.Add(1) // it has nothing of the root yet
	file := other.Path("deep")
	other.Get(shared.CID+"/a/b/c/d/e/f/g/h/i/j/deep.txt", file)
	lab.Same(filepath.Join(tree, "a/b/c/d/e/f/g/h/i/j/deep.txt"), file, false)

	r := other.Fails(2, "get", shared.CID+"/no/such/path", "-o", other.Path("nothing"))
	if !strings.Contains(r.Stderr, "no/such/path") {
		t.Errorf("does not name the missing path: %s", r)
	}
}

// TestNames saves a lone file under the name in the link, else the sharer's, else its CID.
func TestNames(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 2, testnet.Options{})
	sharer, fetcher := lab.Peers[0], lab.Peers[1]
	for i, row := range []struct {
		name string
		link func(api.ShareResult) string
		want func(api.ShareResult) string
	}{
		{"from the link", func(r api.ShareResult) string { return "ipfs://" + r.CID + "?filename=mine.txt" },
			func(api.ShareResult) string { return "mine.txt" }},
		{"from the sharer", func(r api.ShareResult) string { return r.CID }, func(r api.ShareResult) string { return r.Name }},
		{"not outside", func(r api.ShareResult) string { return "ipfs://" + r.CID + "?filename=..%2F..%2Fevil" },
			func(api.ShareResult) string { return "evil" }},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := testnet.RandomFile(t, sharer.Path("original "+strconv.Itoa(i)), 1000, byte(i))
			shared := sharer.Share(path)
			fetcher.Must("get", row.link(shared))
			lab.Same(path, fetcher.Path(row.want(shared)), false)
		})
	}
}

// TestHidden leaves names with dots out on request, inside the tree only.
func TestHidden(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 2, testnet.Options{})
	sharer, fetcher := lab.Peers[0], lab.Peers[1]
	tree := testnet.MakeTree(t, sharer.Path(".tree"), 0)
	shared := sharer.Share(tree, "--no-hidden")
	dest := fetcher.Path("dest")
	fetcher.Get(shared.Link, dest)
	for _, hidden := range []string{".hidden", ".config"} {
		if _, err := os.Lstat(filepath.Join(dest, hidden)); !os.IsNotExist(err) {
			t.Errorf("%s came along: %v", hidden, err)
		}
	}
	lab.Same(filepath.Join(tree, "twins"), filepath.Join(dest, "twins"), false)
}

// TestJoin lets a second get of the same root join the one that runs.
func TestJoin(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 1, testnet.Options{})
	fetcher := lab.Peers[0]
	path := testnet.RandomFile(t, fetcher.Path("original"), 16*chunk, 1)
	g := newGate(t, 4)
	s := newSeed(t, lab, path, g.pass)
	dest := fetcher.Path("dest")
	first := fetcher.Fetch(s.root.String(), dest)
	first.UntilBytes(chunk)
	second := fetcher.Fetch(s.root.String(), dest)
	second.UntilBytes(chunk)
	elsewhere := fetcher.Fetch(s.root.String(), fetcher.Path("elsewhere")) // waits, and copies
	elsewhere.Until("it said that another get fetches it", func(p api.Progress) bool { return strings.Contains(p.Message, "fetches it to "+dest) })
	first.Interrupt() // the second holds it
	if r := first.Wait(); r.Code != 130 {
		t.Errorf("interrupted, but %s", r)
	}
	g.Open()
	res := second.Done()
	lab.Same(path, dest, false)
	if n := received(res.From); n != 16*chunk || res.Duplicate != 0 {
		t.Errorf("%d bytes came from peers, %d twice", n, res.Duplicate)
	}
	if res := elsewhere.Done(); received(res.From) != 0 {
		t.Errorf("elsewhere: %v", res.From)
	}
	lab.Same(path, fetcher.Path("elsewhere"), false)
}

// TestNobody gives up on a root that nobody has when told to, with an exit code of its own.
func TestNobody(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 2, testnet.Options{})
	fetcher := lab.Peers[0]
	const nobodys = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
	r := fetcher.Fails(3, "get", nobodys, "-o", fetcher.Path("dest"), "--timeout", "1500ms")
	if !strings.Contains(r.Stderr, "nobody") {
		t.Errorf("does not say that nobody has it: %s", r)
	}
	f := fetcher.Fetch(nobodys, fetcher.Path("dest"))
	p := f.Until("it said that it keeps looking", func(p api.Progress) bool { return p.State == api.StateSearching && p.Message != "" })
	if !strings.Contains(p.Message, "still looking") {
		t.Errorf("message %q", p.Message)
	}
	f.Interrupt()
	if r := f.Wait(); r.Code != 130 {
		t.Errorf("interrupted, but %s", r)
	}
}
