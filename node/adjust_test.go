package node

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"shoal/node/api"
	"shoal/node/store"
	"shoal/transfer"
)

// slowly lets n send so little that a fetch of a few MiB from it does not end by itself.
func slowly(t testing.TB, n *Node) (lift func()) {
	t.Helper()
	rate, off := int64(700_000), int64(0)
	if _, err := n.SetLimits(t.Context(), api.LimitRequest{Up: &rate}); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := n.SetLimits(t.Context(), api.LimitRequest{Up: &off}); err != nil {
			t.Fatal(err)
		}
	}
}

// getting is a Get under way.
type getting struct {
	res   api.GetResult
	err   error
	over  chan struct{}
	leave context.CancelFunc
	seen  chan api.Progress
}

func get(t testing.TB, n *Node, req api.GetRequest) *getting {
	ctx, cancel := context.WithCancel(t.Context())
	g := &getting{over: make(chan struct{}), leave: cancel, seen: make(chan api.Progress, 1)}
	go func() {
		defer close(g.over)
		g.res, g.err = n.Get(ctx, req, func(p api.Progress) {
			select {
			case g.seen <- p:
			default:
			}
		})
	}()
	t.Cleanup(func() { cancel(); <-g.over })
	return g
}

// until waits for a report that is as it should be.
func (g *getting) until(t testing.TB, what string, is func(api.Progress) bool) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		select {
		case p := <-g.seen:
			if is(p) {
				return
			}
		case <-g.over:
			t.Fatalf("ended before %s: %+v, %v", what, g.res, g.err)
		case <-late:
			t.Fatalf("not %s within a minute", what)
		}
	}
}

func (g *getting) pause(t testing.TB) {
	t.Helper()
	g.leave()
	if <-g.over; !errors.Is(g.err, context.Canceled) {
		t.Errorf("left, but %v", g.err)
	}
}

func (g *getting) done(t testing.TB) api.GetResult {
	t.Helper()
	if <-g.over; g.err != nil {
		t.Fatal(g.err)
	}
	return g.res
}

func came(p api.Progress) bool { return p.Bytes > 0 }

// atRest waits until no fetch of a root runs.
func atRest(t testing.TB, n *Node, ref string) {
	t.Helper()
	if f := n.fetching(rootOf(t, ref)); f != nil {
		<-f.done
	}
}

func rootOf(t testing.TB, ref string) cid.Cid {
	t.Helper()
	root, err := cid.Decode(ref)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// twoFiles shares a tree of two files of a few MiB.
func twoFiles(t testing.TB, n *Node) (api.ShareResult, map[string][]byte) {
	t.Helper()
	tree := filepath.Join(t.TempDir(), "tree")
	_, a := randomFile(t, tree, "a/one.bin", 3<<20+1)
	_, b := randomFile(t, tree, "b/two.bin", 2<<20+2)
	return mustShare(t, n, tree), map[string][]byte{"a/one.bin": a, "b/two.bin": b}
}

func holds(t testing.TB, path string, want []byte) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, want %d, or others (%v)", path, len(got), len(want), err)
	}
}

func noneListed(t testing.TB, n *Node) {
	t.Helper()
	if list, err := n.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("listed: %+v, %v", list, err)
	}
}

