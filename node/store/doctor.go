package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// Finding is something that a check of a home found.
type Finding struct {
	What   string // format, home, journal, index, record, row, node, blocks, orphan, part or lost
	Object string // a root, path or key; "": the home
	Text   string // a clause
	Harm   bool   // the home is not sound; else it is only worth knowing
}

// Checkup is what a check of a home found.
type Checkup struct {
	Home      string
	Shares    int
	Downloads int
	Nodes     int // inner nodes that hash to their CID
	Rows      int // files referenced
	Findings  []Finding
}

// Sound tells whether nothing needs a repair.
func (c *Checkup) Sound() bool {
	for _, f := range c.Findings {
		if f.Harm {
			return false
		}
	}
	return true
}

func (c *Checkup) harm(what, object, format string, args ...any) {
	c.Findings = append(c.Findings, Finding{what, object, fmt.Sprintf(format, args...), true})
}

func (c *Checkup) note(what, object, format string, args ...any) {
	c.Findings = append(c.Findings, Finding{what, object, fmt.Sprintf(format, args...), false})
}

// Examine checks the home and changes nothing: its format and journal, and whether the index opens, every record, row and
// node in it reads, every node hashes to its CID, the rows cover the leaves and the block keys are complete. ErrLocked: a
// daemon uses the home; fs.ErrNotExist: there is none. progress is told the shares looked at and how many there are.
func Examine(ctx context.Context, home string, cfg Config, progress func(done, all int)) (*Checkup, error) {
	home, lock, err := lockForDoctor(home)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	c := &Checkup{Home: home}
	return c, c.run(ctx, cfg.withDefaults(), progress)
}

// lockForDoctor takes the lock of a home without making one.
func lockForDoctor(home string) (string, *os.File, error) {
	home, err := filepath.Abs(home)
	if err != nil {
		return "", nil, err
	}
	if _, err := os.Stat(home); err != nil {
		return "", nil, fmt.Errorf("open home: %w", err)
	}
	lock, err := os.Open(filepath.Join(home, lockName))
	if errors.Is(err, fs.ErrNotExist) {
		return home, nil, nil // whoever uses a home makes the lock first
	}
	if err == nil {
		if err = lockFile(lock); err == nil {
			return home, lock, nil
		}
		lock.Close()
	}
	return "", nil, fmt.Errorf("lock home %s: %w", home, err)
}

func (c *Checkup) run(ctx context.Context, cfg Config, progress func(done, all int)) error {
	fresh, err := checkFormat(c.Home)
	switch {
	case errors.Is(err, ErrNewer):
		return err
	case err != nil:
		c.harm("format", "", "%v", err)
	case fresh:
		if _, err := os.Lstat(filepath.Join(c.Home, indexName)); err == nil {
			c.harm("format", "", "the file %s is missing beside an index", formatName)
		} else {
			c.note("format", "", "nothing was ever shared or fetched here")
			return nil
		}
	}
	s := newStore(c.Home, cfg, nil)
	s.readOnly = true
	if err := s.openIndex(false); err != nil {
		if isResource(err) {
			return s.homeError(err)
		}
		c.harm("index", "", "%v", err)
		c.journal(nil)
		return nil
	}
	defer func() {
		s.db.now.Load().close()
		s.spare.close()
	}()
	c.journal(s)
	c.writable(s)
	return c.index(ctx, s, progress)
}

// writable tells whether a daemon could write the home.
func (c *Checkup) writable(s *Store) {
	lock, err := os.OpenFile(filepath.Join(c.Home, lockName), os.O_RDWR, 0)
	if err == nil {
		lock.Close()
		err = s.room()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.note("home", "", "a daemon cannot write it: %v", err)
	}
}

