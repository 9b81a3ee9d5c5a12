package node

import (
	"context"
	"errors"
	"time"

	"shoal/node/api"
	"shoal/node/store"
)

// reportEvery is how often a caller of Get hears of its progress.
const reportEvery = 200 * time.Millisecond

// Get fetches a root, or the selected part of it, and waits until it is whole.
func (n *Node) Get(ctx context.Context, req api.GetRequest, progress func(api.Progress)) (api.GetResult, error) {
	start := time.Now()
	if err := req.Check(); err != nil {
		return api.GetResult{}, err
	}
	if err := checkTransfer(req.Limits); err != nil {
		return api.GetResult{}, err
	}
	if err := n.online(); err != nil {
		return api.GetResult{}, err
	}
	target, hints, err := n.target(req)
	if err != nil {
		return api.GetResult{}, err
	}
	if hints, err = n.welcome(hints); err != nil {
		return api.GetResult{}, err
	}
	lift, err := n.rooted.get(ctx, target.Root, req.Limits)
	if err != nil {
		return api.GetResult{}, userError(err)
	}
	defer func() {
		if err := lift(n.runs()); err != nil {
			n.log.Warn("the limit of a fetch that is over is still kept", "root", target.Root, "err", err)
		}
	}()
	n.named.add(hints)
	enough := target.Select // of a fetch that was for more before this request came
	for {
		f, err := n.join(ctx, target, hints, progress)
		if err != nil {
			return api.GetResult{}, err
		}
		part, err := f.wait(ctx, enough, n.explained(f, progress))
		switch {
		case err == nil && part != nil:
			r := f.result(start, *part)
			r.GoesOn = f.leave()
			return r, nil
		case err == nil && errors.Is(f.err, errAdjusted): // another caller wants more of it: that brings this too, to its place
			enough = nil
		case err == nil && f.err == nil:
			if _, err := n.store.Match(target); err != nil {
				f.leave()
				return api.GetResult{}, userError(err)
			}
			r := f.result(start, f.share.Asked(target.Select))
			if !r.Unfinished { // else it is called NAME.part until it is whole
				r.Renamed = append(renamed(req, r.Path), r.Renamed...)
			}
			f.leave()
			return r, nil
		case err == nil:
			err = n.fetchError(f.err)
			fallthrough
		default:
			f.leave()
			return api.GetResult{}, err
		}
	}
}

// wait passes progress on until the fetch is over or the caller leaves. part: it is for more than enough, and that is there.
func (f *fetch) wait(ctx context.Context, enough []string, progress func(api.Progress)) (part *store.Share, err error) {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case <-f.done:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
			if part, err := f.part(ctx, enough); part != nil || err != nil {
				return part, err
			}
			if progress != nil {
				progress(f.progress())
			}
		}
	}
}

// part is what selects ask for, once all of that is there of a fetch that goes on for more; else nil.
func (f *fetch) part(ctx context.Context, selects []string) (*store.Share, error) {
	f.mu.Lock()
	d := f.d
	f.mu.Unlock()
	if d == nil || len(selects) == 0 || len(f.target.Select) == len(selects) {
		return nil, nil
	}
	sh, whole, err := d.PartOf(ctx, selects)
	if !whole {
		return nil, err
	}
	return &sh, nil
}

// explained has progress hear what the fetch waits for, too.
func (n *Node) explained(f *fetch, progress func(api.Progress)) func(api.Progress) {
	if progress == nil {
		return nil
	}
	return func(p api.Progress) {
		if p.State == api.StateSearching || p.State == api.StateFetching || p.State == api.StateStalled {
			f.mu.Lock()
			stats, found := f.stats, cloneSources(f.found)
			f.mu.Unlock()
			wait(&p, n.waitsFor(stats, found))
		}
		progress(p)
	}
}

// progress is a snapshot for whoever watches.
func (f *fetch) progress() api.Progress {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stats
	p := api.Progress{
		State: f.state, CID: f.target.Root.String(), Name: f.target.Name,
		Bytes: f.copied, Total: s.Total, Chunks: int64(s.Have),
		Peers: len(s.Peers), Found: len(f.found), Rate: s.Rate,
	}
	if f.d != nil {
		name, size, files := f.d.Summary()
		if name != "" {
			p.Name = name
		}
		p.Bytes, p.Total, p.Files = f.d.HaveBytes(), max(p.Total, size), int64(files)
	}
	if f.state == api.StateChecking {
		p.Bytes = f.checked
	}
	if p.Rate > 0 && p.Total > p.Bytes {
		p.ETA = float64(p.Total-p.Bytes) / p.Rate
	}
	switch {
	case f.state == api.StateSearching && len(f.found) == 0:
		p.Message = "nobody who has it is found yet; still looking"
	case f.state == api.StateSearching && s.Relayed > 0:
		p.Message = relayedMessage
	case f.state == api.StateSearching:
		p.Message = "found somebody who has it; not connected yet"
	case f.state == api.StateFetching && s.Rate == 0 && s.Bytes > 0:
		p.State, p.Message = api.StateStalled, "connected peers send nothing right now"
	}
	return p
}

func (f *fetch) result(start time.Time, share store.Share) api.GetResult {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := api.GetResult{
		CID: share.Root.String(), Path: share.Path,
		Size: share.HaveBytes, Files: int64(share.Files),
		Seconds: time.Since(start).Seconds(), From: map[string]int64{}, Unfinished: share.Part,
		Had: max(0, share.HaveBytes-f.stats.Bytes), Duplicate: f.stats.Duplicate, Corrupt: f.stats.Corrupt,
	}
	for _, x := range share.Renames[:min(len(share.Renames), api.MaxListed)] {
		r.Renamed = append(r.Renamed, api.Renamed{From: x.From, To: x.To})
	}
	r.LeftCount, r.Replaceable = int64(share.LeftN), int64(share.Replaceable)
	for _, l := range share.Left {
		code := api.Exists
		if l.Renamable {
			code = api.Unsupported
		}
		r.Left = append(r.Left, api.Issue{Path: l.Path, Code: code, Reason: l.Why})
	}
	for id, bytes := range f.stats.From {
		r.From[id.String()] = bytes
	}
	if first := f.stats.FirstByte; !first.IsZero() {
		r.FirstByte = first.Sub(start).Seconds()
	}
	return r
}

// fetchError tells why a fetch ended, in words for the caller.
func (n *Node) fetchError(err error) error {
	switch {
	case errors.Is(err, errRemoved):
		return api.Errorf(api.Stopped, "the download was removed meanwhile, by `shoal rm`").WithHint("The same command fetches it anew.")
	case errors.Is(err, errPaused):
		return api.Errorf(api.Stopped, "the fetch was paused").WithHint("The same command resumes it.")
	case !n.runs(): // which part fails first then is chance
		return api.Errorf(api.Stopped, "the daemon stopped (%w)", err).WithHint("The fetch goes on when it starts again.")
	}
	return userError(err)
}
