package transfer

import (
	"crypto/sha256"
	"fmt"
	"time"

	"shoal/transfer/pairsum"
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

// submit gives leaves to the writers and waits while they are behind.
func (s *session) submit(b *batch) {
	select {
	case s.work <- b:
	case <-s.done:
		s.e.bufs.putBatch(b)
	}
}

// write is one of the session's writers. They hash in turn, for one of them is faster
// than a connection and two leaves at once take little longer than one, and write
// side by side.
func (s *session) write() {
	for {
		select {
		case s.turn <- struct{}{}:
		case <-s.done:
			return
		}
		first, second := s.nextPair()
		<-s.turn
		for _, b := range [...]*batch{first, second} {
			if b == nil {
				continue
			}
			if err := s.store(b); err != nil {
				s.in.post(note{err: err}, 0)
			}
		}
		if first == nil {
			return
		}
	}
}

// pairWait is how long a leaf waits for another one to be hashed with. It is less than
// one takes to arrive where the connection, not the processor, is what limits.
const pairWait = 2 * time.Millisecond

// nextPair takes one or two batches and checks their leaves. Nil: the session is over.
func (s *session) nextPair() (first, second *batch) {
	select {
	case first = <-s.work:
	case <-s.done:
		return nil, nil
	}
	now := time.Now()
	quick := now.Sub(s.paired) < 2*pairWait
	s.paired = now
	if len(first.leaves) == 1 && pairsum.Faster() {
		second = s.companion(quick)
	}
	verify(first, second)
	return first, second
}

// companion takes another batch if there is one, or soon will be.
func (s *session) companion(wait bool) *batch {
	select {
	case b := <-s.work:
		return b
	default:
	}
	if !wait {
		return nil
	}
	late := time.NewTimer(pairWait)
	defer late.Stop()
	select {
	case b := <-s.work:
		s.paired = time.Now()
		return b
	case <-late.C:
	case <-s.done:
	}
	return nil
}

// verify marks the leaves whose digests are not what is wanted. Those of equal size are
// hashed two at a time.
func verify(batches ...*batch) {
	var l *placed // waits for a companion
	var p []byte
	for _, b := range batches {
		if b == nil {
			continue
		}
		for i := range b.leaves {
			m := &b.leaves[i]
			q := b.payload(m)
			switch {
			case l == nil:
				l, p = m, q
			case len(p) == len(q):
				x, y := pairsum.Sum(p, q)
				l.bad, m.bad = x != l.want, y != m.want
				l = nil
			default:
				l.bad = sha256.Sum256(p) != l.want
				l, p = m, q
			}
		}
	}
	if l != nil {
		l.bad = sha256.Sum256(p) != l.want
	}
}

// store writes a batch and books it. Leaves that came twice are written once. The owner leaves a
// peer that sent a bad one.
func (s *session) store(b *batch) error {
	defer s.e.bufs.putBatch(b)
	n := 0
	var err error
	for _, l := range b.leaves {
		if l.bad {
			if b.sub.spoil() { // what follows from there is no news
				s.in.post(note{sub: b.sub, bad: true, leaf: l.leaf, size: l.size}, 0)
			}
			continue
		}
		if !s.claim(l.leaf) {
			s.in.book(b.sub, []placed{l}, true)
			continue
		}
		if werr := s.job.Write(int(l.leaf), b.payload(&l)); werr != nil {
			if err == nil { // the others fail for the same reason
				err = fmt.Errorf("write leaf %d: %w", l.leaf, werr)
			}
			continue
		}
		b.leaves[n] = l
		n++
	}
	s.in.book(b.sub, b.leaves[:n], false)
	return err
}
