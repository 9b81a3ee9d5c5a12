package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
	"time"

	"shoal/node/api"
)

// catTree shares a tree with files, links and what cannot be read, and gives its CID.
func catTree(t *testing.T, n *Node) (root string, big []byte) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	_, big = randomFile(t, dir, "sub/big", 3<<20+5)
	for name, text := range map[string]string{"a": "first", "z": "last", "empty": "", "sub/a b": "blank"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"to-z": "z", "sub/up": "../a", "dir": "sub", "chain": "to-z", "loop": "loop", "out": "../secret",
		"abs": "/etc/passwd", "gone": "nothing", "to-dir": "sub/", "far": "dir/up",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Skip(err)
		}
	}
	return mustShare(t, n, dir).CID, big
}

func TestCatPaths(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	root, big := catTree(t, a)
	rows := []struct {
		ref, want string
		code      api.Code
	}{
		{"/a", "first", ""},
		{"/z", "last", ""},
		{"/empty", "", ""},
		{"/sub/big", string(big), ""},
		{"/sub/a b", "blank", ""},
		{"/to-z", "last", ""},
		{"/chain", "last", ""},
		{"/sub/up", "first", ""},
		{"/dir/up", "first", ""},
		{"/far", "first", ""},
		{"/dir/big", string(big), ""},
		{"", "", api.Invalid},
		{"/sub", "", api.Invalid},
		{"/to-dir", "", api.Invalid},
		{"/loop", "", api.Invalid},
		{"/out", "", api.Invalid},
		{"/abs", "", api.Invalid},
		{"/gone", "", api.NotFound},
		{"/nothing", "", api.NotFound},
		{"/a/b", "", api.NotFound},
		{"/sub/big/x", "", api.NotFound},
	}
	for _, n := range []*Node{a, b} { // from here, then from a peer
		for _, row := range rows {
			var out bytes.Buffer
			r, err := n.Cat(t.Context(), api.CatRequest{Link: root + row.ref}, &out, nil)
			if row.code != "" {
				if err == nil || api.AsError(err).Code != row.code || out.Len() > 0 {
					t.Errorf("%q: %v after %d bytes, want code %s", row.ref, err, out.Len(), row.code)
				}
				continue
			}
			if err != nil || out.String() != row.want || r.Size != int64(len(row.want)) || (r.Had == r.Size) != (n == a || r.Size == 0) {
				t.Errorf("%q: %d bytes, want %d; %+v, %v", row.ref, out.Len(), len(row.want), r, err)
			}
		}
	}
	for _, ref := range []string{"tree/a", "tree/sub/../a"} {
		var out bytes.Buffer
		if _, err := a.Cat(t.Context(), api.CatRequest{Link: ref}, &out, nil); err != nil || out.String() != "first" {
			t.Errorf("%s: %q, %v", ref, out.String(), err)
		}
	}
	for _, ref := range []string{"tree", "nothing", "nothing/a", "", "/", "ipfs://x", root + "/../a"} {
		if _, err := a.Cat(t.Context(), api.CatRequest{Link: ref}, io.Discard, nil); err == nil || api.AsError(err).Code != api.Invalid {
			t.Errorf("%q: %v, want code invalid", ref, err)
		}
	}
}

// A File is what net/http serves: any ranges, in any order.
func TestFileServesHTTP(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	path, data := randomFile(t, t.TempDir(), "film", 40<<20+11)
	shared := mustShare(t, a, path)
	f, err := b.Open(t.Context(), shared.CID)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, r := range []string{"", "bytes=0-9", "bytes=41943040-", "bytes=-1", "bytes=5-6", "bytes=30000000-31000000", "bytes=1000000-9000000", "bytes=1-2,40000000-40000001"} {
		serve := func(f io.ReadSeeker) *httptest.ResponseRecorder {
			req, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
			if r != "" {
				req.Header.Set("Range", r)
			}
			http.ServeContent(w, req, "film.bin", time.Time{}, f)
			return w
		}
		got, want := serve(f), serve(bytes.NewReader(data))
		if got.Code != want.Code || r != "bytes=1-2,40000000-40000001" && !bytes.Equal(got.Body.Bytes(), want.Body.Bytes()) || got.Body.Len() != want.Body.Len() {
			t.Errorf("%s: %d and %d bytes, want %d and %d", r, got.Code, got.Body.Len(), want.Code, want.Body.Len())
		}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	f.Limit(100_000)
	if err := iotest.TestReader(f, data[:100_000]); err != nil {
		t.Error(err)
	}
}

// However slow the reader, no more than a window is held, and little at first.
func TestFileWindow(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	path, data := randomFile(t, t.TempDir(), "film", 100<<20)
	f, err := b.Open(t.Context(), mustShare(t, a, path).CID)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 300_000)
	for at := 0; at < len(data); {
		n, err := io.ReadFull(f, buf[:min(len(buf), len(data)-at)])
		if err != nil || !bytes.Equal(buf[:n], data[at:at+n]) {
			t.Fatalf("at byte %d: %v", at, err)
		}
		at += n
		f.mu.Lock()
		held := int64(0)
		for _, c := range f.slots {
			held += int64(len(c.data))
		}
		if room := min(mostAhead, leastAhead+int64(at)); f.ahead > room || held > f.ahead {
			t.Fatalf("at byte %d: %d bytes planned, %d held, want at most %d", at, f.ahead, held, room)
		}
		f.mu.Unlock()
	}
}

