package store

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/go-cid"
)

// The journal says in plain text, beside the index, what is shared and fetched and where it lies: enough to make the
// index anew when it is lost, and to notice that it is older than it was. It is a file of JSON lines, of which the last of
// each kind and root counts. It is appended to after the index was synced, so it is never ahead of an index that is sound.
const (
	journalName = "shares.jsonl"

	// journalSlack lines more than twice those that count, and the journal is written anew.
	journalSlack = 1000

	// journalDelay is how long a line may wait to be made durable: the index has it.
	journalDelay = time.Second
)

var keySeq = []byte{tagMeta, 's', 'e', 'q'}

// journalLine is a line of the journal.
type journalLine struct {
	Seq  uint64 `json:"seq"`  // of the change; rising
	Kind string `json:"kind"` // share, place (another one of a share) or download
	Root string `json:"root"`
	ID   uint64 `json:"id,omitempty"`   // of a place
	Gone bool   `json:"gone,omitempty"` // it was removed
	Lost bool   `json:"lost,omitempty"` // it is not in the index: a repair did not find its files

	Name      text   `json:"name,omitempty"`
	Suggested text   `json:"suggested,omitempty"`
	Paths     []text `json:"paths,omitempty"` // of a share
	Dir       text   `json:"dir,omitempty"`   // of a download, with Part in it
	Part      text   `json:"part,omitempty"`
	Select    []text `json:"select,omitempty"`
	Sub       text   `json:"sub,omitempty"`
	Exclude   []text `json:"exclude,omitempty"` // of a share: patterns of the names that were left out
	Tree      bool   `json:"tree,omitempty"`
	All       bool   `json:"all,omitempty"` // of a share: nothing is missing
	Paused    bool   `json:"paused,omitempty"`
	Force     bool   `json:"force,omitempty"`
	Made      bool   `json:"made,omitempty"` // the .part is ours, by its inode
	Inode     uint64 `json:"inode,omitempty"`
	Added     int64  `json:"added,omitempty"` // ns since the epoch
}

// text is a string of any bytes: one that is not UTF-8 is written as {"base64": …}.
type text string

// MarshalJSON writes it.
func (t text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return json.Marshal(string(t))
	}
	return json.Marshal(map[string]string{"base64": base64.StdEncoding.EncodeToString([]byte(t))})
}

// UnmarshalJSON reads it.
func (t *text) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(t))
	}
	var v struct {
		Base64 []byte `json:"base64"`
	}
	err := json.Unmarshal(b, &v)
	*t = text(v.Base64)
	return err
}

func texts(l []string) (out []text) {
	for _, s := range l {
		out = append(out, text(s))
	}
	return out
}

func plain(l []text) (out []string) {
	for _, s := range l {
		out = append(out, string(s))
	}
	return out
}

var kindNames = map[byte]string{tagShare: "share", tagPlace: "place", tagDownload: "download"}

// journalTags are the records that the journal tells of, but for older versions.
var journalTags = []byte{tagShare, tagPlace, tagDownload}

// lineOf is what the journal says of a record.
func lineOf(tag byte, r *record) journalLine {
	l := goneLine(tag, r.root, r.id)
	if r.old {
		return l
	}
	return journalLine{
		Kind: l.Kind, Root: l.Root, ID: l.ID, Name: text(r.name), Suggested: text(r.suggested),
		Paths: texts(r.bases), Dir: text(r.dir), Part: text(r.part), Select: texts(r.selects), Sub: text(r.sub), Exclude: texts(r.excludes),
		Tree: r.tree, All: r.all && tag != tagDownload, Paused: r.state == Paused, Force: r.force,
		Made: r.made, Inode: r.partInode, Added: r.added,
	}
}

// goneLine says that a record was removed.
func goneLine(tag byte, root cid.Cid, id shareID) journalLine {
	l := journalLine{Kind: kindNames[tag], Root: root.String(), Gone: true}
	if tag == tagPlace {
		l.ID = uint64(id)
	}
	return l
}

// id tells lines of the same record.
func (l *journalLine) id() string { return fmt.Sprint(l.Kind, " ", l.Root, " ", l.ID) }

// where tells lines of the same thing at the same place, whatever its record.
func (l *journalLine) where() string { return l.Root + " " + l.place() }

// same tells whether two lines say the same, whenever.
func (l journalLine) same(other journalLine) bool {
	l.Seq, other.Seq = 0, 0
	return reflect.DeepEqual(l, other)
}

