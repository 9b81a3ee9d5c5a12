package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"time"

	"shoal/chunker"

	"github.com/ipfs/go-cid"
)

// Outcome is what became of a share or download in a repair.
type Outcome string

// The outcomes.
const (
	Restored Outcome = "restored" // it is shared as it was
	Resumed  Outcome = "resumed"  // it is a download that goes on, with what is in its files
	Differs  Outcome = "changed"  // its files are not what was shared: it is not shared
	Missing  Outcome = "missing"  // its files are not there: it waits for another repair
	Failed   Outcome = "failed"
)

// RepairedShare is one line of a Repair.
type RepairedShare struct {
	Root    string
	Name    string
	Path    string
	Outcome Outcome
	Reason  string
}

// Mended is what a Repair did.
type Mended struct {
	Checkup *Checkup // as it was before
	Kept    []string // where what was damaged lies now
	Shares  []RepairedShare
}

// BuildConfig says how Share builds the DAG of a path.
type BuildConfig func(path string) chunker.Config

// Repair makes the index of a home anew from the journal, from what still reads in the old index, and from the shared files
// themselves, if Examine finds harm; a sound one only gets what earlier repairs did not find. The old index is kept under
// another name. A share is hashed again, and is not shared if its root has changed; a download goes on with its .part.
func Repair(ctx context.Context, home string, cfg Config, build BuildConfig, progress func(done, all int, name string)) (*Mended, error) {
	home, lock, err := lockForDoctor(home)
	if err != nil {
		return nil, err
	}
	if lock != nil {
		defer lock.Close()
	}
	cfg = cfg.withDefaults()
	m := &Mended{Checkup: &Checkup{Home: home}}
	if err := m.Checkup.run(ctx, cfg, nil); err != nil {
		return nil, err
	}
	s := newStore(home, cfg, nil)
	lines, err := s.salvage(m)
	if err != nil {
		return m, err
	}
	defer s.spare.close()
	r := &repairer{s: s, m: m, build: build}
	err = r.all(ctx, lines, progress)
	return m, errors.Join(err, s.closeIndex())
}

// salvage gathers what is known, and opens the index, a new one in place of one with harm. Until each is restored the
// journal tells of it as lost, so that a repair that is cut short loses nothing.
func (s *Store) salvage(m *Mended) ([]journalLine, error) {
	path := filepath.Join(s.home, journalName)
	t, err := readJournal(path)
	if err != nil {
		t = &journalText{now: map[string]journalLine{}}
	}
	var lines []journalLine
	if m.Checkup.Sound() {
		for _, l := range t.list() {
			if l.Lost {
				lines = append(lines, l)
			}
		}
		return lines, s.start(false)
	}
	lines = t.list()
	old, seq := s.readable()
	for _, l := range old {
		_, known := t.now[l.id()]
		removed := t.seq > seq && (t.bad == 0 && seq > 0 || t.gone[l.id()]) // the index is from before that
		if !known && !removed {
			lines = append(lines, l)
		}
	}
	sort.SliceStable(lines, func(i, j int) bool { return lines[i].Added < lines[j].Added })
	aside := []string{filepath.Join(s.home, indexName), path}
	format := filepath.Join(s.home, formatName)
	if fi, err := os.Lstat(format); err == nil && !fi.Mode().IsRegular() { // a file is just written anew
		aside = append(aside, format)
	}
	if err := s.setAside(m, aside...); err != nil {
		return nil, err
	}
	j := &journal{path: path, seq: t.seq + 1}
	for i := range lines {
		lines[i].Lost = true
	}
	if err := j.replace(lines); err != nil {
		return nil, fsError("write", path, err)
	}
	if _, err := j.close(); err != nil {
		return nil, fsError("write", path, err)
	}
	if err := s.openIndex(true); err != nil {
		return nil, err
	}
	b := s.db.NewBatch()
	_ = b.Set(keySeq, binary.BigEndian.AppendUint64(nil, j.seq), nil)
	err = s.commit(b, true)
	if err == nil {
		err = s.openJournal()
	}
	if err == nil {
		err = raiseFormat(s.home)
	}
	if err != nil {
		return nil, errors.Join(err, s.db.now.Load().close())
	}
	s.startHeal()
	return lines, s.recover()
}

// readable is the records that still read in an index with harm, and the number of the last change that it has; 0: not known.
func (s *Store) readable() (lines []journalLine, seq uint64) {
	old := newStore(s.home, s.cfg, nil)
	old.readOnly = true
	if old.openIndex(false) != nil {
		return nil, 0
	}
	defer func() {
		old.db.now.Load().close()
		old.spare.close()
	}()
	for _, tag := range journalTags {
		_ = old.each([]byte{tag}, func(key, value []byte) error {
			root, _, err := splitRecord(key)
			if err != nil {
				return nil
			}
			if rec, err := decodeRecord(value); err == nil && !rec.old {
				rec.root = root
				lines = append(lines, lineOf(tag, rec))
			}
			return nil // what does not read is lost
		})
	}
	if v, err := old.get(keySeq); err == nil && len(v) == 8 {
		seq = binary.BigEndian.Uint64(v)
	}
	return lines, seq
}

