//go:build linux

package testnet_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"pgregory.net/rapid"

	"shoal/node/api"
	"shoal/testnet"
)

// world is what the model knows: of each peer what is on its disk, and what every root means.
type world struct {
	net   *testnet.Net
	peers []*modelPeer
	roots map[string]root
	steps []string
}

// root is what a CID means, and the name it was shared under.
type root struct {
	name string
	tree tree
}

// tree is a file or a directory with all below it, by slash path; "" is the top.
type tree map[string]item

// item is a file, a directory or a symlink. The version changes whenever somebody may have touched it.
type item struct {
	kind    byte // 'f', 'd' or 'l'
	text    string
	version int
}

func (i item) same(o item) bool { return i.kind == o.kind && i.text == o.text }

func (t tree) equal(o tree) bool {
	if len(t) != len(o) {
		return false
	}
	for path, i := range t {
		if j, ok := o[path]; !ok || !i.same(j) {
			return false
		}
	}
	return true
}

// snapshot is what lies at name.
func (t tree) snapshot(name string) tree {
	out := tree{}
	for path, i := range t {
		if path == name {
			out[""] = i
		} else if rest, ok := strings.CutPrefix(path, name+"/"); ok {
			out[rest] = i
		}
	}
	return out
}

// below lists what can be selected.
func (t tree) below() (paths []string) {
	for _, path := range sorted(t) {
		if path != "" {
			paths = append(paths, path)
		}
	}
	return paths
}

// without is a tree without names that a get left out, and what is below them.
func (t tree) without(left []api.Issue) tree {
	out := tree{}
	for path, i := range t {
		if !slices.ContainsFunc(left, func(l api.Issue) bool { return path == l.Path || strings.HasPrefix(path, l.Path+"/") }) {
			out[path] = i
		}
	}
	return out
}

// part is what a selection wants: the paths named, all below them and the directories above.
func (t tree) part(selects []string) tree {
	if len(selects) == 0 {
		return t
	}
	out := tree{}
	for path, i := range t {
		for _, s := range selects {
			if path == s || strings.HasPrefix(path, s+"/") || path == "" || strings.HasPrefix(s, path+"/") {
				out[path] = i
			}
		}
	}
	return out
}

// wrong says what is not as it should be at name, "" if everything is.
func (t tree) wrong(name string, want tree) string {
	for _, path := range sorted(want) {
		at := join(name, path)
		got, ok := t[at]
		switch {
		case !ok:
			return fmt.Sprintf("%s is missing", at)
		case !got.same(want[path]):
			return fmt.Sprintf("%s is %s, not %s", at, got.describe(), want[path].describe())
		}
	}
	return ""
}

// right is the part of want that is at name as it should be.
func (t tree) right(name string, want tree) tree {
	out := tree{}
	for path, i := range want {
		if got, ok := t[join(name, path)]; ok && got.same(i) {
			out[path] = i
		}
	}
	return out
}

func (i item) describe() string {
	if len(i.text) > 12 {
		return fmt.Sprintf("%c of %d bytes %q…", i.kind, len(i.text), i.text[:12])
	}
	return fmt.Sprintf("%c %q", i.kind, i.text)
}

// job is an unfinished get: what it may do to the disk, in the background too.
type job struct {
	req     api.GetRequest
	at      []string // where the result may lie
	selects []string
	tree    tree
	force   bool
}

func (j *job) overlaps(at []string) bool {
	for _, a := range j.at {
		for _, b := range at {
			if a == b || strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/") {
				return true
			}
		}
	}
	return false
}

// allows says whether the job may have made what is at path now of what was there.
func (j *job) allows(path string, was item, had bool, now item) bool {
	for _, at := range j.at {
		for rel, want := range j.tree {
			if join(at, rel) == path {
				return want.same(now) && (!had || j.force && was.kind != 'd')
			}
		}
	}
	return false
}

// above says whether path is a directory that a job makes on its way.
func (j *job) above(path string, now item) bool {
	return now.kind == 'd' && slices.ContainsFunc(j.at, func(at string) bool { return strings.HasPrefix(at, path+"/") })
}

