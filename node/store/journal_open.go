package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"shoal/chunker"

	"github.com/cockroachdb/pebble/v2"
)

// keyTail holds a tail: how the journal was left. It is right only while no change and nobody else has touched the file since.
var keyTail = []byte{tagMeta, 't', 'a', 'i', 'l'}

// tail is what the next start must know of a journal that is as it was left, so that it need not read it.
type tail struct {
	seq         uint64
	lines, live int
	stat        chunker.FileStat
}

func (t tail) encode() []byte {
	e := encoder{}
	e.uint(recordVersion)
	e.uint(t.seq)
	e.uint(uint64(t.lines))
	e.uint(uint64(t.live))
	e.uint(uint64(t.stat.Size))
	e.int(t.stat.ModTime)
	e.uint(t.stat.Inode)
	e.int(t.stat.Ctime)
	e.uint(t.stat.Device)
	return e.buf
}

func decodeTail(b []byte) (t tail, err error) {
	d := decoder{buf: b}
	d.version()
	t = tail{seq: d.uint(), lines: d.count(), live: d.count()}
	t.stat = chunker.FileStat{Size: d.size(), ModTime: d.int(), Inode: d.uint(), Ctime: d.int(), Device: d.uint()}
	return t, d.end()
}

// openJournal compares the journal with the index, which is ErrIndexOld if it lacks a change that was written down, and
// writes it anew where it lacks something. One that is as it was left is not read.
func (s *Store) openJournal() error {
	j := &s.journal
	j.path, j.lost = filepath.Join(s.home, journalName), map[string]journalLine{}
	v, err := s.get(keySeq)
	if err == nil && len(v) == 8 {
		j.seq = binary.BigEndian.Uint64(v)
	} else if err != nil && !errors.Is(err, pebble.ErrNotFound) {
		return err
	}
	if s.untouched() {
		return nil
	}
	t, err := readJournal(j.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.cfg.Logger.Warn("the journal of shares does not read, and is written anew", "error", err)
	}
	if err == nil && t.seq > j.seq {
		return fmt.Errorf("open index %s: %w: it lacks %d of the changes that %s tells of",
			filepath.Join(s.home, indexName), ErrIndexOld, t.seq-j.seq, j.path)
	}
	if t != nil {
		for _, l := range t.list() {
			if l.Lost {
				j.lost[l.where()] = l
			} else {
				j.live++
			}
		}
		j.size, j.lines = t.size, t.lines
	}
	if s.readOnly {
		return nil
	}
	if err != nil || t.bad > 0 || t.seq < j.seq || t.lines > 2*len(t.now)+journalSlack {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.rewrite(s)
		return nil
	}
	if j.f, err = os.OpenFile(j.path, os.O_RDWR, 0o600); err != nil {
		j.stale = true
	} else if err := j.f.Truncate(j.size); err != nil { // what was cut short
		j.stale = true
	}
	return nil
}

// untouched opens a journal that is as the last close has left it.
func (s *Store) untouched() bool {
	j := &s.journal
	v, err := s.get(keyTail)
	if err != nil {
		return false
	}
	t, err := decodeTail(v)
	if err != nil || t.seq != j.seq {
		return false
	}
	f, err := os.OpenFile(j.path, os.O_RDWR, 0o600)
	if err != nil {
		return false
	}
	if fi, err := f.Stat(); err != nil || chunker.StatOf(fi) != t.stat {
		f.Close()
		return false
	}
	j.f, j.size, j.lines, j.live = f, t.stat.Size, t.lines, t.live
	return true
}

// close makes the journal durable. It returns what the next start must know, nil if that must read it.
func (j *journal) close() ([]byte, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.shut = true
	if j.timer != nil {
		j.timer.Stop()
	}
	if j.f == nil {
		return nil, nil
	}
	err := j.f.Sync()
	fi, serr := j.f.Stat()
	err = errors.Join(err, serr, j.f.Close())
	j.f = nil
	if err != nil || j.stale || len(j.lost) > 0 {
		return nil, err
	}
	return tail{seq: j.seq, lines: j.lines, live: j.live, stat: chunker.StatOf(fi)}.encode(), nil
}

// putTail writes down how the journal was left. Where that fails, the next start reads it.
func (s *Store) putTail(t []byte) {
	if t == nil || s.readOnly {
		return
	}
	db := s.db.now.Load().db
	if v, closer, err := db.Get(keyTail); err == nil {
		same := string(v) == string(t)
		closer.Close()
		if same {
			return
		}
	}
	if err := db.Set(keyTail, t, pebble.NoSync); err != nil {
		s.cfg.Logger.Debug("how the journal of shares was left cannot be written", "error", err)
	}
}