// What failed leaves nothing behind that the next request would trip over.
func TestFailedGetDoesNotPoison(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	shared, files := twoFiles(t, a)
	dir := t.TempDir()
	fails := func(req api.GetRequest, want api.Code) {
		t.Helper()
		if _, err := b.Get(t.Context(), req, nil); api.AsError(err).Code != want {
			t.Fatalf("%v, want %s", err, want)
		}
		noneListed(t, b)
	}
	fails(api.GetRequest{Link: shared.Link, Dir: dir, Select: []string{"typo"}}, api.NotFound)
	fails(api.GetRequest{Link: shared.CID + "/typo", Dir: dir}, api.NotFound)
	fails(api.GetRequest{Link: shared.Link, Output: filepath.Join(dir, "no", "such", "place")}, api.ReadOnly)
	if err := os.WriteFile(filepath.Join(dir, "mine"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	fails(api.GetRequest{Link: shared.Link, Output: filepath.Join(dir, "mine")}, api.Exists)
	holds(t, filepath.Join(dir, "mine"), []byte("mine"))
	got, err := b.Get(t.Context(), api.GetRequest{Link: shared.Link, Dir: dir, Select: []string{"b"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	holds(t, filepath.Join(got.Path, "b/two.bin"), files["b/two.bin"])
}

// A paused fetch becomes what is asked for next, and nothing comes twice.
func TestGetAdjustsAPausedFetch(t *testing.T) {
	for _, row := range []struct {
		name        string
		first, next func(r *api.GetRequest, dir string)
		want        string
	}{
		{"another -o", nil, func(r *api.GetRequest, dir string) { r.Output = filepath.Join(dir, "other") }, "other"},
		{"none after -o", func(r *api.GetRequest, dir string) { r.Output = filepath.Join(dir, "other") }, nil, "tree"},
		{"another directory", nil, func(r *api.GetRequest, dir string) { r.Dir = filepath.Join(dir, "sub") }, "sub/tree"},
		{"more of it", func(r *api.GetRequest, _ string) { r.Select = []string{"a"} }, nil, "tree"},
		{"another part too", func(r *api.GetRequest, _ string) { r.Select = []string{"a"} },
			func(r *api.GetRequest, _ string) { r.Select = []string{"b"} }, "tree"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a, _ := startNode(t, t.TempDir())
			b, _ := startNode(t, t.TempDir(), a)
			shared, files := twoFiles(t, a)
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
				t.Fatal(err)
			}
			lift := slowly(t, a)
			first := api.GetRequest{Link: shared.Link, Dir: dir}
			next := first
			if row.first != nil {
				row.first(&first, dir)
			}
			if row.next != nil {
				row.next(&next, dir)
			}
			g := get(t, b, first)
			g.until(t, "something came", came)
			g.pause(t)
			atRest(t, b, shared.CID)
			lift()
			got, err := b.Get(t.Context(), next, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got.Path != filepath.Join(dir, row.want) || got.Had == 0 {
				t.Errorf("%+v", got)
			}
			for name, data := range files {
				holds(t, filepath.Join(got.Path, name), data)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*.part")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// A request for more of what is being fetched widens that: both callers get what they asked for.
func TestGetWidensARunningFetch(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	shared, files := twoFiles(t, a)
	dir := t.TempDir()
	lift := slowly(t, a)
	first := get(t, b, api.GetRequest{Link: shared.Link, Dir: dir, Select: []string{"a"}})
	first.until(t, "something came", came)
	second := get(t, b, api.GetRequest{Link: shared.Link, Dir: dir, Select: []string{"b"}})
	second.until(t, "more is wanted", func(p api.Progress) bool { return p.Total > int64(len(files["a/one.bin"])) })
	lift()
	for _, r := range []api.GetResult{first.done(t), second.done(t)} {
		for name, data := range files {
			holds(t, filepath.Join(r.Path, name), data)
		}
	}
}

// A request for less than what a paused fetch is for fetches that alone, and keeps what has come of the rest.
func TestGetNarrowsAPausedFetch(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	shared, files := twoFiles(t, a)
	dir := t.TempDir()
	lift := slowly(t, a)
	g := get(t, b, api.GetRequest{Link: shared.Link, Dir: dir})
	g.until(t, "something came", came)
	g.pause(t)
	atRest(t, b, shared.CID)
	lift()
	if _, err := b.Get(t.Context(), api.GetRequest{Link: shared.Link, Dir: dir, Select: []string{"typo"}}, nil); api.AsError(err).Code != api.NotFound {
		t.Errorf("typo: %v", err)
	}
	atRest(t, b, shared.CID)
	part, err := b.Get(t.Context(), api.GetRequest{Link: shared.Link, Dir: dir, Select: []string{"b"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !part.Unfinished || len(part.Renamed) > 0 || part.GoesOn || part.Path != filepath.Join(dir, "tree.part") || part.Files != 1 || part.Size != int64(len(files["b/two.bin"])) {
		t.Errorf("%+v", part)
	}
	holds(t, filepath.Join(part.Path, "b/two.bin"), files["b/two.bin"])
	if list, err := b.List(t.Context()); err != nil || len(list) != 1 || list[0].State != api.StatePaused || list[0].Have >= list[0].Chunks {
		t.Errorf("%+v, %v", list, err)
	}
	got, err := b.Get(t.Context(), api.GetRequest{Link: shared.Link, Dir: dir}, nil)
	if err != nil || got.Unfinished || got.Had < part.Size {
		t.Fatalf("%+v, %v", got, err)
	}
	for name, data := range files {
		holds(t, filepath.Join(got.Path, name), data)
	}
}

// What a daemon goes on with after a restart is what was asked for last.
func TestRestartKeepsToThePartAskedFor(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	home := t.TempDir()
	b, stop := startNode(t, home, a)
	shared, files := twoFiles(t, a)
	dir := t.TempDir()
	lift := slowly(t, a)
	g := get(t, b, api.GetRequest{Link: shared.Link, Dir: dir})
	g.until(t, "something came", came)
	g.pause(t)
	atRest(t, b, shared.CID)
	part := get(t, b, api.GetRequest{Link: shared.Link, Dir: dir, Select: []string{"b"}})
	part.until(t, "something came", came)
	stop()
	<-part.over
	b, _ = startNode(t, home, a)
	lift()
	atRest(t, b, shared.CID)
	if list, err := b.List(t.Context()); err != nil || len(list) != 1 || list[0].State != api.StatePaused || list[0].Have >= list[0].Chunks {
		t.Errorf("%+v, %v", list, err)
	}
	holds(t, filepath.Join(dir, "tree.part", "b/two.bin"), files["b/two.bin"])
}

// Where a get is quicker than the node, which resumes what was under way, that get alone holds the fetch: leaving it ends it.
func TestResumeBesideAGet(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	shared, _ := twoFiles(t, a)
	slowly(t, a)
	g := get(t, b, api.GetRequest{Link: shared.Link, Dir: t.TempDir()})
	g.until(t, "something came", came)
	f := b.fetching(rootOf(t, shared.CID))
	b.resumeFetches()
	f.mu.Lock()
	holders := f.holders
	f.mu.Unlock()
	if holders != 1 || f.kept {
		t.Fatalf("%d hold it, the node too: %t", holders, f.kept)
	}
	g.pause(t)
	atRest(t, b, shared.CID)
	if list, err := b.List(t.Context()); err != nil || len(list) != 1 || list[0].State != api.StatePaused {
		t.Errorf("%+v, %v", list, err)
	}
}

// A request for less than what is being fetched ends once that has come, and the rest goes on.
func TestGetOfAPartOfARunningFetch(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	shared, files := twoFiles(t, a)
	dir := t.TempDir()
	lift := slowly(t, a)
	whole := get(t, b, api.GetRequest{Link: shared.Link, Dir: dir})
	whole.until(t, "something came", came)
	one := get(t, b, api.GetRequest{Link: shared.Link, Dir: dir, Select: []string{"a"}})
	two := get(t, b, api.GetRequest{Link: shared.Link, Dir: dir, Select: []string{"b"}})
	first, name := one, "a/one.bin"
	select {
	case <-one.over:
	case <-two.over:
		first, name = two, "b/two.bin"
	}
	if r := first.done(t); !r.Unfinished || !r.GoesOn || r.Path != filepath.Join(dir, "tree.part") || r.Size != int64(len(files[name])) {
		t.Errorf("%+v", r)
	}
	lift()
	got := whole.done(t)
	for name, data := range files {
		holds(t, filepath.Join(got.Path, name), data)
	}
}

// A path that is not in the share fails alone, whatever is under way or here: a running fetch does not even notice.
func TestTypoBesideWhatIsHere(t *testing.T) {
	for _, row := range []struct {
		name   string
		before []string // selected by the fetch that runs
		whole  bool     // it is over
	}{
		{"all is being fetched", nil, false},
		{"a part is being fetched", []string{"a"}, false},
		{"all is here", nil, true},
		{"a part is here", []string{"a"}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a, _ := startNode(t, t.TempDir())
			b, _ := startNode(t, t.TempDir(), a)
			shared, files := twoFiles(t, a)
			dir := t.TempDir()
			lift := slowly(t, a)
			if row.whole {
				lift()
			}
			first := get(t, b, api.GetRequest{Link: shared.Link, Dir: dir, Select: row.before})
			var before *fetch
			if row.whole {
				first.done(t)
			} else {
				first.until(t, "something came", came)
				before = b.fetching(rootOf(t, shared.CID))
			}
			for _, req := range []api.GetRequest{
				{Link: shared.Link, Dir: dir, Select: []string{"typo"}},
				{Link: shared.Link, Dir: dir, Select: []string{"a", "b/typo"}},
			} {
				if r, err := b.Get(t.Context(), req, nil); api.AsError(err).Code != api.NotFound || !errors.Is(err, store.ErrNoMatch) {
					t.Errorf("%q: %+v, %v", req.Select, r, err)
				}
			}
			if before != nil && b.fetching(rootOf(t, shared.CID)) != before {
				t.Error("the fetch that ran is another one")
			}
			lift()
			got := first.done(t)
			holds(t, filepath.Join(got.Path, "a/one.bin"), files["a/one.bin"])
			other := api.GetRequest{Link: shared.Link, Output: filepath.Join(dir, "other"), Select: []string{"typo"}}
			if _, err := b.Get(t.Context(), other, nil); api.AsError(err).Code != api.NotFound {
				t.Errorf("elsewhere: %v", err)
			}
			if list, err := b.List(t.Context()); err != nil || len(list) != 1 || list[0].State != api.StateComplete {
				t.Errorf("%+v, %v", list, err)
			}
		})
	}
}

// Nor does it end the fetch of others while nobody knows what the share holds.
func TestTypoBesideAnUnknownShare(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	tree := filepath.Join(t.TempDir(), "tree")
	_, one := randomFile(t, tree, "a/one.bin", 1<<20+1)
	_, two := randomFile(t, tree, "b/two.bin", 1<<20+2)
	ref := cidOf(t, tree)
	dir := t.TempDir()
	searching := func(p api.Progress) bool { return p.State == api.StateSearching && p.Message != "" }
	first := get(t, b, api.GetRequest{Link: ref, Dir: dir, Select: []string{"a"}})
	first.until(t, "searching", searching)
	before := b.fetching(rootOf(t, ref))
	typo := get(t, b, api.GetRequest{Link: ref, Dir: dir, Select: []string{"typo"}})
	typo.until(t, "searching", searching)
	more := get(t, b, api.GetRequest{Link: ref, Dir: dir, Select: []string{"b"}})
	more.until(t, "searching", searching)
	if b.fetching(rootOf(t, ref)) != before {
		t.Error("the fetch that ran is another one")
	}
	mustShare(t, a, tree)
	if <-typo.over; !errors.Is(typo.err, store.ErrNoMatch) {
		t.Errorf("%v", typo.err)
	}
	holds(t, filepath.Join(first.done(t).Path, "a/one.bin"), one)
	holds(t, filepath.Join(more.done(t).Path, "b/two.bin"), two)
}

// A request for another place waits while somebody waits for the first, and then copies.
func TestGetElsewhereWaitsAndCopies(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	path, data := randomFile(t, t.TempDir(), "film.bin", 4<<20)
	shared := mustShare(t, a, path)
	dir := t.TempDir()
	lift := slowly(t, a)
	first := get(t, b, api.GetRequest{Link: shared.CID, Output: filepath.Join(dir, "one")})
	first.until(t, "something came", came)
	second := get(t, b, api.GetRequest{Link: shared.CID, Output: filepath.Join(dir, "two")})
	second.until(t, "told why it waits", func(p api.Progress) bool { return strings.Contains(p.Message, filepath.Join(dir, "one")) })
	lift()
	first.done(t)
	if got := second.done(t); len(got.From) != 0 {
		t.Errorf("fetched again: %+v", got)
	}
	holds(t, filepath.Join(dir, "one"), data)
	holds(t, filepath.Join(dir, "two"), data)
}

// When the one that it waits for is left, it takes over what has come.
func TestGetElsewhereTakesOver(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	path, data := randomFile(t, t.TempDir(), "film.bin", 4<<20)
	shared := mustShare(t, a, path)
	dir := t.TempDir()
	lift := slowly(t, a)
	first := get(t, b, api.GetRequest{Link: shared.CID, Output: filepath.Join(dir, "one")})
	first.until(t, "something came", came)
	second := get(t, b, api.GetRequest{Link: shared.CID, Output: filepath.Join(dir, "two")})
	second.until(t, "told why it waits", func(p api.Progress) bool { return strings.Contains(p.Message, filepath.Join(dir, "one")) })
	first.pause(t)
	lift()
	if got := second.done(t); got.Had == 0 {
		t.Errorf("all was fetched again: %+v", got)
	}
	holds(t, filepath.Join(dir, "two"), data)
	if left, _ := filepath.Glob(filepath.Join(dir, "one*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What a daemon goes on with by itself goes where the next request says.
func TestGetMovesAResumedFetch(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	home := t.TempDir()
	b, stop := startNode(t, home, a)
	path, data := randomFile(t, t.TempDir(), "film.bin", 4<<20)
	shared := mustShare(t, a, path)
	dir := t.TempDir()
	lift := slowly(t, a)
	first := get(t, b, api.GetRequest{Link: shared.CID, Output: filepath.Join(dir, "one")})
	first.until(t, "something came", came)
	stop()
	if <-first.over; api.AsError(first.err).Code != api.Stopped {
		t.Errorf("%v", first.err)
	}
	b, _ = startNode(t, home, a)
	second := get(t, b, api.GetRequest{Link: shared.Link, Output: filepath.Join(dir, "two")})
	lift()
	if got := second.done(t); got.Had == 0 || got.Path != filepath.Join(dir, "two") {
		t.Errorf("%+v", got)
	}
	holds(t, filepath.Join(dir, "two"), data)
	if left, _ := filepath.Glob(filepath.Join(dir, "one*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A fetch of what nobody has stands in nobody's way.
func TestUnfoundFetchBlocksNothing(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	home := t.TempDir()
	b, stop := startNode(t, home, a)
	const nobody = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyka"
	dir := t.TempDir()
	path, data := randomFile(t, t.TempDir(), "film.bin", 1<<20)
	own := mustShare(t, b, path)
	searching := func(p api.Progress) bool { return p.State == api.StateSearching && p.Message != "" }
	works := func() {
		t.Helper()
		if _, err := b.Status(t.Context()); err != nil {
			t.Error(err)
		}
		if list, err := b.List(t.Context()); err != nil || len(list) != 2 {
			t.Errorf("%+v, %v", list, err)
		}
		if v, err := b.Verify(t.Context(), api.VerifyRequest{Ref: own.CID}, nil); err != nil || !v.OK {
			t.Errorf("%+v, %v", v, err)
		}
		copied, err := b.Get(t.Context(), api.GetRequest{Link: own.CID, Output: filepath.Join(t.TempDir(), "copy")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		holds(t, copied.Path, data)
	}
	first := get(t, b, api.GetRequest{Link: nobody, Dir: dir})
	first.until(t, "searching", searching)
	works()
	second := get(t, b, api.GetRequest{Link: nobody, Dir: dir})
	second.until(t, "searching", searching)
	first.pause(t)
	works()
	stop()
	<-second.over
	b, _ = startNode(t, home, a) // goes on with it
	works()
	third := get(t, b, api.GetRequest{Link: nobody, Output: filepath.Join(t.TempDir(), "elsewhere")})
	third.until(t, "searching", searching)
	works()
	if _, err := b.Remove(t.Context(), nobody); err != nil {
		t.Fatal(err)
	}
	<-third.over
	if list, err := b.List(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
}

// A fetch that is left before anything has come leaves nothing.
func TestUnfoundFetchLeavesNothing(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	const nobody = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyka"
	dir := t.TempDir()
	g := get(t, b, api.GetRequest{Link: nobody, Dir: dir})
	g.until(t, "searching", func(p api.Progress) bool { return p.State == api.StateSearching && p.Message != "" })
	g.pause(t)
	atRest(t, b, nobody)
	noneListed(t, b)
	if roots, err := b.dht.Provided(t.Context()); err != nil || len(roots) != 0 {
		t.Errorf("still announced: %v, %v", roots, err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What is being fetched may be shared from elsewhere: then the fetch, waiting or half done, takes the rest from there.
func TestShareOfWhatIsFetched(t *testing.T) {
	for _, row := range []struct {
		name string
		peer bool
		seen func(api.Progress) bool
	}{
		{"nobody has it", false, func(p api.Progress) bool { return p.State == api.StateSearching && p.Message != "" }},
		{"something has come", true, came},
	} {
		t.Run(row.name, func(t *testing.T) {
			a, _ := startNode(t, t.TempDir())
			home := t.TempDir()
			b, stop := startNode(t, home, a)
			own, data := randomFile(t, t.TempDir(), "own.bin", 4<<20)
			ref := cidOf(t, own)
			if row.peer {
				slowly(t, a)
				mustShare(t, a, own)
			}
			dest := filepath.Join(t.TempDir(), "copy")
			g := get(t, b, api.GetRequest{Link: ref, Output: dest})
			g.until(t, row.name, row.seen)
			stop() // so that there is one that the node goes on with by itself, too
			<-g.over
			b, _ = startNode(t, home, a)
			g = get(t, b, api.GetRequest{Link: ref, Output: dest})
			g.until(t, row.name, row.seen)
			mustShare(t, b, own)
			if got := g.done(t); got.Path != dest {
				t.Errorf("%+v", got)
			}
			holds(t, dest, data)
			if left, _ := filepath.Glob(dest + "*.part"); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// A fetch that is removed while it runs says so: nothing of it is left to resume.
func TestRemovedWhileFetched(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	path, _ := randomFile(t, t.TempDir(), "film.bin", 4<<20)
	shared := mustShare(t, a, path)
	dir := t.TempDir()
	slowly(t, a)
	g := get(t, b, api.GetRequest{Link: shared.Link, Dir: dir})
	g.until(t, "something came", came)
	if _, err := b.Remove(t.Context(), shared.CID); err != nil {
		t.Fatal(err)
	}
	<-g.over
	if e := api.AsError(g.err); e == nil || e.Code != api.Stopped || !strings.Contains(e.Message, "removed") {
		t.Errorf("%+v", g.err)
	}
	noneListed(t, b)
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What a part of a node that stops makes of a fetch is no failure of it, though the fetch has not heard of the stop yet: nothing is given up.
func TestStopGivesNothingUp(t *testing.T) {
	n, stop := startNode(t, t.TempDir())
	stop()
	err := n.givenUp(t.Context(), &fetch{}, transfer.ErrClosed, func(bool) error {
		t.Error("the download is given up")
		return nil
	})
	if !errors.Is(err, transfer.ErrClosed) {
		t.Error(err)
	}
}
