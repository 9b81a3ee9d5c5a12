package node

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/node/api"
	"shoal/transfer"
)

// Cat writes a file, or a range of it, to w while it is fetched.
func (n *Node) Cat(ctx context.Context, req api.CatRequest, w io.Writer, progress func(api.Progress)) (api.CatResult, error) {
	start := time.Now()
	if err := req.Check(); err != nil {
		return api.CatResult{}, err
	}
	rng, err := api.ParseRange(req.Range)
	if err != nil {
		return api.CatResult{}, err
	}
	if err := checkTransfer(req.Limits); err != nil {
		return api.CatResult{}, err
	}
	f, err := n.openFile(ctx, req.Link, req.Limits)
	if err != nil {
		return api.CatResult{}, err
	}
	defer f.Close()
	stop := f.reports(progress)
	defer stop()
	first, count, err := f.seekRange(ctx, rng)
	if err != nil {
		return api.CatResult{}, n.catError(ctx, err)
	}
	written, err := f.WriteTo(w)
	if err != nil {
		return api.CatResult{}, n.catError(ctx, err)
	}
	if written != count {
		return api.CatResult{}, io.ErrUnexpectedEOF
	}
	f.Close() // then the numbers are final
	r := f.result(start)
	r.First, r.Bytes = first, written
	return r, nil
}

// Open opens a file for reading: any form of link, or the name of a share and a path
// in it. It returns when the file's size is known. What is here is read from here,
// the rest is fetched as the reader comes to it, a window ahead, and not kept. Codes:
// as for Cat. Cancelling ctx ends the reading too; Close must be called.
func (n *Node) Open(ctx context.Context, ref string) (*File, error) {
	f, err := n.openFile(ctx, ref, nil)
	if err != nil {
		return nil, err
	}
	if err := f.ready(ctx); err != nil {
		f.Close()
		return nil, n.catError(ctx, err)
	}
	return f, nil
}

// openFile starts looking for a file.
func (n *Node) openFile(ctx context.Context, ref string, limits *api.TransferLimits) (*File, error) {
	if err := n.online(); err != nil {
		return nil, err
	}
	link, err := n.catRef(ref)
	if err != nil {
		return nil, err
	}
	hints, err := n.hintsOf(link)
	if err != nil {
		return nil, err
	}
	n.named.add(hints)
	f, err := newFile(n, link, hints)
	if err != nil {
		return nil, userError(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running == nil || n.running.Err() != nil {
		return nil, api.Errorf(api.Stopped, "the node is not running")
	}
	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(n.running, cancel)
	f.cancel = func() { unhook(); cancel() }
	lift := n.rooted.during(link.Root, api.LimitCat, limits)
	n.active.Go(func() {
		defer close(f.over)
		defer lift()
		f.fail(f.run(ctx))
	})
	return f, nil
}

// seekRange goes to where a range begins and sets where it ends.
func (f *File) seekRange(ctx context.Context, r api.Range) (first, count int64, err error) {
	if err := f.ready(ctx); err != nil {
		return 0, 0, err
	}
	if first, count, err = r.Of(f.Size()); err != nil {
		return 0, 0, err
	}
	f.Limit(first + count)
	_, err = f.Seek(first, io.SeekStart)
	return first, count, err
}

// catError tells why reading ended, in words for the caller.
func (n *Node) catError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !n.runs() || errors.Is(err, transfer.ErrClosed):
		return api.Errorf(api.Stopped, "the daemon stopped (%w)", err)
	}
	return userError(err)
}

// reports passes progress on until the returned function is called.
func (f *File) reports(progress func(api.Progress)) (stop func()) {
	if progress == nil {
		return func() {}
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(reportEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				progress(f.explained())
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

// explained is progress, with what the reader waits for.
func (f *File) explained() api.Progress {
	p := f.progress()
	f.mu.Lock()
	waits, stats, found := f.session && f.waiting, f.stats, make(map[peer.ID][]string, len(f.met))
	for id := range f.met {
		found[id] = nil
	}
	f.mu.Unlock()
	if waits {
		wait(&p, f.n.waitsFor(stats, found))
	}
	return p
}

// progress is a snapshot for whoever watches.
func (f *File) progress() api.Progress {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := api.Progress{
		State: api.StateFetching, CID: f.link.Root.String(), Name: f.title(),
		Bytes: f.passed, Peers: len(f.stats.Peers), Found: len(f.met), Rate: f.stats.Rate,
	}
	if f.finder.found() {
		p.Total = min(f.limit, max(f.size, 0)) - f.begin
	}
	switch waits := f.session && f.waiting; {
	case waits && len(f.stats.Peers) == 0 && len(f.met) == 0:
		p.State, p.Message = api.StateSearching, "nobody who has it is found yet; still looking"
	case waits && len(f.stats.Peers) == 0 && f.stats.Relayed > 0:
		p.State, p.Message = api.StateSearching, relayedMessage
	case waits && len(f.stats.Peers) == 0:
		p.State, p.Message = api.StateSearching, "found somebody who has it; not connected yet"
	case waits && f.stats.Rate == 0 && f.stats.Bytes > 0:
		p.State, p.Message = api.StateStalled, "connected peers send nothing right now"
	}
	if p.Rate > 0 && p.Total > p.Bytes {
		p.ETA = float64(p.Total-p.Bytes) / p.Rate
	}
	return p
}

func (f *File) result(start time.Time) api.CatResult {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := api.CatResult{
		CID: f.link.Root.String(), Path: f.finder.want, Size: f.size, Had: f.had,
		Seconds: time.Since(start).Seconds(), From: map[string]int64{},
	}
	for id, bytes := range f.stats.From {
		r.From[id.String()] = bytes
	}
	if !f.firstAt.IsZero() {
		r.FirstByte = f.firstAt.Sub(start).Seconds()
	}
	return r
}

// findPeers feeds a stream: the hints of the link, and whoever turns up.
func (f *File) findPeers(ctx context.Context, peers chan<- peer.AddrInfo) {
	defer close(peers)
	wanted := f.n.named.wants()
	defer wanted.end()
	give := func(p peer.AddrInfo) {
		if f.n.rules.refusal(p.ID) != "" {
			return
		}
		wanted.add(p.ID)
		f.mu.Lock()
		f.met[p.ID] = true
		f.mu.Unlock()
		select {
		case peers <- p:
		case <-ctx.Done():
		}
	}
	for _, p := range f.hints {
		give(p)
	}
	for found := range f.n.dht.Find(ctx, f.link.Root) {
		give(found.Peer)
	}
}
