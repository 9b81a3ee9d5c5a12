package node

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"shoal/node/api"
)

// The tests of this package run real nodes in this process, on loopback. Those of
// package testnet run real daemons.

// startNode runs a node in home until the test ends or stop is called.
func startNode(t testing.TB, home string, bootstrap ...*Node) (n *Node, stop func()) {
	t.Helper()
	cfg := Config{Home: home, Network: "local", APISocket: true}
	for _, b := range bootstrap {
		cfg.Bootstrap = append(cfg.Bootstrap, b.addrs()...)
	}
	n, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- n.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := n.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	t.Cleanup(stop)
	select {
	case <-n.Ready():
	case err := <-ran:
		t.Fatalf("Run ended early: %v", err)
	}
	return n, stop
}

// randomFile makes a file and returns its path and bytes.
func randomFile(t testing.TB, dir, name string, size int) (string, []byte) {
	t.Helper()
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size), byte(size >> 8), 1}).Read(data)
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path, data
}

func mustShare(t testing.TB, n *Node, path string) api.ShareResult {
	t.Helper()
	r, err := n.Share(t.Context(), api.ShareRequest{Path: path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestShareAndGet(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	path, data := randomFile(t, t.TempDir(), "film.bin", 5<<20+17)
	shared := mustShare(t, a, path)
	if shared.Name != "film.bin" || shared.Size != int64(len(data)) || shared.Chunks != 6 || shared.Files != 1 {
		t.Errorf("share: %+v", shared)
	}
	for _, link := range []string{shared.Link, shared.CID, "/ipfs/" + shared.CID} {
		dir := t.TempDir()
		got, err := b.Get(t.Context(), api.GetRequest{Link: link, Dir: dir}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got.Path != filepath.Join(dir, "film.bin") {
			t.Errorf("%s was saved as %s", link, got.Path)
		}
		if copied, err := os.ReadFile(got.Path); err != nil || !bytes.Equal(copied, data) {
			t.Errorf("%s: the copy differs (%v)", link, err)
		}
		if id := a.host.ID().String(); got.From[id] != int64(len(data)) {
			t.Errorf("from %v, want all of it from %s", got.From, id)
		}
		if _, err := b.Remove(t.Context(), shared.CID); err != nil {
			t.Fatal(err)
		}
	}
}

func TestGetOfOwnShareCopies(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	path, data := randomFile(t, t.TempDir(), "own.bin", 3<<20)
	shared := mustShare(t, a, path)
	dest := filepath.Join(t.TempDir(), "copy.bin")
	got, err := a.Get(t.Context(), api.GetRequest{Link: shared.CID, Output: dest}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if copied, err := os.ReadFile(dest); err != nil || !bytes.Equal(copied, data) {
		t.Errorf("the copy differs (%v)", err)
	}
	if len(got.From) != 0 || got.Path != dest {
		t.Errorf("result: %+v", got)
	}
}

func TestGetPathInsideTree(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	tree := filepath.Join(t.TempDir(), "tree")
	_, want := randomFile(t, tree, "docs/deep/a.txt", 1000)
	randomFile(t, tree, "docs/b.txt", 2000)
	randomFile(t, tree, "film.bin", 4<<20)
	shared := mustShare(t, a, tree)

	t.Run("a file", func(t *testing.T) {
		dir := t.TempDir()
		got, err := b.Get(t.Context(), api.GetRequest{Link: shared.CID + "/docs/deep/a.txt", Dir: dir}, nil)
		if err != nil {
			t.Fatal(err)
		}
		copied, err := os.ReadFile(filepath.Join(dir, "a.txt"))
		if err != nil || !bytes.Equal(copied, want) || got.Size != 1000 {
			t.Errorf("%+v (%v)", got, err)
		}
		b.Remove(t.Context(), shared.CID)
	})
	t.Run("a directory", func(t *testing.T) {
		dir := t.TempDir()
		got, err := b.Get(t.Context(), api.GetRequest{Link: shared.CID + "/docs", Dir: dir}, nil)
		if err != nil {
			t.Fatal(err)
		}
		copied, err := os.ReadFile(filepath.Join(dir, "docs", "deep", "a.txt"))
		if err != nil || !bytes.Equal(copied, want) || got.Size != 3000 {
			t.Errorf("%+v (%v)", got, err)
		}
		b.Remove(t.Context(), shared.CID)
	})
	t.Run("a selection", func(t *testing.T) {
		dir := t.TempDir()
		got, err := b.Get(t.Context(), api.GetRequest{Link: shared.Link, Dir: dir, Select: []string{"docs/b.txt"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "tree", "docs", "b.txt")); err != nil || got.Size != 2000 {
			t.Errorf("%+v (%v)", got, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "tree", "film.bin")); err == nil {
			t.Error("a file that was not selected is there")
		}
		b.Remove(t.Context(), shared.CID)
	})
	t.Run("no such path", func(t *testing.T) {
		_, err := b.Get(t.Context(), api.GetRequest{Link: shared.CID + "/nothing", Dir: t.TempDir()}, nil)
		if api.AsError(err).Code != api.NotFound {
			t.Errorf("%v, want not_found", err)
		}
	})
}

func TestNobodyHasIt(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	const nobody = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyka"
	ctx, cancel := context.WithCancel(t.Context())
	_, err := b.Get(ctx, api.GetRequest{Link: nobody, Dir: t.TempDir()}, func(p api.Progress) {
		if p.State == api.StateSearching && p.Message != "" {
			cancel() // it said so
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}

func TestSecondGetJoins(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	dir := t.TempDir()
	path, _ := randomFile(t, t.TempDir(), "late.bin", 2<<20)
	// Nobody shares it yet: both callers wait for the same fetch.
	root := cidOf(t, path)
	started := make(chan struct{}, 64)
	results := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := b.Get(t.Context(), api.GetRequest{Link: root, Dir: dir}, func(api.Progress) {
				select {
				case started <- struct{}{}:
				default:
				}
			})
			results <- err
		}()
	}
	<-started
	mustShare(t, a, path)
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

func TestPauseAndResume(t *testing.T) {
	a, stopA := startNode(t, t.TempDir())
	homeB := t.TempDir()
	b, stopB := startNode(t, homeB, a)
	path, data := randomFile(t, t.TempDir(), "big.bin", 64<<20)
	shared := mustShare(t, a, path)
	dir := t.TempDir()
	req := api.GetRequest{Link: shared.Link, Dir: dir}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Get(ctx, req, nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("a caller who is gone: %v", err)
	}
	eventually(t, "the fetch to pause", func() bool { return len(b.fetchList()) == 0 })
	shares, err := b.List(t.Context())
	if err != nil || len(shares) > 1 {
		t.Fatalf("%+v, %v", shares, err)
	}
	stopB()
	b, _ = startNode(t, homeB, a)
	if list := b.fetchList(); len(list) != 0 {
		t.Errorf("a paused fetch went on by itself")
	}
	got, err := b.Get(t.Context(), req, nil)
	if err != nil {
		t.Fatal(err)
	}
	if copied, err := os.ReadFile(got.Path); err != nil || !bytes.Equal(copied, data) {
		t.Errorf("the copy differs (%v)", err)
	}
	stopA()
}

// TestGetAgainAtOnce asks again while the fetch is still being paused.
func TestGetAgainAtOnce(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	path, _ := randomFile(t, t.TempDir(), "again.bin", 8<<20)
	req := api.GetRequest{Link: cidOf(t, path), Dir: t.TempDir()}
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := b.Get(ctx, req, nil); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	mustShare(t, a, path)
	if _, err := b.Get(t.Context(), req, nil); err != nil {
		t.Error(err)
	}
}

// fetchList is a snapshot of the running fetches.
func (n *Node) fetchList() []*fetch {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []*fetch
	for _, f := range n.fetches {
		out = append(out, f)
	}
	return out
}

// eventually polls a condition that has no event to wait for.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		runtime.Gosched()
	}
}

func cidOf(t *testing.T, path string) string {
	t.Helper()
	n, err := Open(t.Context(), Config{Home: t.TempDir(), Network: "local", Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	return mustShare(t, n, path).CID
}

func TestLinkNamesAreHarmless(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	dir := filepath.Join(t.TempDir(), "deep", "inside")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path, _ := randomFile(t, t.TempDir(), "f", 100)
	shared := mustShare(t, a, path)
	got, err := a.Get(t.Context(), api.GetRequest{Link: "ipfs://" + shared.CID + "?filename=..%2F..%2Fevil", Dir: dir}, nil)
	if err != nil || got.Path != filepath.Join(dir, "evil") {
		t.Errorf("saved as %q (%v)", got.Path, err)
	}
}

func TestHomeIsNeverShared(t *testing.T) {
	dir := t.TempDir()
	home := filepath.Join(dir, "home")
	n, _ := startNode(t, home)
	randomFile(t, dir, "f", 10)
	shared := mustShare(t, n, dir)
	if shared.Files != 1 || len(shared.Homes) != 1 {
		t.Errorf("sharing the directory above the home: %+v", shared)
	}
	if _, err := n.Share(t.Context(), api.ShareRequest{Path: home}, nil); api.AsError(err).Code != api.Invalid {
		t.Errorf("sharing the home: %v, want invalid", err)
	}
}

func TestHomeIsLocked(t *testing.T) {
	home := t.TempDir()
	startNode(t, home)
	_, err := Open(t.Context(), Config{Home: home, Network: "local"})
	if api.AsError(err).Code != api.Locked {
		t.Errorf("%v, want locked", err)
	}
}

func TestBadRequests(t *testing.T) {
	n, _ := startNode(t, t.TempDir())
	dir := t.TempDir()
	for _, row := range []struct {
		name string
		req  api.GetRequest
		want api.Code
	}{
		{"empty", api.GetRequest{Dir: dir}, api.Invalid},
		{"not a CID", api.GetRequest{Link: "hello", Dir: dir}, api.Invalid},
		{"unknown codec", api.GetRequest{Link: "bafireigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy", Dir: dir}, api.Unsupported},
		{"bad provider", api.GetRequest{Link: "ipfs://bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku?provider=nowhere", Dir: dir}, api.Invalid},
		{"relative destination", api.GetRequest{Link: "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", Dir: "here"}, api.Invalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			if _, err := n.Get(t.Context(), row.req, nil); api.AsError(err).Code != row.want {
				t.Errorf("%v (%s), want %s", err, api.AsError(err).Code, row.want)
			}
		})
	}
	t.Run("sharing what is not there", func(t *testing.T) {
		_, err := n.Share(t.Context(), api.ShareRequest{Path: filepath.Join(dir, "none")}, nil)
		if api.AsError(err).Code != api.NotFound {
			t.Errorf("%v, want not_found", err)
		}
	})
}

func TestCloseWithoutRun(t *testing.T) {
	n, err := Open(t.Context(), Config{Home: t.TempDir(), Network: "local"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
}
