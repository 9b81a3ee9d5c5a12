package transfer

import (
	"errors"
	"fmt"
)

// This file is what a session shares with the readers of its conns: the writers,
// and the bitmap of the leaves that are held.

// claim takes the right to write a leaf, once.
func (s *session) claim(leaf uint32) bool {
	s.gotMu.Lock()
	defer s.gotMu.Unlock()
	word := int(leaf / 64)
	for len(s.got) <= word {
		s.got = append(s.got, 0)
	}
	if s.got[word]&(1<<(leaf%64)) != 0 {
		return false
	}
	s.got[word] |= 1 << (leaf % 64)
	return true
}

// has tells whether a leaf is held or being written. Any goroutine may ask.
func (s *session) has(leaf uint32) bool {
	s.gotMu.Lock()
	defer s.gotMu.Unlock()
	word := int(leaf / 64)
	return word < len(s.got) && s.got[word]&(1<<(leaf%64)) != 0
}

// submit gives verified leaves to the writers and waits while they are behind.
func (s *session) submit(b *batch) {
	select {
	case s.work <- b:
	case <-s.done:
		s.e.bufs.putBatch(b)
	}
}

// write is one of the session's writers.
func (s *session) write() {
	for {
		select {
		case <-s.done:
			return
		case b := <-s.work:
			if err := s.store(b); err != nil {
				s.in.post(note{err: err}, 0)
			}
		}
	}
}

// store writes a batch and books it. Leaves that came twice are written once.
func (s *session) store(b *batch) error {
	defer s.e.bufs.putBatch(b)
	n := 0
	var err error
	for _, l := range b.leaves {
		if !s.claim(l.leaf) {
			s.in.book(b.sub, []placed{l}, true)
			continue
		}
		if werr := s.job.Write(int(l.leaf), b.buf.b[l.off:l.off+l.size]); werr != nil {
			err = errors.Join(err, fmt.Errorf("write leaf %d: %w", l.leaf, werr))
			continue
		}
		b.leaves[n] = l
		n++
	}
	s.in.book(b.sub, b.leaves[:n], false)
	return err
}
