package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/go-cid"
)

// A root keeps every place where it lies, and is served from any that is right. One path is one share: what is shared at
// the path of another root takes its place there, and that becomes an older version.

// placesOf lists the places of a root, the one under 's' first; with old its older versions too, behind them.
func (s *Store) placesOf(root cid.Cid, old bool) ([]*record, error) {
	var list []*record
	first, err := s.record(tagShare, root)
	if err == nil {
		list = append(list, first)
	} else if !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	others, err := s.recordsUnder(keyRoot(tagPlace, root))
	if err != nil {
		return nil, err
	}
	for _, versions := range []bool{false, true} {
		for _, r := range others {
			if r.old == versions && (old || !r.old) {
				list = append(list, r)
			}
		}
	}
	return list, nil
}

// allPlaces lists the places of all shares, by root, without older versions, each root's in the order of placesOf.
func (s *Store) allPlaces() ([][]*record, error) {
	firsts, err := s.records(tagShare)
	if err != nil {
		return nil, err
	}
	others, err := s.records(tagPlace)
	if err != nil {
		return nil, err
	}
	groups := make([][]*record, len(firsts)) // in the order of their roots, as both lists are
	for i, r := range firsts {
		for len(others) > 0 && others[0].root.KeyString() < r.root.KeyString() {
			others = others[1:]
		}
		groups[i] = []*record{r}
		for ; len(others) > 0 && others[0].root.Equals(r.root); others = others[1:] {
			if !others[0].old {
				groups[i] = append(groups[i], others[0])
			}
		}
	}
	slices.SortFunc(groups, func(a, b []*record) int { return byAge(a[0], b[0]) })
	return groups, nil
}

// placeOf is the place of root at path; ErrNotFound.
func (s *Store) placeOf(root cid.Cid, path string) (*record, error) {
	now, _, err := s.idsAt(path)
	if err != nil {
		return nil, err
	}
	if now == 0 {
		return nil, ErrNotFound
	}
	rec, err := s.recordOf(now)
	if err == nil && !rec.root.Equals(root) {
		return nil, ErrNotFound
	}
	return rec, err
}

// RootAt is the root that is shared at path, and what of it lies there: a path in it, "" for the whole. ErrNotFound.
func (s *Store) RootAt(path string) (root cid.Cid, sub string, err error) {
	id, _, err := s.idsAt(path)
	if err == nil && id == 0 {
		err = fmt.Errorf("%w: %q", ErrNotFound, path)
	}
	if err != nil {
		return cid.Undef, "", err
	}
	rec, err := s.recordOf(id)
	if err != nil {
		return cid.Undef, "", err
	}
	return rec.root, rec.sub, nil
}

// idsAt reads what lies at path (0: nothing) and the older versions of it, the newest first.
func (s *Store) idsAt(path string) (now shareID, old []shareID, err error) {
	v, err := s.get(keyPath(path))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil, nil
	}
	if err == nil && (len(v) == 0 || len(v)%8 != 0) {
		err = errShort
	}
	if err != nil {
		return 0, nil, err
	}
	for ; len(v) > 0; v = v[8:] {
		old = append(old, shareID(binary.BigEndian.Uint64(v)))
	}
	return old[0], old[1:], nil
}

// setIDsAt adds to b what lies and lay at path.
func setIDsAt(b *pebble.Batch, path string, now shareID, old []shareID) {
	if now == 0 && len(old) == 0 {
		_ = b.Delete(keyPath(path), nil)
		return
	}
	v := binary.BigEndian.AppendUint64(nil, uint64(now))
	for _, id := range old {
		v = binary.BigEndian.AppendUint64(v, uint64(id))
	}
	_ = b.Set(keyPath(path), v, nil)
}

// placing is one change of what is shared: the batch that makes it, and what is to be purged once it is made.
// All changes of which shares there are go through it and are made under the lock, so that a record kept elsewhere
// beside the index has one place to hook in.
type placing struct {
	s     *Store
	b     *pebble.Batch
	paths map[string]*versions // read or changed
	gone  []*record

	freeing bool // it only forgets: it must work on a full disk
}

// versions are what lies at a path (0: nothing), and what lay there before, the newest first.
type versions struct {
	now shareID
	old []shareID
}

func (v *versions) forget(id shareID) {
	if v.now == id {
		v.now = 0
	}
	v.old = slices.DeleteFunc(v.old, func(o shareID) bool { return o == id })
}

