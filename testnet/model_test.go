//go:build linux

package testnet_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"shoal/node/api"
	"shoal/testnet"
)

var modelSequences = flag.Int("model.sequences", 12, "random sequences that TestModel does")

// Bounds of one call: what has a source must end well within the first; what has none is given up after the second.
const (
	modelPatience   = 40 * time.Second
	modelImpatience = 250 * time.Millisecond
)

// TestModel does random things with three daemons and their users' files, and compares what is on the disks with a simple model
// (modelworld_test.go) after each: a get that succeeds gives every byte, nothing outside of a share is touched, nothing is replaced
// without Force, what is right is never called wrong nor what is wrong right, a get from somebody who has it all ends, nobody crashes.
//
// A failure prints the -rapid.seed that replays it. The full run is `go test ./testnet -run TestModel -model.sequences 2000 -timeout 2h`.
func TestModel(t *testing.T) {
	big(t)
	const workers = 2
	set := func(name, value string) {
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	set("rapid.checks", strconv.Itoa(max(1, *modelSequences/workers)))
	set("rapid.steps", "12")
	set("rapid.shrinktime", "60s")
	set("rapid.nofailfile", "true")
	bin := os.Getenv(testnet.BinaryEnv)
	for i := range workers {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			failed := false
			rapid.Check(t, func(rt *rapid.T) {
				defer func() { failed = failed || rt.Failed() }()
				sequence(rt, bin, func(report string) {
					if !failed { // rapid shows the last run of a failure; one that does not repeat is in this one alone
						t.Log(report)
					}
				})
			})
		})
	}
}

// sequence is one random sequence. If it fails, it reports what was done and what the daemons have logged.
func sequence(t *rapid.T, bin string, report func(string)) {
	dir, err := os.MkdirTemp(memoryDir(), "shoal-model")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	w := newWorld(t, dir, bin)
	defer w.end(t, report)
	w.mkfile(t)
	w.share(t)
	t.Repeat(map[string]func(*rapid.T){
		"":         w.check,
		"make":     w.mkfile,
		"edit":     w.edit,
		"edit 2":   w.edit,
		"bare":     w.editBare,
		"rename":   w.rename,
		"delete":   w.remove,
		"share":    w.share,
		"share 2":  w.share,
		"get":      w.get,
		"get 2":    w.get,
		"get 3":    w.get,
		"pause":    w.pause,
		"kill get": w.killGet,
		"restart":  w.restart,
		"kill":     w.kill,
		"unshare":  w.unshare,
		"limit":    w.limit,
		"verify":   w.verify,
	})
	w.finish(t)
}

