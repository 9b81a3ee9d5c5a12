package store

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/go-cid"
)

// Shares lists the shares and then the unfinished downloads, each oldest first. A
// root that is shared and fetched again to another place is in both. Files that were
// seen to have changed are looked at again, so that what was put right is served again.
func (s *Store) Shares() ([]Share, error) {
	groups, err := s.allPlaces()
	if err != nil {
		return nil, fmt.Errorf("list shares: %w", err)
	}
	return s.list(groups)
}

// list is Shares, of shares with these places.
func (s *Store) list(groups [][]*record) ([]Share, error) {
	list := make([]Share, 0, len(groups))
	for _, places := range groups {
		sh, err := s.shareNow(places)
		if err != nil {
			return nil, fmt.Errorf("list shares: %w", err)
		}
		list = append(list, sh)
	}
	recs, err := s.records(tagDownload)
	if err != nil {
		return nil, fmt.Errorf("list downloads: %w", err)
	}
	sortRecords(recs)
	for _, r := range recs {
		list = append(list, s.downloadShare(r))
	}
	return list, nil
}

// shareNow looks again at the files of a share that did not fit, and describes it.
func (s *Store) shareNow(places []*record) (Share, error) {
	for i := range places {
		r, err := s.recheck(places[i], maxMisses)
		if err != nil {
			return Share{}, err
		}
		places[i] = r
	}
	return s.shareOf(places)
}

// shareOf describes a root by its places: the one that has most, and what they have together.
func (s *Store) shareOf(places []*record) (Share, error) {
	best := places[0]
	for _, r := range places[1:] {
		if r.have > best.have || r.have == best.have && best.state == Changed && r.state != Changed {
			best = r
		}
	}
	sh := best.share()
	named := slices.IndexFunc(places, func(r *record) bool { return r.sub == "" }) // another is called after its part
	sh.Name = places[max(named, 0)].title()
	for _, r := range places {
		sh.Added = time.Unix(0, min(sh.Added.UnixNano(), r.added))
		sh.Places = append(sh.Places, Place{Path: r.path(), Name: r.title(), State: r.state, Reason: r.reason, Have: r.have, HaveBytes: r.haveBytes})
	}
	if len(places) == 1 || best.have == best.leaves {
		return sh, nil
	}
	var err error
	if sh.Have, sh.HaveBytes, err = s.together(places); err == nil && sh.Have == sh.Leaves {
		sh.State, sh.Reason, sh.Select = Complete, "", nil
	}
	return sh, err
}

// together counts the leaves that any of the places has, and their bytes.
func (s *Store) together(places []*record) (have int, bytes int64, err error) {
	counted := newBitmap(places[0].leaves)
	for _, rec := range places {
		bits, err := s.served(rec)
		if err != nil {
			return 0, 0, err
		}
		err = s.rows(rec.id, func(row *row) error {
			for k := range row.cut.leaves {
				i := row.leaf + k
				if counted.get(i) || bits != nil && !bits.get(i) {
					continue
				}
				_, n := row.cut.at(k)
				counted.set(i)
				have, bytes = have+1, bytes+int64(n)
			}
			return nil
		})
		if err != nil {
			return 0, 0, err
		}
	}
	return have, bytes, nil
}

// Names lists what Shares does, as the index knows it: no file is looked at.
func (s *Store) Names() ([]Share, error) {
	groups, err := s.allPlaces()
	if err != nil {
		return nil, fmt.Errorf("list shares: %w", err)
	}
	list := make([]Share, 0, len(groups))
	for _, places := range groups {
		sh := places[0].share()
		for _, r := range places {
			sh.Places = append(sh.Places, Place{Path: r.path(), Name: r.title(), State: r.state})
		}
		list = append(list, sh)
	}
	recs, err := s.records(tagDownload)
	if err != nil {
		return nil, fmt.Errorf("list downloads: %w", err)
	}
	sortRecords(recs)
	for _, r := range recs {
		list = append(list, r.share())
	}
	return list, nil
}

// sortRecords sorts by age, the oldest first.
func sortRecords(list []*record) { slices.SortFunc(list, byAge) }