// place is where a peer shares a root from, and the versions of its files when that was last known to be right.
type place struct {
	rel      string
	selects  []string
	tree     tree // what was asked for
	wide     tree // and what an unfinished get before that may have added
	partly   bool // a get left names out of it: which directories and symlinks are to be there is not recorded
	versions map[string]int
}

// modelPeer is a daemon with its user's files.
type modelPeer struct {
	*testnet.Daemon

	data    string // directory of the user's files
	disk    tree   // what is in it
	stats   map[string]stamp
	places  map[string][]*place // by root
	pending map[string]*job     // by root
	strays  []string            // unfinished files of downloads
	version int
	killed  bool // it is down on purpose
}

// stamp tells whether a file was touched since it was read.
type stamp struct {
	inode        uint64
	size         int64
	mtime, ctime int64
}

func newWorld(t *rapid.T, dir, bin string) *world {
	w := &world{net: testnet.New(testnet.Config{Dir: dir, Bin: bin, Args: []string{"--log-level", "debug"}}), roots: map[string]root{}}
	var wg sync.WaitGroup
	errs := make([]error, 3)
	start := func(i int) {
		d, err := w.net.Start(context.Background())
		errs[i] = err
		if d != nil {
			w.peers[i] = &modelPeer{
				Daemon: d, data: d.Path("data"), disk: tree{}, stats: map[string]stamp{},
				places: map[string][]*place{}, pending: map[string]*job{},
			}
		}
	}
	w.peers = make([]*modelPeer, 3)
	start(0)
	for i := 1; i < 3; i++ {
		wg.Go(func() { start(i) })
	}
	wg.Wait()
	slices.SortFunc(w.peers, func(a, b *modelPeer) int { return a.Index() - b.Index() })
	for _, p := range w.peers {
		errs = append(errs, os.Mkdir(p.data, 0o755))
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return w
}

// step notes what is done, for the report of a failure.
func (w *world) step(t *rapid.T, format string, args ...any) {
	t.Logf(format, args...)
	w.steps = append(w.steps, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// end ends all daemons and reports a sequence that failed.
func (w *world) end(t *rapid.T, report func(string)) {
	for _, p := range w.peers {
		p.Kill()
	}
	if !t.Failed() {
		return
	}
	out := "what was done until the first failure:\n" + strings.Join(w.steps, "\n")
	for _, p := range w.peers {
		out += fmt.Sprintf("\nlog of peer %d:\n%s", p.Index(), p.LogTail(150))
	}
	report(out)
}

func (w *world) running(t *rapid.T) *modelPeer {
	var up []*modelPeer
	for _, p := range w.peers {
		if p.Running() {
			up = append(up, p)
		}
	}
	if len(up) == 0 {
		t.Skip("nobody runs")
	}
	return pick(t, "peer", up)
}

// source says whether another peer that runs has what is wanted, right and untouched, and p must find it: by the link, or since they are
// connected. Two that have only met a third which is down know nothing of each other.
func (w *world) source(t *rapid.T, p *modelPeer, id string, selects []string, link string) bool {
	met, err := p.Client().Peers(context.Background())
	must(t, err)
	return slices.ContainsFunc(w.peers, func(q *modelPeer) bool {
		return q != p && q.Running() && q.clean(id, selects, w) &&
			(strings.Contains(link, q.Addrs()[0]) || slices.ContainsFunc(met, func(m api.Peer) bool { return m.ID == q.ID() }))
	})
}

// check holds after every step.
func (w *world) check(t *rapid.T) {
	for _, p := range w.peers {
		if !p.Running() && !p.killed {
			t.Fatalf("daemon %d ended by itself; its log:\n%s", p.Index(), p.LogTail(40))
		}
		p.sync(t)
		if !p.Running() {
			continue
		}
		at := map[string]string{}
		for _, s := range w.list(t, p) {
			if s.State != api.StateComplete && s.State != api.StateChanged {
				continue
			}
			if other := at[s.Path]; other != "" {
				t.Fatalf("peer %d: %s is listed as %s and as %s", p.Index(), s.Path, other, s.CID)
			}
			at[s.Path] = s.CID
		}
	}
}

func (p *modelPeer) path(rel string) string { return filepath.Join(p.data, filepath.FromSlash(rel)) }

func (p *modelPeer) rel(path string) (string, bool) {
	rel, err := filepath.Rel(p.data, path)
	return filepath.ToSlash(rel), err == nil && !strings.HasPrefix(rel, "..")
}

// object draws a top-level name that is there and that no download goes to.
func (p *modelPeer) object(t *rapid.T) string {
	var names []string
	for path := range p.disk {
		if !strings.Contains(path, "/") && !p.busy(path) {
			names = append(names, path)
		}
	}
	if len(names) == 0 {
		t.Skip("it has no files")
	}
	slices.Sort(names)
	return pick(t, "object", names)
}

// busy says whether an unfinished get may touch what is at name.
func (p *modelPeer) busy(name string) bool {
	for _, j := range p.pending {
		if j.overlaps([]string{name}) {
			return true
		}
	}
	return false
}

// begin notes what a get may do from now on.
func (p *modelPeer) begin(id string, req api.GetRequest, at []string, w *world) *job {
	j := &job{req: req, at: slices.Clone(at), selects: req.Select, tree: w.roots[id].tree.part(req.Select), force: req.Force}
	if old := p.pending[id]; old != nil { // it may be joined, widened or moved
		j.at = append(j.at, old.at...)
		j.force = j.force || old.force
		if len(old.selects) == 0 || len(j.selects) == 0 {
			j.tree, j.selects = w.roots[id].tree, nil
		} else {
			j.selects = append(slices.Clone(old.selects), j.selects...)
			j.tree = w.roots[id].tree.part(j.selects)
		}
	}
	for _, pl := range p.places[id] {
		if contains(at, pl.rel) { // the rest of what is there in part
			if len(pl.selects) == 0 || len(j.selects) == 0 {
				j.selects = nil
			} else {
				j.selects = append(slices.Clone(pl.selects), j.selects...)
			}
			j.tree = w.roots[id].tree.part(j.selects)
		}
	}
	p.pending[id] = j
	asked := *j
	asked.tree = w.roots[id].tree.part(req.Select)
	return &asked
}

// blocked says whether something that the last request may not replace is in its way, at any of its places.
func (p *modelPeer) blocked(j *job) bool {
	for _, at := range j.at {
		for rel, want := range j.tree {
			path := join(at, rel)
			got, ok := p.disk[path]
			if ok && !got.same(want) && (!j.req.Force || got.kind == 'd' || want.kind == 'd') {
				return true
			}
			for up := filepath.Dir(path); up != "."; up = filepath.Dir(up) {
				if above, ok := p.disk[up]; ok && above.kind != 'd' {
					return true
				}
			}
		}
	}
	return false
}

// shared notes that a root is shared from rel.
func (p *modelPeer) shared(id, rel string, selects, wide []string, w *world) {
	for other, list := range p.places {
		p.places[other] = slices.DeleteFunc(list, func(pl *place) bool { return pl.rel == rel })
		if len(p.places[other]) == 0 {
			delete(p.places, other)
		}
	}
	pl := &place{rel: rel, selects: selects, tree: w.roots[id].tree.part(selects), wide: w.roots[id].tree.part(wide)}
	p.places[id] = append(p.places[id], pl)
	p.seen(pl, w)
}

// knows says whether all issues are of places of the root that the model knows of. A get that was killed may have made another one.
func (p *modelPeer) knows(id string, issues []api.Issue) bool {
	for _, i := range issues {
		rel, _ := p.rel(i.Path)
		if !slices.ContainsFunc(p.places[id], func(pl *place) bool { return rel == pl.rel || strings.HasPrefix(rel, pl.rel+"/") }) {
			return false
		}
	}
	return true
}

// leave notes that a root has come to rel but for names that something else has.
func (p *modelPeer) leave(id, rel string) {
	if pl := p.placeAt(id, rel); pl != nil {
		pl.partly = true // it was there before, and what is wrong with it is known
		return
	}
	for other, list := range p.places {
		p.places[other] = slices.DeleteFunc(list, func(pl *place) bool { return pl.rel == rel })
		if len(p.places[other]) == 0 {
			delete(p.places, other)
		}
	}
}

// seen notes that a place is known to be right.
func (p *modelPeer) seen(pl *place, w *world) {
	pl.versions = map[string]int{}
	for rel := range pl.tree {
		pl.versions[rel] = p.disk[join(pl.rel, rel)].version
	}
}

// clean says whether some place of the root has what is selected, untouched since that was known.
func (p *modelPeer) clean(id string, selects []string, w *world) bool {
	return slices.ContainsFunc(p.places[id], func(pl *place) bool {
		for rel, want := range w.roots[id].tree.part(selects) {
			got, ok := p.disk[join(pl.rel, rel)]
			version, known := pl.versions[rel]
			if !ok || !known || !got.same(want) || got.kind != 'd' && got.version != version {
				return false
			}
		}
		return true
	})
}

// files is a tree without what has no bytes to verify.
func (t tree) files() tree {
	out := tree{}
	for path, i := range t {
		if i.kind == 'f' {
			out[path] = i
		}
	}
	return out
}

// placeAt is the place of a root at rel that the model knows of; nil: none.
func (p *modelPeer) placeAt(id, rel string) *place {
	for _, pl := range p.places[id] {
		if pl.rel == rel {
			return pl
		}
	}
	return nil
}

// rightPlaces tells of the places of a root at which the files are right, whether one is right in all, and what is wrong with the others.
func (p *modelPeer) rightPlaces(id string, w *world) (right []*place, whole bool, wrong []string) {
	for _, pl := range p.places[id] {
		if bad := p.disk.wrong(pl.rel, pl.wide); bad != "" {
			wrong = append(wrong, bad)
		}
		if p.disk.wrong(pl.rel, pl.tree.files()) == "" {
			right = append(right, pl)
			whole = whole || pl.partly || p.disk.wrong(pl.rel, pl.tree) == ""
		}
	}
	return right, whole, wrong
}

// sync reads the disk and fails the test if anything is there that the model does not explain.
func (p *modelPeer) sync(t *rapid.T) {
	found, stats, strays := p.scan(t)
	p.strays = strays
	for path, was := range p.disk {
		if now, ok := found[path]; !ok {
			t.Fatalf("peer %d: %s is gone", p.Index(), path)
		} else if !now.same(was) && !p.allowed(path, was, true, now) {
			t.Fatalf("peer %d: %s was %s and is %s", p.Index(), path, was.describe(), now.describe())
		}
	}
	for path, now := range found {
		was, had := p.disk[path]
		if !had && !p.allowed(path, item{}, false, now) {
			t.Fatalf("peer %d: %s has come from nowhere: %s", p.Index(), path, now.describe())
		}
		now.version = was.version
		if !had || !now.same(was) || now.kind == 'f' && stats[path].inode != p.stats[path].inode {
			p.version++
			now.version = p.version
		}
		found[path] = now
	}
	p.disk, p.stats = found, stats
}

func (p *modelPeer) allowed(path string, was item, had bool, now item) bool {
	for _, j := range p.pending {
		if j.allows(path, was, had, now) || !had && j.above(path, now) {
			return true
		}
	}
	return false
}

// scan reads all files; what was not touched since the last time is not read again.
func (p *modelPeer) scan(t *rapid.T) (found tree, stats map[string]stamp, strays []string) {
	found, stats = tree{}, map[string]stamp{}
	err := filepath.WalkDir(p.data, func(path string, e fs.DirEntry, err error) error {
		rel, _ := p.rel(path)
		switch {
		case errors.Is(err, fs.ErrNotExist): // a download in the background has moved it
			return nil
		case err != nil || rel == ".":
			return err
		case strings.Contains(rel, ".part"), strings.Contains(rel, ".shoal-probe-"):
			if len(strays) < 20 {
				strays = append(strays, rel)
			}
			return nil
		}
		i, st, err := p.read(rel, path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		found[rel], stats[rel] = i, st
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found, stats, strays
}

func (p *modelPeer) read(rel, path string) (item, stamp, error) {
	fi, err := os.Lstat(path)
	if err != nil {
		return item{}, stamp{}, err
	}
	sys := fi.Sys().(*syscall.Stat_t)
	st := stamp{inode: sys.Ino, size: fi.Size(), mtime: fi.ModTime().UnixNano(), ctime: sys.Ctim.Nano()}
	switch {
	case fi.IsDir():
		return item{kind: 'd'}, st, nil
	case fi.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(path)
		return item{kind: 'l', text: to}, st, err
	}
	if was, ok := p.disk[rel]; ok && was.kind == 'f' && p.stats[rel] == st {
		return was, st, nil
	}
	b, err := os.ReadFile(path)
	return item{kind: 'f', text: string(b)}, st, err
}

// forget takes what is at name from the model, for the user removes or replaces it.
func (p *modelPeer) forget(name string) {
	for path := range p.disk {
		if path == name || strings.HasPrefix(path, name+"/") {
			delete(p.disk, path)
		}
	}
}

// adopt takes what the user has just put at name into the model.
func (p *modelPeer) adopt(t *rapid.T, name string) {
	p.forget(name)
	found, stats, _ := p.scan(t)
	for path, i := range found {
		if path == name || strings.HasPrefix(path, name+"/") {
			p.version++
			i.version = p.version
			p.disk[path], p.stats[path] = i, stats[path]
		}
	}
}

// contents are what files may hold: few, so that the same content turns up in many places.
var contents = sync.OnceValue(func() []string {
	sizes := []int{0, 1, 100, 100, 5000, 5000, 1 << 20, 1<<20 + 1, 3<<20 + 17}
	var out []string
	for i, size := range sizes {
		b := make([]byte, size)
		rand.NewChaCha8([32]byte{byte(i)}).Read(b)
		out = append(out, string(b))
	}
	return out
})

// mkfile makes an object: a file or a tree.
func (w *world) mkfile(t *rapid.T) {
	p := pick(t, "peer", w.peers)
	name := pick(t, "object", []string{"s0", "s1", "s2"})
	if p.busy(name) {
		t.Skip("a download goes there")
	}
	w.step(t, "peer %d makes %s", p.Index(), name)
	must(t, os.RemoveAll(p.path(name)))
	if rapid.IntRange(0, 3).Draw(t, "lone") == 0 {
		must(t, os.WriteFile(p.path(name), []byte(pick(t, "content", contents())), 0o644))
	} else {
		must(t, os.MkdirAll(p.path(name), 0o755))
		pool := []string{"a", "b", "d/x", "d/y", "d/e/z", ".h", "A", "d", "link"}
		for _, path := range rapid.SliceOfNDistinct(rapid.SampledFrom(pool), 0, 6, rapid.ID).Draw(t, "paths") {
			full := p.path(name + "/" + path)
			if os.MkdirAll(filepath.Dir(full), 0o755) != nil {
				continue // d is a file
			}
			if path == "link" {
				must(t, os.Symlink("a", full))
			} else if fi, err := os.Lstat(full); err != nil || !fi.IsDir() {
				must(t, os.WriteFile(full, []byte(pick(t, "content", contents())), 0o644))
			}
		}
	}
	p.adopt(t, name)
}

// edit does to a file what people and programs do.
func (w *world) edit(t *rapid.T) {
	p := pick(t, "peer", w.peers)
	var files []string
	for path, i := range p.disk {
		if top, _, _ := strings.Cut(path, "/"); i.kind == 'f' && !p.busy(top) {
			files = append(files, path)
		}
	}
	if len(files) == 0 {
		t.Skip("it has no files")
	}
	slices.Sort(files)
	rel := pick(t, "file", files)
	how := pick(t, "how", sorted(edits))
	w.step(t, "peer %d: %s %s", p.Index(), how, rel)
	must(t, edits[how](p.path(rel), p.disk[rel].text))
	p.adopt(t, rel)
}

// editBare does to a symlink or an empty directory inside an object what people do. No content changes by that.
func (w *world) editBare(t *rapid.T) {
	p := pick(t, "peer", w.peers)
	var bare []string
	for path, i := range p.disk {
		top, _, inside := strings.Cut(path, "/")
		if inside && !p.busy(top) && (i.kind == 'l' || i.kind == 'd' && len(p.disk.snapshot(path)) == 1) {
			bare = append(bare, path)
		}
	}
	if len(bare) == 0 {
		t.Skip("it has neither")
	}
	slices.Sort(bare)
	rel := pick(t, "name", bare)
	how := pick(t, "how", []string{"deletes", "puts a file for", "puts a symlink for"})
	w.step(t, "peer %d %s %s", p.Index(), how, rel)
	must(t, os.Remove(p.path(rel)))
	switch how {
	case "puts a file for":
		must(t, os.WriteFile(p.path(rel), []byte(pick(t, "content", contents())), 0o644))
	case "puts a symlink for":
		must(t, os.Symlink("elsewhere", p.path(rel)))
	}
	p.adopt(t, rel)
}

// edits are ways to change a file.
var edits = map[string]func(path, text string) error{
	"append to": func(path, text string) error { return os.WriteFile(path, []byte(text+"more"), 0o644) },
	"cut":       func(path, text string) error { return os.Truncate(path, int64(len(text)/2)) },
	"delete":    func(path, text string) error { return os.Remove(path) },
	"touch":     func(path, text string) error { return os.Chtimes(path, time.Now(), time.Now()) },
	"overwrite in": func(path, text string) error {
		return writeAt(path, int64(len(text)/2), "edited")
	},
	"overwrite with the old time in": func(path, text string) error {
		fi, err := os.Stat(path)
		if err == nil && len(text) > 6 {
			err = writeAt(path, int64(len(text)/2), "edited")
		}
		if err == nil {
			err = os.Chtimes(path, fi.ModTime(), fi.ModTime())
		}
		return err
	},
	"replace": func(path, text string) error {
		if err := os.WriteFile(path+".new", []byte("another"), 0o644); err != nil {
			return err
		}
		return os.Rename(path+".new", path)
	},
	"copy over": func(path, text string) error { // the same content in a new file
		if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
			return err
		}
		return os.Rename(path+".new", path)
	},
}

func writeAt(path string, off int64, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(text), off)
	return closed(f, err)
}

// rename moves an object to another name.
func (w *world) rename(t *rapid.T) {
	p := pick(t, "peer", w.peers)
	from := p.object(t)
	to := pick(t, "to", []string{"s0", "s1", "s2", "m0"})
	if from == to || p.busy(to) {
		t.Skip("it cannot go there")
	}
	w.step(t, "peer %d moves %s to %s", p.Index(), from, to)
	must(t, os.RemoveAll(p.path(to)))
	must(t, os.Rename(p.path(from), p.path(to)))
	p.forget(from)
	p.adopt(t, to)
}

// remove deletes an object.
func (w *world) remove(t *rapid.T) {
	p := pick(t, "peer", w.peers)
	name := p.object(t)
	w.step(t, "peer %d deletes %s", p.Index(), name)
	must(t, os.RemoveAll(p.path(name)))
	p.forget(name)
}

// pick draws one of a list, so that the report of a failure shows which without showing all.
func pick[T any](t *rapid.T, label string, list []T) T {
	return list[rapid.IntRange(0, len(list)-1).Draw(t, label)]
}

func must(t *rapid.T, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

func join(at, rel string) string {
	if rel == "" {
		return at
	}
	return at + "/" + rel
}

func contains(list []string, s string) bool { return slices.Contains(list, s) }

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// short is enough of a CID to tell it from others.
func short(cid string) string { return cid[max(0, len(cid)-8):] }
