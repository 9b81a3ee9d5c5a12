package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"shoal/chunker"
)

// away is ErrAway while the .part of a download is on a disk that is not mounted: it is not there, and what is at its place
// is of another device than the one it was made on. To start anew would make a second copy beneath the mount point.
func (r *record) away() error {
	if !r.made || r.partDevice == 0 {
		return nil
	}
	path := filepath.Join(r.dir, r.part)
	if _, err := chunker.LstatPath(path); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if fi, err := chunker.StatPath(r.dir); err == nil && chunker.StatOf(fi).Device == r.partDevice {
		return nil // it was deleted
	}
	if _, err := chunker.LstatPath(filepath.Join(r.dir, r.title())); err == nil {
		return nil // whole, or the user's: the destination tells
	}
	return fmt.Errorf("%w: %s, with %d bytes of it", ErrAway, path, r.haveBytes)
}

// awayFrom is ErrAway if t goes on with a download whose .part is away.
func (s *Store) awayFrom(t Target) error {
	rec, err := s.record(tagDownload, t.Root)
	if err != nil || filepath.Clean(t.Dir) != rec.dir {
		return nil // there is none, or it goes elsewhere now
	}
	return rec.away()
}

// Away tells why a download waits for its disk; nil: it does not.
func (s *Store) Away(sh Share) error {
	if sh.State != Fetching && sh.State != Paused {
		return nil
	}
	rec, err := s.record(tagDownload, sh.Root)
	if err != nil {
		return nil
	}
	return rec.away()
}

// dirGone is err, and ErrDirGone too if the directory that the download writes to is no longer the one at its path.
func (d *Download) dirGone(err error) error {
	if err == nil {
		return nil
	}
	ours, oerr := d.dst.parent.Stat(".")
	now, nerr := chunker.StatPath(d.dst.dir)
	if oerr == nil && (errors.Is(nerr, fs.ErrNotExist) || nerr == nil && !os.SameFile(ours, now)) {
		return fmt.Errorf("%s: %w: %w", d.dst.dir, ErrDirGone, err)
	}
	return err
}