// What repeats is fetched once.
func TestCatRepeats(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	path := filepath.Join(t.TempDir(), "zeros")
	if err := os.WriteFile(path, make([]byte, 60<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	r, err := b.Cat(t.Context(), api.CatRequest{Link: mustShare(t, a, path).CID}, &out, nil)
	if err != nil || !bytes.Equal(out.Bytes(), make([]byte, 60<<20)) {
		t.Fatalf("%d bytes, %v", out.Len(), err)
	}
	if got := r.From[a.host.ID().String()]; got != 1<<20 {
		t.Errorf("%d bytes fetched, want one leaf", got)
	}
}

// A range may lie behind inner nodes that are not needed otherwise.
func TestCatFarIn(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	path := filepath.Join(t.TempDir(), "sparse")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	const size = 1026 << 20 // more leaves than one node has links
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt([]byte("end"), size-3)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	cid := mustShare(t, a, path).CID
	for _, n := range []*Node{a, b} {
		var out bytes.Buffer
		r, err := n.Cat(t.Context(), api.CatRequest{Link: cid, Range: "-3"}, &out, nil)
		if err != nil || out.String() != "end" || r.First != size-3 || r.Size != size {
			t.Errorf("%q, %+v, %v", out.String(), r, err)
		}
	}
}

// What is here of a root is not fetched, whether a share or a part of one.
func TestCatUsesWhatIsHere(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	root, big := catTree(t, a)
	if _, err := b.Get(t.Context(), api.GetRequest{Link: root + "/sub/big", Dir: t.TempDir()}, nil); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	r, err := b.Cat(t.Context(), api.CatRequest{Link: root + "/sub/big"}, &out, nil)
	if err != nil || !bytes.Equal(out.Bytes(), big) || r.Had != int64(len(big)) || len(r.From) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// A share whose file has changed is not read from; who else has it is.
func TestCatOfChangedShare(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	path, data := randomFile(t, t.TempDir(), "film", 2<<20)
	cid := mustShare(t, a, path).CID
	got, err := b.Get(t.Context(), api.GetRequest{Link: cid, Dir: t.TempDir()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("something else"), 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	r, err := a.Cat(t.Context(), api.CatRequest{Link: cid}, &out, nil)
	if err != nil || !bytes.Equal(out.Bytes(), data) || r.From[b.host.ID().String()] != got.Size {
		t.Errorf("%+v, %v", r, err)
	}
}

// Waiting for what nobody has ends with the caller, the reader, or the node.
func TestCatEnds(t *testing.T) {
	const nobody = "bafkreiemqpndzewx4bioklzfvhtiegsfny5fxuc3nkjk2vmcpjxiammsti"
	n, stop := startNode(t, t.TempDir())
	waiting := make(chan struct{}, 100)
	report := func(p api.Progress) {
		if p.State == api.StateSearching {
			waiting <- struct{}{}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 1)
	cat := func(ctx context.Context) {
		_, err := n.Cat(ctx, api.CatRequest{Link: nobody}, io.Discard, report)
		got <- err
	}
	go cat(ctx)
	<-waiting
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	go cat(t.Context())
	for len(waiting) > 0 {
		<-waiting
	}
	<-waiting
	stop()
	if err := <-got; err == nil || api.AsError(err).Code != api.Stopped {
		t.Errorf("stopped: %v", err)
	}
	if _, err := n.Open(t.Context(), nobody); err == nil || api.AsError(err).Code != api.Stopped {
		t.Errorf("after the end: %v", err)
	}
}

// A get of the same root and its readers do not hinder each other.
func TestCatBesideGet(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	path, data := randomFile(t, t.TempDir(), "film", 64<<20)
	cid := mustShare(t, a, path).CID
	dest := filepath.Join(t.TempDir(), "copy")
	got := make(chan error, 3)
	go func() {
		_, err := b.Get(t.Context(), api.GetRequest{Link: cid, Output: dest}, nil)
		got <- err
	}()
	for range 2 {
		go func() {
			var out bytes.Buffer
			_, err := b.Cat(t.Context(), api.CatRequest{Link: cid}, &out, nil)
			if err == nil && !bytes.Equal(out.Bytes(), data) {
				err = errors.New("what was read differs")
			}
			got <- err
		}()
	}
	for range 3 {
		if err := <-got; err != nil {
			t.Error(err)
		}
	}
	if copied, err := os.ReadFile(dest); err != nil || !bytes.Equal(copied, data) {
		t.Errorf("the copy differs (%v)", err)
	}
}