// byAge compares records by age, then by root.
func byAge(a, b *record) int {
	return cmp.Or(cmp.Compare(a.added, b.added), strings.Compare(a.root.KeyString(), b.root.KeyString()))
}

// Share describes one root: the share if there is one, else the unfinished download.
func (s *Store) Share(root cid.Cid) (Share, error) {
	places, err := s.placesOf(root, false)
	if err != nil {
		return Share{}, err
	}
	if len(places) > 0 {
		return s.shareNow(places)
	}
	r, err := s.record(tagDownload, root)
	if err != nil {
		return Share{}, err
	}
	return s.downloadShare(r), nil
}

// downloadShare is the record of a download with the live numbers if it runs.
func (s *Store) downloadShare(r *record) Share {
	if d := s.liveDownload(r.root); d != nil {
		return d.share()
	}
	return r.share()
}

func (s *Store) liveDownload(root cid.Cid) *Download {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live[root.KeyString()]
}

// Unfinished lists the downloads that a starting daemon resumes: all but the paused.
func (s *Store) Unfinished() ([]Target, error) {
	recs, err := s.records(tagDownload)
	if err != nil {
		return nil, fmt.Errorf("list downloads: %w", err)
	}
	var list []Target
	for _, r := range recs {
		if r.state == Fetching {
			list = append(list, r.target())
		}
	}
	return list, nil
}

// Remove forgets the share of root, all its places, and its unfinished download with the .part. What lay at these
// places before is no longer served either. Whole files stay where they are. ErrNotFound; ErrBusy while the download is open.
func (s *Store) Remove(root cid.Cid) error {
	if err := s.claim(root); err != nil { // no Download may start meanwhile
		return fmt.Errorf("remove %s: %w", root, err)
	}
	defer s.unclaim(root)
	err := s.change(nil, func(p *placing) error {
		places, err := s.placesOf(root, true)
		if err == nil && len(places) == 0 {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		return p.leave(places)
	})
	found := err == nil
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("remove %s: %w", root, err)
	}
	if err = s.drop(root); errors.Is(err, ErrNotFound) && found {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", root, err)
	}
	return nil
}

// forget drops a record durably, then its rows. A crash in between is completed by Open.
func (s *Store) forget(tag byte, root cid.Cid) (*record, error) {
	var wrote *written
	if tag == tagDownload {
		wrote = s.written(root)
	}
	s.mu.Lock()
	rec, err := s.record(tag, root)
	if err == nil {
		b := s.db.NewBatch()
		_ = b.Delete(keyRoot(tag, root), nil)
		_ = b.Delete(keyID(tagID, rec.id), nil)
		_ = b.Set(keyID(tagPending, rec.id), root.Bytes(), nil)
		err = s.commitRemoval(b)
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	s.gen.Add(1)
	rec.written = wrote
	if s.writable() != nil {
		return rec, nil // the next Open drops the rows
	}
	return rec, s.purge(rec.id, root)
}

// updateShare changes the record of a place of a share under the lock and stores it, together
// with what fn adds to the batch. It does nothing if no place has that id any more.
func (s *Store) updateShare(id shareID, sync bool, fn func(r *record, b *pebble.Batch) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.recordOf(id)
	if errors.Is(err, ErrNotFound) || err == nil && r.tag == tagDownload {
		return nil
	}
	if err != nil {
		return err
	}
	b := s.db.NewBatch()
	if err := fn(r, b); err != nil {
		b.Close()
		return err
	}
	putRecord(b, r.tag, r)
	if err := s.commitMarks(b, r, sync); err != nil {
		return err
	}
	s.gen.Add(1)
	return nil
}

// commitMarks records what was found about the files of r. That is little, and must be told on a full disk too; of a home
// that cannot be written it is remembered.
func (s *Store) commitMarks(b *pebble.Batch, r *record, sync bool) error {
	err := s.commitIf(b, sync, s.uncut)
	if home := (*HomeError)(nil); errors.As(err, &home) {
		s.marked.Store(r.id, r)
		return nil
	}
	return err
}