// memoryDir is a directory in memory, where there is one.
func memoryDir() string {
	if fi, err := os.Stat("/dev/shm"); err == nil && fi.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// share shares an object of a peer.
func (w *world) share(t *rapid.T) {
	p := w.running(t)
	name := p.object(t)
	before := p.disk.snapshot(name)
	res, err := p.Client().Share(context.Background(), api.ShareRequest{Path: p.path(name)}, nil)
	w.said(t, err)
	if err != nil {
		t.Fatalf("peer %d: share %s: %v", p.Index(), name, err)
	}
	w.step(t, "peer %d shares %s as %s", p.Index(), name, short(res.CID))
	if was, ok := w.roots[res.CID]; ok && !was.tree.equal(before) {
		t.Fatalf("peer %d: sharing %s gives %s, which is something else", p.Index(), name, res.CID)
	}
	for id, r := range w.roots {
		if id != res.CID && r.tree.equal(before) {
			t.Fatalf("peer %d: sharing %s gives %s, and gave %s before", p.Index(), name, res.CID, id)
		}
	}
	w.roots[res.CID] = root{name: name, tree: before}
	p.shared(res.CID, name, nil, nil, w)
}

// request draws what to fetch, whereto.
func (w *world) request(t *rapid.T) (p *modelPeer, id string, req api.GetRequest, at []string) {
	p = w.running(t)
	if len(w.roots) == 0 {
		t.Skip("nothing is shared")
	}
	id = pick(t, "root", sorted(w.roots))
	r := w.roots[id]
	req = api.GetRequest{Link: w.link(t, id), Dir: p.data, Force: rapid.IntRange(0, 3).Draw(t, "force") == 0}
	at = []string{r.name}
	if to := pick(t, "dest", []string{"", "g0", "g1", "s0", "s1"}); to != "" {
		req.Output, at = p.path(to), []string{to, to + "/" + r.name}
	}
	if inside := r.tree.below(); len(inside) > 0 && rapid.IntRange(0, 3).Draw(t, "part") == 0 {
		req.Select = []string{pick(t, "select", inside)}
	}
	for other, job := range p.pending {
		if other != id && job.overlaps(at) {
			t.Skip("another fetch goes there")
		}
	}
	return p, id, req, at
}

// link is a link to a root: with the addresses of those who have it, or bare.
func (w *world) link(t *rapid.T, id string) string {
	link := "ipfs://" + id + "?filename=" + w.roots[id].name
	if rapid.Bool().Draw(t, "hints") {
		for _, p := range w.peers {
			if p.Running() && len(p.places[id]) > 0 {
				for _, a := range p.Addrs() {
					link += "&provider=" + a
				}
			}
		}
	}
	return link
}

// get fetches, and must succeed where somebody who runs has it.
func (w *world) get(t *rapid.T) {
	p, id, req, at := w.request(t)
	source := w.source(t, p, id, req.Select, req.Link)
	within := modelImpatience
	if source {
		within = modelPatience
	}
	w.step(t, "peer %d gets %s to %v, select %v, force %v; a source is there: %v", p.Index(), short(id), at, req.Select, req.Force, source)
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	job := p.begin(id, req, at, w)
	res, err := p.Client().Get(ctx, req, nil)
	w.judge(t, p, id, job, res, err, source)
}

// judge compares the end of a get with what is on the disk.
func (w *world) judge(t *rapid.T, p *modelPeer, id string, job *job, res api.GetResult, err error, source bool) {
	w.said(t, err)
	p.sync(t)
	if err == nil && res.Unfinished {
		w.judgePart(t, p, id, job, res)
		return
	}
	if err == nil {
		rel, ok := p.rel(res.Path)
		if !ok || !contains(job.at, rel) {
			t.Fatalf("peer %d: the result is said to lie at %s; asked for was one of %v", p.Index(), res.Path, job.at)
		}
		want := job.tree.without(res.Left)
		if wrong := p.disk.wrong(rel, want); wrong != "" {
			t.Fatalf("peer %d: get of %s to %s succeeded, and yet %s", p.Index(), id, rel, wrong)
		}
		delete(p.pending, id)
		if res.LeftCount > 0 {
			if !p.blocked(job) {
				t.Fatalf("peer %d: get of %s to %s leaves out %+v, and nothing is in their way", p.Index(), id, rel, res.Left)
			}
			w.step(t, "  and has it at %s, but for %d names", rel, res.LeftCount)
			p.leave(id, rel)
			return
		}
		w.step(t, "  and has it at %s", rel)
		p.shared(id, rel, job.req.Select, job.selects, w)
		return
	}
	e := api.AsError(err)
	w.step(t, "  and hears: %s: %s", e.Code, e.Message)
	blocked := p.blocked(job)
	switch e.Code {
	case api.Exists:
		if !blocked {
			t.Fatalf("peer %d: get to %v is refused, and nothing is in its way: %v", p.Index(), job.at, err)
		}
	case api.Conflict, api.Internal, api.Invalid, api.NotFound:
		if !blocked {
			t.Fatalf("peer %d: get to %v: %s: %v", p.Index(), job.at, e.Code, err)
		}
	default:
		if source && !blocked {
			t.Fatalf("peer %d: get of %s from a source that has it: %s: %v (%s)", p.Index(), id, e.Code, err, e.Hint)
		}
	}
}

// judgePart looks at what a get found of less than an unfinished one is for: its files are whole where it says, and that goes on.
func (w *world) judgePart(t *rapid.T, p *modelPeer, id string, job *job, res api.GetResult) {
	t.Logf("  and has that much at %s", res.Path)
	for rel, want := range w.roots[id].tree.part(job.req.Select) {
		if want.kind != 'f' || len(want.text) == 0 {
			continue
		}
		if got, err := os.ReadFile(filepath.Join(res.Path, rel)); err != nil || string(got) != want.text {
			t.Fatalf("peer %d: get of a part of %s succeeded, and yet %s holds %d bytes, not the right %d (%v)", p.Index(), id, rel, len(got), len(want.text), err)
		}
	}
}

// pause begins a get and leaves it.
func (w *world) pause(t *rapid.T) {
	p, id, req, at := w.request(t)
	after := time.Duration(rapid.IntRange(0, 30000).Draw(t, "µs")) * time.Microsecond
	w.step(t, "peer %d gets %s to %v, select %v, force %v, for %s", p.Index(), short(id), at, req.Select, req.Force, after)
	ctx, cancel := context.WithTimeout(context.Background(), after)
	defer cancel()
	job := p.begin(id, req, at, w)
	res, err := p.Client().Get(ctx, req, nil)
	w.judge(t, p, id, job, res, err, false)
}

// killGet kills a daemon while it fetches, and starts it again.
func (w *world) killGet(t *rapid.T) {
	p, id, req, at := w.request(t)
	after := time.Duration(rapid.IntRange(0, 30000).Draw(t, "µs")) * time.Microsecond
	w.step(t, "peer %d gets %s to %v, select %v, force %v, and is killed after %s", p.Index(), short(id), at, req.Select, req.Force, after)
	p.begin(id, req, at, w)
	ended := make(chan error, 1)
	go func() {
		_, err := p.Client().Get(context.Background(), req, nil)
		ended <- err
	}()
	select {
	case <-ended:
	case <-time.After(after):
		p.Kill()
		<-ended
	}
	p.Kill()
	w.start(t, p)
	p.sync(t)
}

// restart ends a daemon and starts it again.
func (w *world) restart(t *rapid.T) {
	p := w.running(t)
	w.step(t, "peer %d restarts", p.Index())
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	w.start(t, p)
}

// kill ends a daemon as a crash does, or starts it where it is ended.
func (w *world) kill(t *rapid.T) {
	p := pick(t, "peer", w.peers)
	if p.Running() {
		w.step(t, "peer %d is killed", p.Index())
		p.Kill()
		p.killed = true
		return
	}
	w.step(t, "peer %d starts", p.Index())
	w.start(t, p)
}

func (w *world) start(t *rapid.T, p *modelPeer) {
	p.killed = false
	if err := p.Restart(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// unshare ends a share or a download; the files stay.
func (w *world) unshare(t *rapid.T) {
	p := w.running(t)
	shares := w.list(t, p)
	if len(shares) == 0 {
		t.Skip("it shares nothing")
	}
	s := pick(t, "share", shares)
	w.step(t, "peer %d removes %s", p.Index(), short(s.CID))
	_, err := p.Client().Remove(context.Background(), s.CID)
	w.said(t, err)
	if err != nil && api.AsError(err).Code != api.NotFound { // a download that failed may have gone since
		t.Fatalf("peer %d: remove %s: %v", p.Index(), s.CID, err)
	}
	p.sync(t)
	delete(p.places, s.CID)
	delete(p.pending, s.CID)
}

func (w *world) limit(t *rapid.T) {
	p := w.running(t)
	up := int64(pick(t, "up", []int{0, 2 << 20, 20 << 20}))
	down := int64(pick(t, "down", []int{0, 2 << 20, 20 << 20}))
	w.step(t, "peer %d limits itself to %d up and %d down", p.Index(), up, down)
	if _, err := p.Client().SetLimits(context.Background(), api.LimitRequest{Up: &up, Down: &down}); err != nil {
		t.Fatal(err)
	}
}

// verify checks a share, and compares the verdict with the truth.
func (w *world) verify(t *rapid.T) {
	p := w.running(t)
	full := rapid.Bool().Draw(t, "full")
	var done []api.Share
	for _, s := range w.list(t, p) {
		if s.State == api.StateComplete || s.State == api.StateChanged {
			done = append(done, s)
		}
	}
	if len(done) == 0 {
		t.Skip("it shares nothing")
	}
	s := pick(t, "share", done)
	w.verifyOne(t, p, s, full)
}

func (w *world) verifyOne(t *rapid.T, p *modelPeer, s api.Share, full bool) {
	res, err := p.Client().Verify(context.Background(), api.VerifyRequest{Ref: s.CID, Full: full}, nil)
	w.said(t, err)
	if err != nil {
		t.Fatalf("peer %d: verify %s: %v", p.Index(), s.CID, err)
	}
	w.step(t, "peer %d verifies %s, full %v: ok %v", p.Index(), short(s.CID), full, res.OK)
	if len(p.places[s.CID]) == 0 {
		return // of what was left out the model knows nothing
	}
	right, whole, wrong := p.rightPlaces(s.CID, w)
	switch {
	case res.OK && !whole:
		t.Fatalf("peer %d: verify of %s (full: %v) says ok, and yet %s", p.Index(), s.Path, full, strings.Join(wrong, "; "))
	case !res.OK && len(wrong) == 0 && p.knows(s.CID, res.Issues):
		t.Fatalf("peer %d: verify of %s (full: %v) says it is wrong, and it is right: %+v", p.Index(), s.Path, full, res.Issues)
	}
	for _, pl := range right {
		p.seen(pl, w)
	}
	for _, after := range w.list(t, p) {
		if after.CID == s.CID && len(after.Places) > 0 {
			w.listed(t, p, after)
		}
	}
}

// listed compares what is said of a share and each of its places after verify with the truth.
func (w *world) listed(t *rapid.T, p *modelPeer, s api.Share) {
	known := 0
	together := tree{}
	for _, said := range s.Places {
		rel, _ := p.rel(said.Path)
		pl := p.placeAt(s.CID, rel)
		if pl == nil {
			continue // of what was left out, or what a killed get has made, the model knows nothing
		}
		known++
		maps.Copy(together, p.disk.right(rel, pl.wide))
		if bad := p.disk.wrong(rel, pl.tree.files()); bad != "" && said.State == api.StateComplete {
			t.Fatalf("peer %d: after verify the place %s is listed as complete, and yet %s", p.Index(), rel, bad)
		}
		if p.disk.wrong(rel, pl.wide.files()) == "" && said.State == api.StateChanged {
			t.Fatalf("peer %d: after verify the place %s is right, and it is listed as changed: %s", p.Index(), rel, said.Reason)
		}
	}
	if known < len(s.Places) || s.State != api.StateComplete || len(s.Select) > 0 {
		return
	}
	for _, path := range sorted(w.roots[s.CID].tree.files()) { // its places may complete each other
		if _, ok := together[path]; !ok {
			t.Fatalf("peer %d: after verify %s is listed as complete, and %q is right at none of its places", p.Index(), s.Path, path)
		}
	}
}

// list lists the shares of a peer, none of which may be called wrong that nobody touched.
func (w *world) list(t *rapid.T, p *modelPeer) []api.Share {
	shares, err := p.Client().List(context.Background())
	w.said(t, err)
	if err != nil {
		t.Fatalf("peer %d: list: %v", p.Index(), err)
	}
	for _, s := range shares {
		if s.State == api.StateChanged && len(p.places[s.CID]) > 0 && p.clean(s.CID, nil, w) {
			t.Fatalf("peer %d: %s is listed as changed, and nobody touched it: %s", p.Index(), s.Path, s.Reason)
		}
	}
	return shares
}

// said looks at what a person would read.
func (w *world) said(t *rapid.T, err error) {
	if err == nil {
		return
	}
	for _, bad := range []string{"panic", "goroutine", "runtime error", "nil pointer"} {
		if strings.Contains(err.Error(), bad) {
			t.Fatalf("an error that no person can read: %v", err)
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the API does not answer: %v", err)
	}
}

// dropAtEnd removes what cannot be finished.
func (w *world) dropAtEnd(t *rapid.T, p *modelPeer, id string) {
	_, err := p.Client().Remove(context.Background(), id)
	w.said(t, err)
	p.sync(t)
	delete(p.pending, id)
	delete(p.places, id)
}

// finish starts whoever is down, ends every unfinished get, and looks at everything once more.
func (w *world) finish(t *rapid.T) {
	for _, p := range w.peers {
		if !p.Running() {
			w.start(t, p)
		}
	}
	w.check(t)
	for _, p := range w.peers {
		for _, id := range sorted(p.pending) {
			job := p.pending[id]
			source := w.source(t, p, id, job.selects, job.req.Link)
			if !source {
				w.dropAtEnd(t, p, id)
				continue
			}
			w.step(t, "at the end peer %d gets %s to %v, select %v", p.Index(), short(id), job.at, job.selects)
			ctx, cancel := context.WithTimeout(context.Background(), modelPatience)
			res, err := p.Client().Get(ctx, job.req, nil)
			cancel()
			asked := *job
			asked.tree = w.roots[id].tree.part(job.req.Select)
			w.judge(t, p, id, &asked, res, err, source)
			if err != nil || res.Unfinished {
				w.dropAtEnd(t, p, id)
			}
		}
		p.sync(t)
		if len(p.strays) > 0 {
			t.Fatalf("peer %d: nothing is unfinished, and there are left %v", p.Index(), p.strays)
		}
		for _, s := range w.list(t, p) {
			if s.State == api.StateComplete || s.State == api.StateChanged {
				w.verifyOne(t, p, s, true)
			}
		}
	}
	w.check(t)
	for _, p := range w.peers {
		if err := p.Stop(); err != nil {
			t.Fatal(err)
		}
		p.killed = true
	}
}
