package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/chunker"
	"shoal/node/store"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	dstest "github.com/ipfs/go-datastore/test"
)

func TestHome(t *testing.T) {
	home := filepath.Join(t.TempDir(), "new", "home")
	s := open(t, home, store.Config{})
	if fi, err := os.Stat(home); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("home: %v, %v", fi.Mode(), err)
	}
	if _, err := store.Open(home, store.Config{}); !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), home) {
		t.Errorf("second open: %v", err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	s = open(t, home, store.Config{})
	if all, err := s.Shares(); err != nil || len(all) != 0 {
		t.Errorf("shares: %v, %v", all, err)
	}
	s.Close()
	for text, want := range map[string]error{"3\n": store.ErrNewer, "x": nil, "": nil, "0": nil} {
		if err := os.WriteFile(filepath.Join(home, "format"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(home, store.Config{})
		if err == nil {
			s.Close()
			t.Errorf("format %q was accepted", text)
		}
		if want != nil && !errors.Is(err, want) {
			t.Errorf("format %q: %v, want %v", text, err, want)
		}
	}
	if _, err := store.Open("/dev/null/home", store.Config{}); err == nil {
		t.Error("a home below a device was made")
	}
}

// TestGoneHome deletes the home under an open store: errors, no panic.
func TestGoneHome(t *testing.T) {
	home := t.TempDir()
	s, err := store.Open(home, store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(home); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	im := s.Import()
	built, err := chunker.Build(context.Background(), path, chunker.Config{}, im.PutNode)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := im.Commit(context.Background(), built, path, ""); err == nil || !strings.Contains(err.Error(), home) {
		t.Errorf("commit: %v", err)
	}
	s.Close()
}

// TestLate uses a store that is closed: an error, no panic.
func TestLate(t *testing.T) {
	s, sh, _ := lone(t, 100)
	r := openRoot(t, s, sh.Root)
	ds := s.Datastore()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, key := context.Background(), datastore.NewKey("/k")
	_, shares := s.Shares()
	_, block := s.Block(sh.Root, nil)
	_, read := r.ReadLeaf(0, make([]byte, 100))
	_, node := r.Node(0)
	_, get := ds.Get(ctx, key)
	_, query := ds.Query(ctx, query.Query{})
	batch, _ := ds.Batch(ctx)
	_, download := s.Download(ctx, store.Target{Root: sh.Root, Dir: t.TempDir()}, chunker.Limits{})
	errs := map[string]error{
		"shares": shares, "block": block, "read": read, "node": node, "get": get, "query": query, "download": download,
		"remove": s.Remove(sh.Root), "put": ds.Put(ctx, key, nil), "sync": ds.Sync(ctx, key), "batch": batch.Commit(ctx),
	}
	for what, err := range errs {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestDatastore runs go-datastore's own suite over the namespace, beside shares.
func TestDatastore(t *testing.T) {
	home := t.TempDir()
	s := open(t, home, store.Config{})
	dir := filepath.Join(t.TempDir(), "tree")
	makeTree(t, dir, sampleTree())
	sh := share(t, s, dir, chunker.Config{})
	dstest.SubtestAll(t, s.Datastore())

	ctx := context.Background()
	ds := s.Datastore()
	if err := errors.Join(ds.Put(ctx, datastore.NewKey("/dht/a"), []byte("1")), ds.Sync(ctx, datastore.NewKey("/")), ds.Close()); err != nil {
		t.Fatal(err)
	}
	res, err := ds.Query(ctx, query.Query{})
	if err != nil {
		t.Fatal(err)
	}
	all, err := res.Rest()
	if err != nil || len(all) != 1 || all[0].Key != "/dht/a" {
		t.Errorf("query sees %v, %v", all, err)
	}
	servesTree := func() {
		t.Helper()
		got, err := s.Share(sh.Root)
		if err != nil || got.State != store.Complete || got.Leaves != sh.Leaves {
			t.Errorf("share %+v, %v", got, err)
		}
	}
	servesTree()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, home, store.Config{})
	servesTree()
	if v, err := s.Datastore().Get(ctx, datastore.NewKey("/dht/a")); err != nil || string(v) != "1" {
		t.Errorf("after reopening: %q, %v", v, err)
	}
}

// TestBlock reads every block of a tree by its CID, also after other shares with the
// same blocks went away.
func TestBlock(t *testing.T) {
	s, sh := tree(t, sampleTree(), chunker.Config{})
	dir := filepath.Join(t.TempDir(), "two")
	makeTree(t, dir, map[string]string{"big": sampleTree()["big.bin"], "x": "only here"})
	other := share(t, s, dir, chunker.Config{})
	l, err := s.Layout(sh.Root)
	if err != nil {
		t.Fatal(err)
	}
	blocks := func() {
		t.Helper()
		r := openRoot(t, s, sh.Root)
		buf := make([]byte, 1<<20)
		for i := range l.Leaves() {
			b, err := s.Block(l.Leaf(i).CID, nil)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := r.ReadLeaf(i, buf); err != nil || string(buf[:n]) != string(b) {
				t.Errorf("leaf %d differs: %v", i, err)
			}
		}
		if b, err := s.Block(sh.Root, nil); err != nil || len(b) == 0 {
			t.Errorf("root block: %v", err)
		}
	}
	blocks()
	if err := s.Remove(other.Root); err != nil {
		t.Fatal(err)
	}
	blocks()
	ol, err := s.Layout(other.Root)
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("layout of a removed share: %v, %v", ol, err)
	}
	if _, err := s.Block(other.Root, nil); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("block of a removed share: %v", err)
	}
	if err := os.RemoveAll(sh.Path); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Block(l.Leaf(0).CID, nil); !errors.Is(err, store.ErrChanged) {
		t.Errorf("block of a deleted file: %v", err)
	}
	if err := s.Remove(sh.Root); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(sh.Root); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("second remove: %v", err)
	}
}