// change runs fn under the lock and makes what it puts into the batch, durably; then it removes the rows of what went.
// b may hold rows that belong to it; nil: none.
func (s *Store) change(b *pebble.Batch, fn func(p *placing) error) error {
	if b == nil {
		b = s.db.NewBatch()
	}
	p := &placing{s: s, b: b, paths: map[string]*versions{}}
	s.mu.Lock()
	err := fn(p)
	if err == nil {
		for path, v := range p.paths {
			setIDsAt(b, path, v.now, v.old)
		}
		if p.freeing {
			err = s.commitRemoval(b)
		} else {
			err = s.commit(b, true)
		}
	} else {
		b.Close()
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	s.gen.Add(1)
	if p.freeing && s.writable() != nil {
		return nil // the next Open drops the rows
	}
	for _, r := range p.gone {
		if err := s.purge(r.id, r.root); err != nil {
			return err
		}
	}
	return nil
}

// at is what lies and lay at path, as this change leaves it.
func (p *placing) at(path string) (*versions, error) {
	if v := p.paths[path]; v != nil {
		return v, nil
	}
	now, old, err := p.s.idsAt(path)
	if err != nil {
		return nil, err
	}
	p.paths[path] = &versions{now, old}
	return p.paths[path], nil
}

// drop forgets a record. That another place takes over from the one under 's' is for the caller: promote.
func (p *placing) drop(r *record) error {
	v, err := p.at(r.path())
	if err != nil {
		return err
	}
	v.forget(r.id)
	_ = p.b.Delete(keyRecord(r.tag, r.root, r.id), nil)
	_ = p.b.Delete(keyID(tagID, r.id), nil)
	_ = p.b.Set(keyID(tagPending, r.id), r.root.Bytes(), nil)
	p.gone = append(p.gone, r)
	return nil
}

// dropID forgets the record with an id, if there is one.
func (p *placing) dropID(id shareID) error {
	r, err := p.s.recordOf(id)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return p.drop(r)
}

// promote makes one of the other places of root, if it has any but those in without, the one under 's'.
func (p *placing) promote(root cid.Cid, without ...shareID) error {
	places, err := p.s.placesOf(root, false)
	if err != nil {
		return err
	}
	var best *record
	for _, r := range places {
		if slices.Contains(without, r.id) {
			continue
		}
		if r.tag == tagShare {
			return nil
		}
		if best == nil || r.have > best.have {
			best = r
		}
	}
	if best != nil {
		_ = p.b.Delete(keyRecord(best.tag, root, best.id), nil)
		best.tag = tagShare
		putRecord(p.b, tagShare, best)
	}
	return nil
}

// maxVersions of a path are kept beside the one of now.
const maxVersions = 3

// retire makes r, whose path another root takes, an older version.
func (p *placing) retire(r *record) error {
	_ = p.b.Delete(keyRecord(r.tag, r.root, r.id), nil)
	was := r.tag
	r.tag, r.old, r.added = tagPlace, true, time.Now().UnixNano()
	putRecord(p.b, tagPlace, r)
	if was == tagShare {
		return p.promote(r.root, r.id)
	}
	return nil
}

// put makes rec a place of its root at its path. Unless it was named by the user, it keeps the name of what lay there.
// It returns the root that lay there, if it is another one.
func (p *placing) put(rec *record, named bool) (replaced *record, err error) {
	v, err := p.at(rec.path())
	if err != nil {
		return nil, err
	}
	places, err := p.s.placesOf(rec.root, true)
	if err != nil {
		return nil, err
	}
	here := v.now
	rec.tag = tagShare
	for _, r := range places {
		switch {
		case r.id == here:
			rec.tag, rec.added = r.tag, r.added
			if !named {
				rec.name = r.name
			}
			err = p.drop(r)
		case r.old && slices.Contains(v.old, r.id): // what is old is new again
			err = p.drop(r)
		case r.tag == tagShare && rec.tag == tagShare:
			rec.tag = tagPlace
		}
		if err != nil {
			return nil, err
		}
		if named && !r.old && r.id != here {
			r.name = rec.name
			putRecord(p.b, r.tag, r)
		}
	}
	if v.now != 0 {
		if replaced, err = p.replace(rec, v, named); err != nil {
			return nil, err
		}
	}
	v.now = rec.id
	putRecord(p.b, rec.tag, rec)
	p.alias(rec)
	_ = p.b.Delete(keyID(tagPending, rec.id), nil)
	return replaced, nil
}

// replace makes what lies at the path of rec, another root, an older version.
func (p *placing) replace(rec *record, v *versions, named bool) (*record, error) {
	replaced, err := p.s.recordOf(v.now)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !named {
		rec.name = replaced.name
	}
	v.old = append([]shareID{v.now}, v.old...)
	for len(v.old) > maxVersions {
		last := v.old[len(v.old)-1]
		if err := p.dropID(last); err != nil {
			return nil, err
		}
		v.forget(last)
	}
	return replaced, p.retire(replaced)
}

// leave forgets places or older versions of one root, and with a place the older versions at its path.
func (p *placing) leave(places []*record) error {
	p.freeing = true
	var ids []shareID
	for _, r := range places {
		ids = append(ids, r.id)
	}
	for _, r := range places {
		v, err := p.at(r.path())
		if err != nil {
			return err
		}
		for _, id := range slices.Clone(v.old) {
			if !r.old && !slices.Contains(ids, id) {
				if err := p.dropID(id); err != nil {
					return err
				}
			}
		}
		if err := p.drop(r); err != nil {
			return err
		}
	}
	if len(places) == 0 {
		return nil
	}
	return p.promote(places[0].root, ids...)
}

// RemovePlace forgets one place of a root: what is shared at path. ErrNotFound.
func (s *Store) RemovePlace(path string) error {
	return s.change(nil, func(p *placing) error {
		now, _, err := s.idsAt(path)
		if err != nil {
			return err
		}
		if now == 0 {
			return ErrNotFound
		}
		r, err := s.recordOf(now)
		if err != nil {
			return err
		}
		return p.leave([]*record{r})
	})
}

// loadPaths writes the path keys of a home that has none yet: of shares with one path the newest is the one of now.
func (s *Store) loadPaths() error {
	if known, err := s.has(keyPaths); known || err != nil {
		return err
	}
	recs, err := s.records(tagShare)
	if err != nil {
		return err
	}
	sortRecords(recs)
	return s.change(nil, func(p *placing) error {
		for _, r := range recs {
			v, err := p.at(r.path())
			if err != nil {
				return err
			}
			if v.now != 0 {
				if _, err := p.replace(&record{}, v, true); err != nil {
					return err
				}
			}
			v.now = r.id
		}
		return p.b.Set(keyPaths, nil, nil)
	})
}
