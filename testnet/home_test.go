package testnet_test

import (
	"context"
	"io/fs"
	"os"
	"strings"
	"testing"

	"shoal/node/api"
	"shoal/testnet"
)

// TestOneHome starts a second daemon in a home that is in use. It is refused, and the first does not notice.
func TestOneHome(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 1, testnet.Options{})
	p := lab.Peers[0]
	r := p.Fails(6, "daemon")
	if !strings.Contains(r.Stderr, p.Home()) {
		t.Errorf("does not name the home: %s", r)
	}
	if _, err := p.Client().ID(context.Background()); err != nil {
		t.Error("the first daemon does not answer any more:", err)
	}
}

// TestPrivate looks at the modes of what others must not read or talk to.
func TestPrivate(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 1, testnet.Options{})
	home := lab.Peers[0].Home()
	err := fs.WalkDir(os.DirFS(home), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if path == "." && info.Mode().Perm() != 0o700 {
			t.Errorf("the home has mode %s", info.Mode())
		}
		if (strings.Contains(path, "key") || path == "api.sock") && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(api.SocketPath(home)); err != nil {
		t.Error(err)
	}
}

// TestAlone shares and fetches where no daemon runs: the commands run nodes of their own.
func TestAlone(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 2, testnet.Options{})
	sharer, fetcher := lab.Peers[0], lab.Peers[1]
	path := testnet.RandomFile(t, sharer.Path("original"), 3*chunk, 1)
	shared := sharer.Share(path)
	fetcher.Stop()
	fetcher.Get(shared.Link, fetcher.Path("copy"))
	lab.Same(path, fetcher.Path("copy"), false)

	// What it fetched without a daemon, a daemon serves.
	fetcher.Restart()
	other := lab.Add(1)
	lab.Meet(other, fetcher)
	sharer.Stop()
	other.Get(shared.CID, other.Path("copy"))
	lab.Same(path, other.Path("copy"), false)
}

// TestCleanStop stops daemons that have done something within 5 s (Stop checks it), and finds all of it after a restart.
func TestCleanStop(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 3, testnet.Options{})
	tree := testnet.MakeTree(t, lab.Peers[0].Path("tree"), 500)
	shared := lab.Peers[0].Share(tree)
	lab.Peers[1].Get(shared.Link, lab.Peers[1].Path("copy"))
	for _, p := range lab.Peers[:2] {
		p.Stop()
	}
	for _, p := range lab.Peers[:2] {
		p.Restart()
		if s, ok := p.FindShare(shared.CID); !ok || s.State != api.StateComplete || s.Have != shared.Chunks {
			t.Errorf("peer %d lists it as %+v after a clean stop", p.Index(), s)
		}
	}
	lab.Peers[2].Get(shared.CID, lab.Peers[2].Path("copy"))
	lab.Same(tree, lab.Peers[2].Path("copy"), false)
}