// journal checks the journal, against the index if there is one.
func (c *Checkup) journal(s *Store) {
	path := filepath.Join(c.Home, journalName)
	t, err := readJournal(path)
	if err != nil {
		if s == nil || !errors.Is(err, fs.ErrNotExist) {
			c.note("journal", "", "%v; the next start of shoal writes it anew if the index is sound", err)
		}
		return
	}
	if t.bad > 0 {
		c.note("journal", path, "%d of %d lines do not read", t.bad, t.lines)
	}
	for _, l := range t.list() {
		if l.Lost {
			c.note("lost", l.Root, "%s was not at %s when the index was made anew; `shoal doctor --repair` looks again", l.Name, l.place())
		}
	}
	if s == nil {
		return
	}
	var indexed uint64
	if v, err := s.get(keySeq); err == nil && len(v) == 8 {
		indexed = binary.BigEndian.Uint64(v)
	}
	if t.seq > indexed {
		c.harm("index", "", "it is older than it was: it lacks %d of the changes that %s tells of", t.seq-indexed, path)
	}
}

// place is where a line's files are.
func (l *journalLine) place() string {
	if len(l.Paths) > 0 {
		return string(l.Paths[0])
	}
	return filepath.Join(string(l.Dir), string(l.Part))
}

// tally is what the index says of one id, gathered in one pass.
type tally struct {
	blocks  int
	sum     uint64 // of the block keys, in any order
	nodes   int
	rows    int
	leaves  int  // covered by rows
	gap     bool // the rows do not follow one another
	pending bool
	owned   bool
}

// index checks what is in the index: first all keys in one pass, then the nodes of each record.
func (c *Checkup) index(ctx context.Context, s *Store, progress func(done, all int)) error {
	var recs []*record
	tallies := map[shareID]*tally{}
	of := func(id shareID) *tally {
		if tallies[id] == nil {
			tallies[id] = &tally{}
		}
		return tallies[id]
	}
	err := s.each(nil, func(key, value []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		rec, text := c.key(key, value, of)
		if text != "" {
			c.harm("record", fmt.Sprintf("%q", key), "%s", text)
		}
		if rec != nil {
			recs = append(recs, rec)
		}
		return nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		c.harm("index", "", "%v", err)
	}
	for i, rec := range recs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if progress != nil {
			progress(i, len(recs))
		}
		t := of(rec.id)
		t.owned = true
		c.record(s, rec, t)
	}
	ids := make([]shareID, 0, len(tallies))
	for id := range tallies {
		ids = append(ids, id)
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] })
	for _, id := range ids {
		if t := tallies[id]; !t.owned && !t.pending {
			c.harm("orphan", "", "%d rows belong to no share", t.blocks+t.nodes+t.rows)
		}
	}
	c.paths(s, recs)
	c.parts(recs)
	return nil
}

// paths checks that each place is found by its path. A home of an earlier version gets the paths at the next start.
func (c *Checkup) paths(s *Store, recs []*record) {
	if known, err := s.has(keyPaths); err != nil || !known {
		return
	}
	for _, r := range recs {
		if r.tag == tagDownload || r.old {
			continue
		}
		if now, _, err := s.idsAt(r.path()); err != nil || now != r.id {
			c.harm("record", r.root.String(), "%s: its path %s leads elsewhere", r.title(), r.path())
		}
	}
}

// key checks one key and counts it. rec: it is a record.
func (c *Checkup) key(key, value []byte, of func(shareID) *tally) (rec *record, wrong string) {
	size := map[byte]int{tagID: 9, tagPending: 9, tagTemp: 9 + digestSize, tagNode: 17, tagHave: 17, tagFile: 25, tagBad: 25, tagBlock: 2 + digestSize + 16}
	tag := key[0]
	if want, fixed := size[tag]; fixed && len(key) != want {
		return nil, fmt.Sprintf("%d bytes long, not %d", len(key), want)
	}
	switch tag {
	case tagShare, tagPlace, tagDownload:
		return c.recordKey(tag, key, value)
	case tagPath:
		if len(value) == 0 || len(value)%8 != 0 {
			return nil, "the ids of a path are cut short"
		}
	case tagBlock:
		id, _ := splitBlock(key)
		t := of(id)
		t.blocks++
		t.sum += sumKey(key)
	case tagPending:
		of(shareID(binary.BigEndian.Uint64(key[1:]))).pending = true
	case tagNode:
		of(shareID(binary.BigEndian.Uint64(key[1:]))).nodes++
	case tagHave:
		if len(value) != segBytes {
			return nil, "a segment of bits is cut short"
		}
	case tagFile:
		r, err := decodeRow(key, value)
		if err != nil {
			return nil, err.Error()
		}
		t := of(shareID(binary.BigEndian.Uint64(key[1:])))
		t.rows++
		c.Rows++
		t.gap = t.gap || r.leaf > t.leaves
		t.leaves = max(t.leaves, r.leaf+r.cut.leaves)
	}
	return nil, ""
}

