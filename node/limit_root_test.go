package node

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/sync"

	"shoal/node/api"
	"shoal/node/store"
	"shoal/transfer"
)

// tight lets less through in any time that these tests take than the files of limitedPair hold.
const tight = 50_000

// limitedPair shares two files of the same size.
func limitedPair(t testing.TB, n *Node, limits *api.TransferLimits) (limited, free api.ShareResult) {
	t.Helper()
	dir := t.TempDir()
	one, _ := randomFile(t, dir, "limited.bin", 8<<20)
	two, _ := randomFile(t, dir, "free.bin", 8<<20-1)
	limited, err := n.Share(t.Context(), api.ShareRequest{Path: one, Limits: limits}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return limited, mustShare(t, n, two)
}

// transfers are the limits of single transfers in force.
func transfers(t testing.TB, n *Node) []api.TransferLimit {
	t.Helper()
	s, err := n.Limits(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.Transfers
}

// unfinished checks that g has not ended although something is coming.
func (g *getting) unfinished(t testing.TB) {
	t.Helper()
	select {
	case <-g.over:
		t.Errorf("it ended in spite of its limit: %+v, %v", g.res, g.err)
	default:
	}
}

// A second get of the same root raises or lifts the limit of the first, which holds again when the second is left.
func TestGetLimitIsTheLatest(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	limited, _ := limitedPair(t, a, nil)
	dir := t.TempDir()
	slow := api.TransferLimits{Down: tight}
	first := get(t, b, api.GetRequest{Link: limited.Link, Dir: dir, Limits: &slow})
	first.until(t, "a peer sends", func(p api.Progress) bool { return p.Peers > 0 })
	slower := api.TransferLimits{Down: tight / 2}
	second := get(t, b, api.GetRequest{Link: limited.Link, Dir: dir, Limits: &slower})
	second.until(t, "a peer sends", func(p api.Progress) bool { return p.Peers > 0 })
	if all := transfers(t, b); len(all) != 1 || all[0].TransferLimits != slower {
		t.Errorf("in force: %+v", all)
	}
	second.pause(t)
	if all := transfers(t, b); len(all) != 1 || all[0].TransferLimits != slow {
		t.Errorf("in force once the second is left: %+v", all)
	}
	third := get(t, b, api.GetRequest{Link: limited.Link, Dir: dir, Limits: &api.TransferLimits{}}) // off
	third.done(t)
	first.done(t)
	if all := transfers(t, b); len(all) != 0 {
		t.Errorf("in force at the end: %+v", all)
	}
}

// A limit of a get holds for that alone: another one from the same peer ends meanwhile.
func TestGetLimit(t *testing.T) {
	for _, limits := range []api.TransferLimits{{Down: tight}, {PeerDown: tight}} {
		a, _ := startNode(t, t.TempDir())
		b, _ := startNode(t, t.TempDir(), a)
		limited, free := limitedPair(t, a, nil)
		dir := t.TempDir()
		g := get(t, b, api.GetRequest{Link: limited.Link, Dir: dir, Limits: &limits})
		g.until(t, "a peer sends", func(p api.Progress) bool { return p.Peers > 0 })
		if all := transfers(t, b); len(all) != 1 || all[0].Source != api.LimitGet || all[0].TransferLimits != limits || all[0].CID != limited.CID {
			t.Errorf("in force: %+v", all)
		}
		if _, err := b.Get(t.Context(), api.GetRequest{Link: free.Link, Dir: dir}, nil); err != nil {
			t.Fatal(err)
		}
		g.unfinished(t)
		g.pause(t)
		if all := transfers(t, b); len(all) != 0 {
			t.Errorf("still in force: %+v", all)
		}
		atRest(t, b, limited.CID)
		if _, err := b.Get(t.Context(), api.GetRequest{Link: limited.Link, Dir: dir}, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// A daemon that goes on with a fetch after a restart keeps its limit, until a get of it says otherwise, or it is over.
func TestGetLimitAfterARestart(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	home := t.TempDir()
	b, stop := startNode(t, home, a)
	limited, _ := limitedPair(t, a, nil)
	limits := api.TransferLimits{Down: tight}
	req := api.GetRequest{Link: limited.Link, Dir: t.TempDir(), Limits: &limits}
	g := get(t, b, req)
	g.until(t, "a peer sends", func(p api.Progress) bool { return p.Peers > 0 })
	stop()
	<-g.over
	b, stop = startNode(t, home, a)
	if all := transfers(t, b); len(all) != 1 || all[0].Source != api.LimitGet || all[0].TransferLimits != limits || all[0].CID != limited.CID {
		t.Errorf("in force: %+v", all)
	}
	req.Limits = nil
	g = get(t, b, req)
	g.until(t, "a peer sends", func(p api.Progress) bool { return p.Peers > 0 })
	if all := transfers(t, b); len(all) != 1 {
		t.Errorf("in force for a get that says nothing: %+v", all)
	}
	g.unfinished(t)
	req.Limits = &api.TransferLimits{}
	if _, err := b.Get(t.Context(), req, nil); err != nil {
		t.Fatal(err)
	}
	g.done(t)
	if all := transfers(t, b); len(all) != 0 {
		t.Errorf("still in force: %+v", all)
	}
	stop()
	b, _ = startNode(t, home, a)
	if all := transfers(t, b); len(all) != 0 {
		t.Errorf("in force again: %+v", all)
	}
}

// A limit of a share holds for what is sent of it, after a restart too, until it is shared with another.
func TestShareLimit(t *testing.T) {
	home := t.TempDir()
	a, stop := startNode(t, home)
	limits := api.TransferLimits{Up: tight}
	limited, free := limitedPair(t, a, &limits)
	stop()
	a, _ = startNode(t, home)
	list, err := a.List(t.Context())
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	for _, s := range list {
		if has := s.Limits != nil && *s.Limits == limits; has != (s.CID == limited.CID) {
			t.Errorf("%s: %+v", s.Name, s.Limits)
		}
	}
	b, _ := startNode(t, t.TempDir(), a)
	dir := t.TempDir()
	g := get(t, b, api.GetRequest{Link: limited.CID, Dir: dir})
	g.until(t, "a peer sends", func(p api.Progress) bool { return p.Peers > 0 })
	if _, err := b.Get(t.Context(), api.GetRequest{Link: free.CID, Dir: dir}, nil); err != nil {
		t.Fatal(err)
	}
	g.unfinished(t)
	if _, err := a.Share(t.Context(), api.ShareRequest{Path: list[0].Path, Limits: nil}, nil); err != nil || len(transfers(t, a)) != 1 {
		t.Errorf("shared again as it is: %+v, %v", transfers(t, a), err)
	}
	for _, s := range list {
		if _, err := a.Share(t.Context(), api.ShareRequest{Path: s.Path, Limits: &api.TransferLimits{}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if all := transfers(t, a); len(all) != 0 {
		t.Errorf("lifted, but %+v", all)
	}
	g.done(t)
}

// The limit goes with the share.
func TestShareLimitEndsWithTheShare(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	limited, _ := limitedPair(t, a, &api.TransferLimits{PeerUp: tight})
	if _, err := a.Remove(t.Context(), limited.CID); err != nil {
		t.Fatal(err)
	}
	if all := transfers(t, a); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

func TestCatLimit(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	limited, free := limitedPair(t, a, nil)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	connected := make(chan struct{}, 1)
	go func() {
		_, err := b.Cat(ctx, api.CatRequest{Link: limited.Link, Limits: &api.TransferLimits{Down: tight}}, io.Discard, func(p api.Progress) {
			if p.Peers > 0 {
				select {
				case connected <- struct{}{}:
				default:
				}
			}
		})
		over <- err
	}()
	<-connected
	if all := transfers(t, b); len(all) != 1 || all[0].Source != api.LimitCat {
		t.Errorf("in force: %+v", all)
	}
	var out bytes.Buffer
	if _, err := b.Cat(t.Context(), api.CatRequest{Link: free.Link}, &out, nil); err != nil || out.Len() != 8<<20-1 {
		t.Errorf("%d bytes, %v", out.Len(), err)
	}
	select {
	case err := <-over:
		t.Errorf("it ended in spite of its limit: %v", err)
	default:
	}
	cancel()
	<-over
}

// The lesser of several limits of a root counts, and one that cannot be meant is refused.
func TestTransferLimitsAreChecked(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	path, _ := randomFile(t, t.TempDir(), "f", 1000)
	low := &api.TransferLimits{Down: 5}
	_, err := a.Share(t.Context(), api.ShareRequest{Path: path, Limits: low}, nil)
	if api.AsError(err).Code != api.Invalid {
		t.Errorf("share: %v", err)
	}
	shared := mustShare(t, a, path)
	into := filepath.Join(t.TempDir(), "g") + string(filepath.Separator)
	if _, err := a.Get(t.Context(), api.GetRequest{Link: shared.CID, Output: into, Limits: low}, nil); api.AsError(err).Code != api.Invalid {
		t.Errorf("get: %v", err)
	}
	if _, err := os.Lstat(into); err == nil {
		t.Error("a directory was made for a get that was refused")
	}
	if _, err := a.Cat(t.Context(), api.CatRequest{Link: shared.CID, Limits: low}, io.Discard, nil); api.AsError(err).Code != api.Invalid {
		t.Errorf("cat: %v", err)
	}
}

// fullDatastore has room for nothing, not even for what deletes.
type fullDatastore struct{ datastore.Batching }

func (fullDatastore) Delete(context.Context, datastore.Key) error { return store.ErrNoSpace }

// A share can be removed while the disk is full, and its limit does not come back for what is not shared.
func TestShareLimitEndsOnAFullDisk(t *testing.T) {
	root, err := cid.Decode("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyka")
	if err != nil {
		t.Fatal(err)
	}
	ds, lifted := sync.MutexWrap(datastore.NewMapDatastore()), false
	apply := func(cid.Cid, transfer.Limits) func() { return func() { lifted = true } }
	l, err := openRootLimits(ds, nil, apply)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.share(t.Context(), root, &api.TransferLimits{Up: tight}); err != nil {
		t.Fatal(err)
	}
	l.ds = fullDatastore{l.ds}
	if err := l.forget(t.Context(), root); err != nil || !lifted || l.of(root) != nil {
		t.Errorf("%v, lifted: %v, in force: %v", err, lifted, l.of(root))
	}
	for _, shared := range []bool{false, true} {
		l, err := openRootLimits(ds, func(cid.Cid) bool { return shared }, apply)
		if err != nil || (l.of(root) != nil) != shared {
			t.Errorf("started again, shared %v: %v, %v", shared, l.of(root), err)
		}
	}
}