// setAside gives what is there another name, for good.
func (s *Store) setAside(m *Mended, paths ...string) error {
	for _, path := range paths {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		kept := AsideName(path)
		if err := os.Rename(path, kept); err != nil {
			return fsError("move aside", path, err)
		}
		m.Kept = append(m.Kept, kept)
	}
	return nil
}

// repairer restores lines of the journal one by one.
type repairer struct {
	s     *Store
	m     *Mended
	build BuildConfig
}

func (r *repairer) all(ctx context.Context, lines []journalLine, progress func(done, all int, name string)) error {
	for i, l := range lines {
		if err := ctx.Err(); err != nil {
			return err
		}
		if progress != nil {
			progress(i, len(lines), string(l.Name))
		}
		res := RepairedShare{Root: l.Root, Name: string(l.Name), Path: l.place()}
		root, err := cid.Decode(l.Root)
		if err == nil {
			res.Outcome, err = r.one(ctx, root, &l)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			res.Reason = err.Error()
			if res.Outcome == "" {
				res.Outcome = Failed
			}
		}
		if res.Outcome != Missing && res.Outcome != Failed {
			r.s.journal.found(r.s, l)
		}
		r.m.Shares = append(r.m.Shares, res)
	}
	return nil
}

func (r *repairer) one(ctx context.Context, root cid.Cid, l *journalLine) (Outcome, error) {
	if l.Kind == "download" {
		return Resumed, r.download(root, l)
	}
	if len(l.Paths) == 0 {
		return Failed, errors.New("no path is known")
	}
	if !l.All || len(l.Select) > 0 || l.Sub != "" {
		return Resumed, r.partial(root, l)
	}
	var last error
	outcome := Missing
	for _, path := range plain(l.Paths) {
		if _, err := chunker.LstatPath(path); err != nil {
			last = err
			continue
		}
		same, err := r.share(ctx, root, path, string(l.Name), plain(l.Exclude))
		switch {
		case same:
			return Restored, nil
		case err == nil:
			outcome, last = Differs, errors.New("its content is not what was shared; share it again to offer what is there now")
		case outcome == Missing:
			outcome, last = Failed, err
		}
	}
	return outcome, last
}

// share hashes what is at path, in the ways in which it may have been shared.
func (r *repairer) share(ctx context.Context, root cid.Cid, path, name string, excludes []string) (same bool, err error) {
	ignore, err := chunker.ParseIgnore(excludes...)
	if err != nil {
		return false, err
	}
	for _, preserve := range []bool{false, true} {
		cfg := r.build(path)
		cfg.Preserve, cfg.Ignore = preserve, ignore
		cfg.Skip = func(string, error) {} // then the root differs
		im := r.s.Import()
		im.SetExcludes(excludes)
		tree, err := chunker.Build(ctx, path, cfg, im.PutNode)
		if err == nil && tree.Root.Equals(root) {
			_, err = im.Commit(ctx, tree, path, name)
			return err == nil, err
		}
		im.Abort()
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

// partial makes a download of a share that has not all of its root: its nodes are gone, and files alone do not make them.
func (r *repairer) partial(root cid.Cid, l *journalLine) error {
	path := string(l.Paths[0])
	c := *l
	c.Dir, c.Part, c.Made, c.Inode = text(filepath.Dir(path)), "", false, 0
	c.Name = text(filepath.Base(path))
	return r.download(root, &c)
}

// download records an unfinished download as it was, but for its nodes.
func (r *repairer) download(root cid.Cid, l *journalLine) error {
	s := r.s
	x, err := newIndexer(0, root, s.cfg.Limits)
	if err != nil {
		return err
	}
	t := Target{Root: root, Dir: string(l.Dir), Name: string(l.Name), Sub: string(l.Sub), Select: plain(l.Select), Force: l.Force}
	part := string(l.Part)
	if part == "" {
		if part, err = s.choosePart(t); err != nil {
			return err
		}
	}
	b := s.db.NewBatch()
	rec := &record{
		root: root, id: s.newID(b), name: t.Name, suggested: string(l.Suggested), dir: t.Dir, part: part, selects: t.Select, sub: t.Sub,
		force: t.Force, tree: l.Tree, made: l.Made, partInode: l.Inode, state: Fetching, added: l.Added,
	}
	if l.Paused {
		rec.state = Paused
	}
	if rec.added == 0 {
		rec.added = time.Now().UnixNano()
	}
	x.id = rec.id
	if err := x.indexLeaves(into(b)); err != nil {
		b.Close()
		return err
	}
	putRecord(b, tagDownload, rec)
	if err := s.commit(b, true); err != nil {
		return fmt.Errorf("record the download: %w", err)
	}
	return nil
}
