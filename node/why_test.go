package node

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/node/api"
	"shoal/node/store"
	"shoal/transfer"
)

// TestWhyAsksAround asks about a root that nobody fetches: who has it is asked, and nothing is fetched.
// What fails in many other ways is in package testnet.
func TestWhyAsksAround(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	path, _ := randomFile(t, t.TempDir(), "film.bin", 5<<20)
	shared := mustShare(t, a, path)
	reports := 0
	d, err := b.Why(t.Context(), api.WhyRequest{Ref: shared.Link}, func(p api.Progress) { reports++ })
	if err != nil {
		t.Fatal(err)
	}
	e := d.Evidence
	if d.Code != api.CauseReady || d.CID != shared.CID || d.Name != "film.bin" || reports == 0 {
		t.Errorf("%+v after %d reports", d, reports)
	}
	if e.State != api.StateAbsent || e.Chunks != 5 || !e.Known || e.Lost != 0 || e.Missing != 5<<20 || len(e.Peers) != 1 || !e.Peers[0].All {
		t.Errorf("evidence: %+v", e)
	}
	if list, err := b.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("something is here now: %+v, %v", list, err)
	}
}

func TestWhyOfWhatIsHere(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	path, _ := randomFile(t, t.TempDir(), "film.bin", 1<<20)
	shared := mustShare(t, a, path)
	for _, ref := range []string{shared.CID, shared.Link, "film.bin", path, "/ipfs/" + shared.CID} {
		if d, err := a.Why(t.Context(), api.WhyRequest{Ref: ref}, nil); err != nil || d.Code != api.CauseOK || d.Name != "film.bin" {
			t.Errorf("%s: %+v, %v", ref, d, err)
		}
	}
	for _, ref := range []string{"", "nothing", filepath.Join(t.TempDir(), "nothing")} {
		if _, err := a.Why(t.Context(), api.WhyRequest{Ref: ref}, nil); api.AsError(err).Code != api.NotFound && api.AsError(err).Code != api.Invalid {
			t.Errorf("%q: %v", ref, err)
		}
	}
	if d, err := a.Why(t.Context(), api.WhyRequest{Ref: "film.bin", NoDaemon: true}, nil); err != nil || d.Code != api.CauseNoDaemon {
		t.Errorf("%+v, %v", d, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Why(ctx, api.WhyRequest{Ref: "bafkreiemqpndzewx4bioklzfvhtiegsfny5fxuc3nkjk2vmcpjxiammsti"}, nil); api.AsError(err).Code != api.Canceled {
		t.Errorf("a caller who is gone: %v", err)
	}
}

func TestFailures(t *testing.T) {
	root := parseRoot(t, "bafkreiemqpndzewx4bioklzfvhtiegsfny5fxuc3nkjk2vmcpjxiammsti")
	var f failures
	f.note(root, io.EOF)
	if f.byRoot[root] != io.EOF {
		t.Errorf("%v", f.byRoot)
	}
	for _, err := range []error{nil, errPaused, fmt.Errorf("fetch: %w", context.Canceled), transfer.ErrClosed} {
		f.note(root, io.EOF)
		if f.note(root, err); f.byRoot[root] != nil {
			t.Errorf("%v is remembered as a failure", err)
		}
	}
}

// TestAFailureIsForgotten has a fetch fail, and does each thing after which that says nothing any more.
func TestAFailureIsForgotten(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	path, _ := randomFile(t, t.TempDir(), "film.bin", 1<<20)
	shared := mustShare(t, a, path)
	root := parseRoot(t, shared.CID)
	fail := func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.failures.note(root, io.EOF)
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"get", func() error {
			_, err := a.Get(t.Context(), api.GetRequest{Link: shared.CID, Dir: t.TempDir()}, nil)
			return err
		}},
		{"share", func() error { mustShare(t, a, path); return nil }},
		{"rm", func() error { _, err := a.Remove(t.Context(), shared.CID); return err }},
	} {
		fail()
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if err := a.failure(root); err != nil {
			t.Errorf("after %s: %v", step.name, err)
		}
	}
}

// TestWhyOfAFetchAfterAFailure fetches what nobody has, after a fetch that failed.
func TestWhyOfAFetchAfterAFailure(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	const ref = "bafkreiemqpndzewx4bioklzfvhtiegsfny5fxuc3nkjk2vmcpjxiammsti"
	root := parseRoot(t, ref)
	a.mu.Lock()
	a.failures.note(root, io.EOF)
	a.mu.Unlock()
	f, err := a.startOrJoin(store.Target{Root: root, Dir: t.TempDir()}, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.leave()
	if d, err := a.Why(t.Context(), api.WhyRequest{Ref: ref, Timeout: 0.1}, nil); err != nil || d.Evidence.Error != nil || d.Code == api.CauseFailed {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestWhoLeadsInNeedNotSwap dials two peers that are to lead into the network: one is other software, one is not there.
func TestWhoLeadsInNeedNotSwap(t *testing.T) {
	n, _ := startNode(t, t.TempDir())
	h, gone := bareHost(t), bareHost(t)
	lead := []peer.AddrInfo{{ID: h.ID(), Addrs: h.Addrs()}, {ID: gone.ID(), Addrs: gone.Addrs()}}
	gone.Close()
	e := evidence(func(e *api.Evidence) {
		e.State, e.Connected = api.StateAbsent, 0
		e.Bootstrap = []api.Suspect{{ID: h.ID().String()}, {ID: gone.ID().String()}}
	})
	q := &inquiry{n: n}
	q.leadIn(t.Context(), lead, &e)
	if b := e.Bootstrap; !b[0].Connected || b[0].Trouble != "" || b[1].Connected || b[1].Trouble != api.CauseRefused || e.Connected != 1 {
		t.Errorf("%d connected, bootstrap peers: %+v", e.Connected, e.Bootstrap)
	}
	if code := diagnose(e)[0].Code; code != api.CauseStarting {
		t.Errorf("the cause is %s", code)
	}
}

// TestProbeWalksWhatIsHere: that takes no time but the caller's, and none of what peers may send.
func TestProbeWalksWhatIsHere(t *testing.T) {
	n, _ := startNode(t, t.TempDir())
	path, _ := randomFile(t, t.TempDir(), "film.bin", 5<<20)
	root := parseRoot(t, mustShare(t, n, path).CID)
	p, err := n.newProbe(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if leaves, all := p.Leaves(); p.Nodes() != 1 || leaves != 5 || !all || p.bytes != 0 {
		t.Errorf("%d nodes with %d leaves, all %v; %d bytes of peers", p.Nodes(), leaves, all, p.bytes)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if p, err := n.newProbe(ctx, root); err != nil || p.Nodes() != 0 {
		t.Errorf("after the end: %+v, %v", p, err)
	}
}

func parseRoot(t *testing.T, s string) cid.Cid {
	t.Helper()
	c, err := cid.Decode(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
