package transfer

import (
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// hold waits until n bytes of payload that have been read may pass g. Not
// reading on is what slows the peer down: its window closes.
func (r *reader) hold(g gate, n int) error {
	if !g.limited() {
		return nil
	}
	if !g.pass(n, r.c.done) {
		return network.ErrReset // the conn has its own reason
	}
	r.last = time.Now() // the silence was ours
	return nil
}

// fill reads len(p) bytes of payload.
func (r *reader) fill(p []byte) error {
	for len(p) > 0 {
		n, err := r.br.Read(p[:r.c.down.piece(len(p))])
		if err != nil {
			return err
		}
		p = p[n:]
		if err := r.hold(r.c.down, n); err != nil {
			return err
		}
	}
	return nil
}

// discard throws away n bytes of payload.
func (r *reader) discard(n int) error {
	for n > 0 {
		k, err := r.br.Discard(r.c.down.piece(n))
		if err != nil {
			return err
		}
		n -= k
		if err := r.hold(r.c.down, k); err != nil {
			return err
		}
	}
	return nil
}
