package store

import (
	"errors"
	"fmt"
	"sort"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/go-cid"
)

// Shares lists the shares and then the unfinished downloads, each oldest first. A
// root that is shared and fetched again to another place is in both. Files that were
// seen to have changed are looked at again, so that what was put right is served again.
func (s *Store) Shares() ([]Share, error) {
	recs, err := s.records(tagShare)
	if err != nil {
		return nil, fmt.Errorf("list shares: %w", err)
	}
	list := make([]Share, 0, len(recs))
	for _, r := range recs {
		if r, err = s.recheck(r, maxMisses); err != nil {
			return nil, fmt.Errorf("list shares: %w", err)
		}
		list = append(list, r.share())
	}
	sortShares(list)
	recs, err = s.records(tagDownload)
	if err != nil {
		return nil, fmt.Errorf("list downloads: %w", err)
	}
	downloads := make([]Share, 0, len(recs))
	for _, r := range recs {
		downloads = append(downloads, s.downloadShare(r))
	}
	sortShares(downloads)
	return append(list, downloads...), nil
}

// Names lists what Shares does, as the index knows it: no file is looked at.
func (s *Store) Names() ([]Share, error) {
	var list []Share
	for _, tag := range []byte{tagShare, tagDownload} {
		recs, err := s.records(tag)
		if err != nil {
			return nil, fmt.Errorf("list shares: %w", err)
		}
		sortRecords(recs)
		for _, r := range recs {
			list = append(list, r.share())
		}
	}
	return list, nil
}

// sortRecords sorts like sortShares.
func sortRecords(list []*record) {
	sort.SliceStable(list, func(i, j int) bool { return list[i].added < list[j].added })
}

func sortShares(list []Share) {
	sort.SliceStable(list, func(i, j int) bool { return list[i].Added.Before(list[j].Added) })
}

// Share describes one root: the share if there is one, else the unfinished download.
func (s *Store) Share(root cid.Cid) (Share, error) {
	r, err := s.record(tagShare, root)
	if err == nil {
		if r, err = s.recheck(r, maxMisses); err != nil {
			return Share{}, err
		}
		return r.share(), nil
	}
	if !errors.Is(err, ErrNotFound) {
		return Share{}, err
	}
	if r, err = s.record(tagDownload, root); err != nil {
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

// isBusy tells whether a Download of root runs or starts.
func (s *Store) isBusy(root cid.Cid) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy[root.KeyString()]
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

// Remove forgets the share of root, and its unfinished download with the .part.
// Whole files stay where they are. ErrNotFound; ErrBusy while the download is open.
func (s *Store) Remove(root cid.Cid) error {
	if err := s.claim(root); err != nil { // no Download may start meanwhile
		return fmt.Errorf("remove %s: %w", root, err)
	}
	defer s.unclaim(root)
	found := false
	for _, tag := range []byte{tagShare, tagDownload} {
		rec, err := s.forget(tag, root)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err == nil && tag == tagDownload {
			err = removePart(rec)
		}
		if err != nil {
			return fmt.Errorf("remove %s: %w", root, err)
		}
		found = true
	}
	if !found {
		return fmt.Errorf("remove: %w: %s", ErrNotFound, root)
	}
	return nil
}

// forget drops a record durably, then its rows. A crash in between is completed by Open.
func (s *Store) forget(tag byte, root cid.Cid) (*record, error) {
	s.mu.Lock()
	rec, err := s.record(tag, root)
	if err == nil {
		b := s.db.NewBatch()
		_ = b.Delete(keyRoot(tag, root), nil)
		_ = b.Delete(keyID(tagID, rec.id), nil)
		_ = b.Set(keyID(tagPending, rec.id), root.Bytes(), nil)
		err = s.commit(b, true)
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	s.gen.Add(1)
	return rec, s.purge(rec.id, root)
}

// updateShare changes the record of a share under the lock and stores it, together
// with what fn adds to the batch. It does nothing if the share is of another id by now.
func (s *Store) updateShare(root cid.Cid, id shareID, sync bool, fn func(r *record, b *pebble.Batch) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.record(tagShare, root)
	if errors.Is(err, ErrNotFound) || (err == nil && r.id != id) {
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
	putRecord(b, tagShare, r)
	if err := s.commit(b, sync); err != nil {
		return err
	}
	s.gen.Add(1)
	return nil
}
