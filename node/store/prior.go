package store

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"shoal/chunker"

	"github.com/ipfs/go-cid"
)

// Changes is what sharing a path again found, beside the version that was shared there.
type Changes struct {
	Replaced  cid.Cid // the root that lay there; undefined: the same one
	New       int     // files that were not there
	Changed   int     // files with other content
	Gone      int     // files that are no longer there
	Unchanged int

	IgnoreGone []string // ignore files that were removed: what they left out is in the new version
}

// prior is what is known of the files at a path from when it was shared there last.
type prior struct {
	rec    *record
	layout *chunker.Layout
	bits   bitmap // leaves that are right; nil: all
	rows   map[string]*row
}

// priorAt loads what is known of the files at path; nil: nothing.
func (s *Store) priorAt(path string) (*prior, error) {
	id, _, err := s.idsAt(path)
	if err != nil || id == 0 {
		return nil, err
	}
	rec, err := s.recordOf(id)
	if errors.Is(err, ErrNotFound) || err == nil && !rec.complete {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p := &prior{rec: rec, rows: make(map[string]*row, rec.files)}
	if p.layout, err = s.layout(rec); err != nil {
		return nil, err
	}
	if p.bits, err = s.served(rec); err != nil {
		return nil, err
	}
	return p, s.rows(rec.id, func(r *row) error {
		if r.base == 0 {
			p.rows[r.path] = r
		}
		return nil
	})
}

// known is chunker.Config.Known: the digests of a file whose stat is as recorded, and whose chunks were right when
// they were last looked at.
func (p *prior) known(path string, is chunker.FileStat) func(int) [digestSize]byte {
	r := p.rows[path]
	chunk := int64(chunker.UnixFSV1_2025().ChunkSize)
	if r == nil || !is.Proves(r.stat) || r.cut.size != is.Size || int64(r.cut.leaves) != (is.Size+chunk-1)/chunk {
		return nil
	}
	if r.cut.leaves > 1 && r.cut.chunk != chunk { // another importer cut it
		return nil
	}
	for k := range r.cut.leaves {
		if p.bits != nil && !p.bits.get(r.leaf+k) {
			return nil
		}
	}
	return func(k int) [digestSize]byte { return p.layout.Digest(r.leaf + k) }
}

// changes compares the files of a new version with these.
func (p *prior) changes(l *chunker.Layout) (c Changes) {
	seen := 0
	for _, e := range l.Entries() {
		if e.Kind != chunker.File {
			continue
		}
		r := p.rows[e.Path]
		switch {
		case r == nil:
			c.New++
			continue
		case p.same(r, l, e):
			c.Unchanged++
		default:
			c.Changed++
		}
		seen++
	}
	c.Gone = len(p.rows) - seen
	c.IgnoreGone = p.ignoreGone(l)
	return c
}

// ignoreGone lists the ignore files that are no longer there, in directories that are.
func (p *prior) ignoreGone(l *chunker.Layout) (gone []string) {
	files := slices.Clone(p.rec.ignores)
	for rel := range p.rows {
		if path.Base(rel) == chunker.IgnoreFile {
			files = append(files, rel)
		}
	}
	for _, rel := range files {
		file := filepath.Join(p.rec.path(), filepath.FromSlash(rel))
		if _, err := chunker.LstatPath(file); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		dir := strings.TrimSuffix(path.Dir(rel), ".")
		if slices.ContainsFunc(l.Entries(), func(e chunker.Entry) bool { return e.Path == dir && e.Kind == chunker.Dir }) {
			gone = append(gone, rel)
		}
	}
	slices.Sort(gone)
	return gone
}

// same tells whether the content of an entry is that of a row.
func (p *prior) same(r *row, l *chunker.Layout, e chunker.Entry) bool {
	if e.Leaves != r.cut.leaves {
		return false
	}
	for k := range e.Leaves {
		if l.Digest(e.First+k) != p.layout.Digest(r.leaf+k) {
			return false
		}
	}
	return true
}

// keepVersions is how long what lay at a path before is served, as far as it is still there.
const keepVersions = 24 * time.Hour

// DropVersions forgets older versions that were replaced long before now, and those of which nothing is
// there any more. Open does it too.
func (s *Store) DropVersions(now time.Time) error {
	recs, err := s.records(tagPlace)
	if err != nil {
		return err
	}
	for _, r := range recs {
		if !r.old || now.Sub(time.Unix(0, r.added)) < keepVersions && r.have > 0 {
			continue
		}
		err := s.change(nil, func(p *placing) error { return p.dropID(r.id) })
		if err != nil {
			return err
		}
	}
	return nil
}
