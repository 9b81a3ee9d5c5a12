package testnet_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/node/api"
	"shoal/testnet"
)

// longDir is a relative path of 5,270 bytes: no call of the system takes so much at once.
func longDir() string {
	var names []string
	for i := range 21 {
		names = append(names, fmt.Sprintf("%02d%s", i, strings.Repeat("d", 248)))
	}
	return path.Join(names...)
}

// deepTree is a tree that is looked at from directory to directory.
type deepTree struct {
	t   *testing.T
	dir string
}

func (d deepTree) at(fn func(root *os.Root) error) {
	d.t.Helper()
	root, err := os.OpenRoot(d.dir)
	if err == nil {
		defer root.Close()
		err = fn(root)
	}
	if err != nil {
		d.t.Fatal(brief(err.Error()))
	}
}

func (d deepTree) write(rel string, data []byte) {
	d.t.Helper()
	d.at(func(root *os.Root) error {
		if err := root.MkdirAll(path.Dir(rel), 0o755); err != nil {
			return err
		}
		return root.WriteFile(rel, data, 0o644)
	})
}

func (d deepTree) remove(rel string) {
	d.t.Helper()
	d.at(func(root *os.Root) error { return root.Remove(rel) })
}

// contents are the names in the tree, with what is there.
func (d deepTree) contents() map[string]string {
	d.t.Helper()
	out := map[string]string{}
	d.at(func(root *os.Root) error {
		return fs.WalkDir(root.FS(), ".", func(rel string, e fs.DirEntry, err error) error {
			switch {
			case err != nil:
			case e.IsDir():
				out[rel] = "directory"
			case e.Type()&fs.ModeSymlink != 0:
				out[rel], err = root.Readlink(rel)
			default:
				var data []byte
				data, err = root.ReadFile(rel)
				out[rel] = fmt.Sprintf("%d bytes, %x", len(data), sha256.Sum256(data))
			}
			return err
		})
	})
	return out
}

// same compares all names and bytes.
func (d deepTree) same(want map[string]string) {
	d.t.Helper()
	got := d.contents()
	for rel, is := range want {
		if got[rel] != is {
			d.t.Errorf("%s is %q, want %q", brief(rel), got[rel], is)
		}
	}
	for rel := range got {
		if want[rel] == "" {
			d.t.Errorf("%s is too much", brief(rel))
		}
	}
}

// brief is a text with long paths, to be read.
func brief(s string) string { return strings.ReplaceAll(s, strings.Repeat("d", 248), "…") }