func (c *Checkup) recordKey(tag byte, key, value []byte) (*record, string) {
	root, id, err := splitRecord(key)
	if err != nil {
		return nil, err.Error()
	}
	rec, err := decodeRecord(value)
	if err != nil {
		return nil, fmt.Sprintf("%s: %v", root, err)
	}
	rec.root, rec.tag = root, tag
	switch tag {
	case tagShare:
		c.Shares++
	case tagPlace:
		if rec.id != id {
			return nil, fmt.Sprintf("%s: its id %d is not that of its key", root, rec.id)
		}
	case tagDownload:
		c.Downloads++
		rec.all = false
	}
	return rec, ""
}

func sumKey(key []byte) uint64 {
	h := fnv.New64a()
	h.Write(key)
	return h.Sum64()
}

// record walks the nodes of a record, and compares what they name with the tally.
func (c *Checkup) record(s *Store, rec *record, t *tally) {
	var want tally
	x, err := newIndexer(rec.id, rec.root, s.cfg.Limits)
	count := func(key, _ []byte) error {
		if key[0] == tagBlock {
			want.blocks++
			want.sum += sumKey(key)
		} else {
			want.nodes++
		}
		return nil
	}
	if err == nil {
		err = x.indexLeaves(count)
	}
	if err == nil {
		err = s.replay(x, count)
	}
	name := rec.title()
	c.Nodes += x.count()
	switch {
	case err != nil:
		c.harm("node", rec.root.String(), "%s: %v", name, err)
		return
	case rec.complete && !x.layout.Complete():
		c.harm("node", rec.root.String(), "%s: inner nodes are missing", name)
		return
	}
	if want.blocks != t.blocks || want.sum != t.sum {
		c.harm("blocks", rec.root.String(), "%s: %d of %d block keys are there", name, t.blocks, want.blocks)
	}
	if rec.all && (t.gap || t.leaves != rec.leaves || rec.leaves != x.layout.Leaves()) {
		c.harm("row", rec.root.String(), "%s: the rows of its files do not cover its %d chunks", name, x.layout.Leaves())
	}
	if owner, root, err := s.owner(rec.id); err != nil || root != rec.root || owner != rec.tag {
		c.harm("record", rec.root.String(), "%s: its id %d leads elsewhere", name, rec.id)
	}
}

// count is the nodes walked.
func (x *indexer) count() int {
	if x == nil {
		return 0
	}
	return x.nodes
}

// parts looks for unfinished files in the directories that are known, without going into others.
func (c *Checkup) parts(recs []*record) {
	known, dirs := map[string]bool{}, map[string]bool{}
	for _, r := range recs {
		if r.part != "" {
			known[filepath.Join(r.dir, r.part)] = true
			dirs[r.dir] = true
		}
		for _, b := range r.bases {
			dirs[filepath.Dir(b)] = true
		}
	}
	list := make([]string, 0, len(dirs))
	for dir := range dirs {
		list = append(list, dir)
	}
	sort.Strings(list)
	for _, dir := range list {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if path := filepath.Join(dir, e.Name()); strings.HasSuffix(e.Name(), partSuffix) && !known[path] {
				c.note("part", path, "no download here writes it: another program's, or of an index that was lost; `shoal get` of the same link to the same place takes it up if it fits")
			}
		}
	}
}

// asideTime is how the name of what was kept ends.
const asideTime = "20060102-150405"

// AsideName is a free name beside path for what is damaged there: nothing is ever deleted.
func AsideName(path string) string {
	name := path + ".damaged-" + time.Now().Format(asideTime)
	free := name
	for i := 2; ; i++ {
		if _, err := os.Lstat(free); errors.Is(err, fs.ErrNotExist) {
			return free
		}
		free = fmt.Sprintf("%s.%d", name, i)
	}
}