// journal writes the file. Its lock is held over the commit of a batch that changes what it says, so that both have the
// changes in one order.
type journal struct {
	mu    sync.Mutex
	path  string
	f     *os.File // nil: could not be opened
	size  int64
	seq   uint64
	lines int
	live  int                    // lines that tell of what is there
	lost  map[string]journalLine // by where
	stale bool                   // it lacks a line: it must be written anew
	timer *time.Timer
	shut  bool
}

// change is what a batch does to the journal.
type change struct {
	j     *journal
	lines []journalLine
	live  int // more lines that tell of what is there
}

// begin finds what b changes of what the index says now, and adds to it the number of the change. The caller is in the gate, and calls
// done or drop.
func (j *journal) begin(s *Store, b *pebble.Batch) (*change, error) {
	lines, err := changedLines(b)
	if err != nil || len(lines) == 0 {
		return nil, err
	}
	j.mu.Lock()
	c := &change{j: j}
	for _, l := range lines {
		was, err := s.lineNow(l.key)
		if err != nil {
			j.mu.Unlock()
			return nil, err
		}
		if l.Gone && was.Gone || l.same(was) {
			continue
		}
		c.live += there(l.journalLine) - there(was)
		l.Seq = j.seq + uint64(len(c.lines)) + 1
		c.lines = append(c.lines, l.journalLine)
	}
	if len(c.lines) == 0 {
		j.mu.Unlock()
		return nil, nil
	}
	seq := c.lines[len(c.lines)-1].Seq
	return c, b.Set(keySeq, binary.BigEndian.AppendUint64(nil, seq), nil)
}

// there is 1 for a line that tells of something that is there.
func there(l journalLine) int {
	if l.Gone {
		return 0
	}
	return 1
}

// lineNow is what there is to say of the record under key, as the index has it. The caller is in the gate.
func (s *Store) lineNow(key []byte) (journalLine, error) {
	v, closer, err := s.db.db().Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return journalLine{Gone: true}, nil
	}
	if err != nil {
		return journalLine{}, s.readError(err)
	}
	defer closer.Close()
	rec, err := decodeRecord(v)
	if err != nil {
		return journalLine{}, err
	}
	rec.root, _, err = splitRecord(key)
	return lineOf(key[0], rec), err
}

// keyLine is what there is to say of the record under key.
type keyLine struct {
	journalLine
	key []byte
}

// changedLines are the records that a batch sets and deletes, each as the batch leaves it: a share that takes the place of another one
// of its root is deleted and set.
func changedLines(b *pebble.Batch) (lines []keyLine, err error) {
	if b.Empty() {
		return nil, nil
	}
	at := map[string]int{} // in lines, by key
	add := func(key []byte, l journalLine) {
		if i, known := at[string(key)]; known {
			lines[i].journalLine = l
			return
		}
		at[string(key)] = len(lines)
		lines = append(lines, keyLine{l, key})
	}
	for r := b.Reader(); ; {
		kind, key, value, ok, err := r.Next()
		if err != nil || !ok {
			return lines, err
		}
		if len(key) == 0 || !bytes.Contains(journalTags, key[:1]) {
			continue
		}
		root, id, err := splitRecord(key)
		if err != nil {
			return nil, err
		}
		switch kind {
		case pebble.InternalKeyKindSet:
			rec, err := decodeRecord(value)
			if err != nil {
				return nil, err
			}
			rec.root = root
			add(key, lineOf(key[0], rec))
		case pebble.InternalKeyKindDelete:
			add(key, goneLine(key[0], root, id))
		}
	}
}

// drop forgets the change: it was not committed.
func (c *change) drop() {
	if c != nil {
		c.j.mu.Unlock()
	}
}

// done writes the change down. An error is not the caller's: the index has it.
func (c *change) done(s *Store) {
	if c == nil {
		return
	}
	j := c.j
	defer j.mu.Unlock()
	var buf bytes.Buffer
	for i := range c.lines {
		l := &c.lines[i]
		j.seq = l.Seq
		if !l.Gone {
			delete(j.lost, l.where())
		}
		writeLine(&buf, l)
	}
	j.live += c.live
	j.append(buf.Bytes(), len(c.lines))
	if j.stale {
		s.wakeHeal()
	} else if j.lines > 2*(j.live+len(j.lost))+journalSlack {
		j.rewrite(s)
	}
}

// found takes a line off the lost ones.
func (j *journal) found(s *Store, l journalLine) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, lost := j.lost[l.where()]; !lost {
		return
	}
	delete(j.lost, l.where())
	l.Seq, l.Lost, l.Gone = j.seq, true, true
	var buf bytes.Buffer
	writeLine(&buf, &l)
	j.append(buf.Bytes(), 1)
	if j.stale {
		s.wakeHeal()
	}
}