// TestLongPaths does with a tree whose paths are longer than PATH_MAX all that is done with others.
func TestLongPaths(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 3, testnet.Options{})
	sharer, fetcher, third := lab.Peers[0], lab.Peers[1], lab.Peers[2]
	deep := longDir()
	big, small, empty, link := deep+"/big", deep+"/small", deep+"/empty", deep+"/link"
	tree := deepTree{t, sharer.Path("tree")}
	if err := os.Mkdir(tree.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(testnet.RandomFile(t, sharer.Path("random"), 12*chunk+7, 1))
	if err != nil {
		t.Fatal(err)
	}
	tree.write("shallow", []byte("shallow"))
	tree.write(small, []byte("small"))
	tree.write(empty, nil)
	tree.write(big, data)
	tree.at(func(root *os.Root) error { return root.Symlink("small", link) })
	want := tree.contents()
	tree.write(deep+"/left.out", []byte("left out"))
	tree.write(deep+"/left.too", []byte("left out"))
	tree.write(deep+"/.shoalignore", []byte("*.out\n"))
	want[deep+"/.shoalignore"] = tree.contents()[deep+"/.shoalignore"]
	tree.write(deep+"/home/format", []byte("2\n"))
	tree.write(deep+"/home/identity.key", []byte("secret"))
	shared := sharer.Share(tree.dir, "--preserve", "--exclude", "left.too")
	sharer.Fails(2, "share", filepath.Join(tree.dir, deep, "home", "identity.key"))
	if shared.Files != 5 {
		t.Fatalf("%d files are shared", shared.Files)
	}

	// Killed half way and started again.
	copied := deepTree{t, fetcher.Path("copy")}
	sharer.Must("limit", "--up", "4MB/s")
	fetcher.Fetch(shared.Link, copied.dir).UntilBytes(3 * chunk)
	fetcher.Kill()
	sharer.Must("limit", "--up", "off")
	fetcher.Restart()
	lab.Meet(fetcher, sharer)
	if got := fetcher.Get(shared.Link, copied.dir); got.Had == 0 {
		t.Error("nothing was kept of what was there before the kill")
	}
	copied.same(want)
	fetcher.Stop()
	fetcher.Restart()
	sound := func(p *testnet.Peer, cid string) {
		t.Helper()
		if s, ok := p.FindShare(cid); !ok || s.State != api.StateComplete {
			t.Errorf("peer %d lists it as %s: %s", p.Index(), s.State, brief(s.Reason))
		}
		p.Must("verify", cid)
		p.Must("verify", "--full", cid)
	}
	sound(fetcher, shared.CID)
	sound(sharer, shared.CID)
	if out := fetcher.Must("cat", shared.CID+"/"+small); out != "small" {
		t.Errorf("cat says %q", out)
	}

	// Served on.
	lab.Meet(fetcher, third)
	sharer.Stop()
	onward := deepTree{t, third.Path("onward")}
	if got := third.Get(shared.CID, onward.dir); got.From[fetcher.ID()] < 12*chunk {
		t.Errorf("fetched from %v", got.From)
	}
	onward.same(want)

	// A fetch into what is there mends it.
	onward.remove(big)
	onward.remove(link)
	if got := third.Get(shared.CID, onward.dir); received(got.From) != 12*chunk+7 {
		t.Errorf("fetched %v to bring back one file", got.From)
	}
	onward.same(want)
	onward.write(small, []byte("other"))
	third.Fails(5, "get", shared.CID, "-o", onward.dir)
	third.Get(shared.CID, onward.dir, "--force")
	onward.same(want)
	sound(third, shared.CID)

	// Edits are noticed, what was only touched is healed, and what was put back is found.
	for _, edit := range []struct {
		name string
		do   func()
	}{
		{"was edited", func() { onward.write(small, []byte("SMALL")) }}, {"was deleted", func() { onward.remove(small) }},
	} {
		edit.do()
		if s, _ := third.FindShare(shared.CID); s.State != api.StateChanged || !strings.Contains(s.Reason, edit.name) {
			t.Errorf("listed as %s: %s, and it %s", s.State, brief(s.Reason), edit.name)
		}
		third.Fails(4, "verify", shared.CID)
		onward.write(small, []byte("small"))
		third.Must("verify", shared.CID)
		sound(third, shared.CID)
	}
	onward.at(func(root *os.Root) error {
		now := time.Now()
		return root.Chtimes(big, now.Add(-time.Hour), now.Add(-time.Hour))
	})
	if s, _ := third.FindShare(shared.CID); s.State != api.StateChanged {
		t.Errorf("touched: listed as %s", s.State)
	}
	lab.Eventually("the touched file is healed", func() bool {
		s, _ := third.FindShare(shared.CID)
		return s.State == api.StateComplete
	})

	// Moved, and adopted again after it was removed.
	moved := deepTree{t, third.Path("moved")}
	if err := os.Rename(onward.dir, moved.dir); err != nil {
		t.Fatal(err)
	}
	third.Must("mv", onward.dir, moved.dir)
	sound(third, shared.CID)
	third.Must("rm", shared.CID)
	moved.same(want)
	if got := third.Get("ipfs://"+shared.CID+"?filename=moved", third.Path()); got.Path != moved.dir || received(got.From) != 0 {
		t.Errorf("fetched %v to %s though all is at %s", got.From, got.Path, moved.dir)
	}
	sound(third, shared.CID)

	// The index is made anew.
	fetcher.Stop()
	if err := os.RemoveAll(filepath.Join(fetcher.Home(), "index")); err != nil {
		t.Fatal(err)
	}
	fetcher.Must("doctor", "--repair")
	fetcher.Restart()
	sound(fetcher, shared.CID)

	// A root of which even the directory has such a path.
	part := third.Share(filepath.Join(moved.dir, deep))
	if part.Files != 4 {
		t.Errorf("shared as %+v", part)
	}
	sound(third, part.CID)
	lab.Meet(fetcher, third)
	inner := filepath.Join(copied.dir, deep, "inner")
	for range 2 { // fetched, and adopted
		if got := fetcher.Get("ipfs://"+part.CID+"?filename=inner", filepath.Dir(inner)); got.Path != inner {
			t.Errorf("fetched to %s", brief(got.Path))
		}
		sound(fetcher, part.CID)
		fetcher.Must("rm", inner)
	}
	within := copied.contents()
	for rel, is := range want {
		if name, ok := strings.CutPrefix(rel, deep+"/"); ok && within[deep+"/inner/"+name] != is {
			t.Errorf("inner/%s is %q, want %q", name, within[deep+"/inner/"+name], is)
		}
	}
}
