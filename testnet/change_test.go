package testnet_test

import (
	"os"
	"testing"

	"shoal/node/api"
	"shoal/testnet"
)

// TestChanged does to a shared file what people do to files. Nobody may get wrong bytes, both sides say what is the matter, and
// verify or sharing again heals it.
func TestChanged(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 2, testnet.Options{})
	sharer, fetcher := lab.Peers[0], lab.Peers[1]
	for i, row := range []struct {
		name   string
		change func(path string) error
		left   left
	}{
		{"edited", func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte("edited"), 100)
			return closed(f, err)
		}, someChunks},
		{"truncated", func(path string) error { return os.Truncate(path, chunk+5) }, someChunks},
		{"appended", func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString("more")
			return closed(f, err)
		}, someChunks},
		{"replaced", func(path string) error {
			if err := os.WriteFile(path+".new", []byte("another file"), 0o644); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		}, someChunks},
		{"deleted", os.Remove, noFile},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := testnet.RandomFile(t, sharer.Path(row.name), 4*chunk, byte(i))
			shared := sharer.Share(path)
			if err := row.change(path); err != nil {
				t.Fatal(err)
			}
			dest := fetcher.Path(row.name)
			fetcher.Fails(4, "get", shared.Link, "-o", dest, "--timeout", "1500ms")
			if s, _ := sharer.FindShare(shared.CID); s.State != api.StateChanged || s.Reason == "" {
				t.Errorf("the sharer lists it as %s, reason %q", s.State, s.Reason)
			}
			sharer.Fails(4, "verify", shared.CID)
			sharer.Fails(4, "verify", shared.CID) // and so it stays
			if row.left != noFile {
				again := sharer.Share(path)
				if again.CID == shared.CID {
					t.Errorf("changed, and yet still %s", again.CID)
				}
				fetcher.Get(again.Link, dest+" again")
				lab.Same(path, dest+" again", false)
			}
			testnet.RandomFile(t, path, 4*chunk, byte(i)) // as it was, with another mtime
			if row.left == noFile {
				sharer.Must("verify", shared.CID)
			} else if back := sharer.Share(path); back.CID != shared.CID {
				t.Errorf("as it was, and yet %s", back.CID)
			}
			fetcher.Get(shared.Link, dest) // what came before the change is kept
			lab.Same(path, dest, false)
		})
	}
}

// left says what a change leaves of what was shared.
type left int

const (
	someChunks left = iota
	noFile
)

// TestChangedTree changes one file of a shared tree: the others go on being served, and sharing again heals it.
func TestChangedTree(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 2, testnet.Options{})
	sharer, fetcher := lab.Peers[0], lab.Peers[1]
	tree := testnet.MakeTree(t, sharer.Path("tree"), 100)
	shared := sharer.Share(tree)
	if err := os.WriteFile(sharer.Path("tree", "plain.txt"), []byte("no longer hello\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	fetcher.Get(shared.Link, fetcher.Path("many"), "--select", "many")
	lab.Same(sharer.Path("tree", "many"), fetcher.Path("many", "many"), false)
	again := sharer.Share(tree)
	fetcher.Get(again.Link, fetcher.Path("again"))
	lab.Same(tree, fetcher.Path("again"), false)
}

func closed(f *os.File, err error) error {
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