func writeLine(buf *bytes.Buffer, l *journalLine) {
	b, err := json.Marshal(l)
	if err != nil {
		return // strings and numbers do marshal
	}
	buf.Write(b)
	buf.WriteByte('\n')
}

// append writes lines at the end, whole or not at all as far as it can.
func (j *journal) append(b []byte, lines int) {
	if j.stale || j.f == nil {
		j.stale = true
		return
	}
	if _, err := j.f.WriteAt(b, j.size); err != nil {
		j.stale = true
		_ = j.f.Truncate(j.size)
		return
	}
	j.size += int64(len(b))
	j.lines += lines
	if j.timer == nil && !j.shut {
		j.timer = time.AfterFunc(journalDelay, j.sync)
	}
}

func (j *journal) sync() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.timer = nil
	if j.f != nil && !j.shut {
		if err := j.f.Sync(); err != nil {
			j.stale = true
		}
	}
}

// behind tells that the journal lacks something.
func (j *journal) behind() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.stale
}

// mend writes a journal anew that lacks something.
func (j *journal) mend(s *Store) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.stale {
		j.rewrite(s)
	}
}

// rewrite makes the file anew from the index. Called under mu.
func (j *journal) rewrite(s *Store) {
	if err := j.writeAnew(s); err != nil {
		j.stale = true
		s.cfg.Logger.Debug("the journal of shares cannot be written, and is tried again", "error", err)
	}
}

func (j *journal) writeAnew(s *Store) error {
	var all []journalLine
	for _, tag := range journalTags {
		recs, err := s.records(tag)
		if err != nil {
			return err
		}
		for _, r := range recs {
			if l := lineOf(tag, r); !l.Gone {
				l.Seq = j.seq
				all = append(all, l)
			}
		}
	}
	for _, l := range j.lost {
		l.Seq = j.seq
		all = append(all, l)
	}
	return j.replace(all)
}

// replace makes the file hold these lines, by rename.
func (j *journal) replace(all []journalLine) error {
	tmp := j.path + ".new"
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	// The first line keeps the number when there is nothing to say.
	writeLine(&buf, &journalLine{Seq: j.seq, Kind: "journal"})
	lost := map[string]journalLine{}
	for i := range all {
		writeLine(&buf, &all[i])
		if l := &all[i]; l.Lost {
			lost[l.where()] = *l
		}
	}
	_, err = f.Write(buf.Bytes())
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(tmp, j.path)
	}
	if err == nil {
		err = syncDirAt(filepath.Dir(j.path))
	}
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(tmp))
	}
	if j.f != nil {
		j.f.Close()
	}
	j.f, j.size, j.lines, j.stale = f, int64(buf.Len()), len(all)+1, false
	j.live, j.lost = len(all)-len(lost), lost
	return nil
}

// syncDirAt makes the names in a directory durable.
func syncDirAt(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(syncDir(dir), dir.Close())
}

// journalText is what a journal file says.
type journalText struct {
	seq   uint64
	lines int
	size  int64                  // up to the end of the last whole line
	now   map[string]journalLine // by id, and of those that are lost by where
	order []string               // of now, as they first came
	gone  map[string]bool        // by id: removed
	bad   int                    // lines that do not read, the last one apart if it was cut short
}

// readJournal reads the file; fs.ErrNotExist.
func readJournal(path string) (*journalText, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t := &journalText{now: map[string]journalLine{}, gone: map[string]bool{}}
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return t, nil // what has no end was cut short
		}
		if err != nil {
			return nil, fsError("read", path, err)
		}
		t.size += int64(len(line))
		t.lines++
		t.take(line)
	}
}

func (t *journalText) take(line []byte) {
	var l journalLine
	if json.Unmarshal(line, &l) != nil {
		t.bad++
		return
	}
	t.seq = max(t.seq, l.Seq)
	id := l.id()
	if l.Lost {
		id = l.where()
	}
	switch _, known := t.now[id]; {
	case l.Kind == "journal":
	case l.Kind != "share" && l.Kind != "place" && l.Kind != "download":
		t.bad++
	case l.Gone:
		delete(t.now, id)
		t.gone[id] = true
	default:
		delete(t.gone, id)
		if !known {
			t.order = append(t.order, id)
		}
		t.now[id] = l
		if !l.Lost {
			delete(t.now, l.where())
		}
	}
}

// list is the lines that count, in the order in which they came.
func (t *journalText) list() (all []journalLine) {
	seen := map[string]bool{}
	for _, id := range t.order {
		if l, ok := t.now[id]; ok && !seen[id] {
			seen[id] = true
			all = append(all, l)
		}
	}
	return all
}
