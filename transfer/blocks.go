package transfer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/transfer/wire"
)

// maxBlockPeers is how many peers are asked for one block at once.
const maxBlockPeers = 4

// blockWait is a block asked of a peer.
type blockWait struct {
	c      cid.Cid
	answer chan blockAnswer // of capacity 1
	left   bool             // nobody waits any more; under the conn's mu
}

// maxBlocksLeft bounds the unanswered blocks of one conn.
const maxBlocksLeft = 1024

type blockAnswer struct {
	block []byte
	err   error
}

// FetchBlock gets one block, an inner node or a leaf of any root, from the first
// of the peers that has it, and checks it against its CID. It asks peers as they
// come, until ctx ends or peers is closed and the last has answered: ErrNotFound.
func (e *Engine) FetchBlock(ctx context.Context, c cid.Cid, peers <-chan peer.AddrInfo) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan blockAnswer)
	asked, waiting := make(map[peer.ID]bool), 0
	var got []byte
	last := error(ErrNotFound)
	for (peers != nil || waiting > 0) && got == nil && ctx.Err() == nil {
		from := peers
		if waiting >= maxBlockPeers {
			from = nil
		}
		select {
		case <-ctx.Done():
		case <-e.done:
			cancel()
			last = ErrClosed
		case ai, ok := <-from:
			switch {
			case !ok:
				peers = nil
			case !asked[ai.ID] && ai.ID != e.host.ID():
				asked[ai.ID] = true
				waiting++
				go func() {
					block, err := e.askBlock(ctx, c, ai)
					answers <- blockAnswer{block, err}
				}()
			}
		case a := <-answers:
			waiting--
			if a.err != nil {
				last = a.err
			} else {
				got = a.block
			}
		}
	}
	ended := ctx.Err()
	cancel()
	for ; waiting > 0; waiting-- {
		<-answers
	}
	switch {
	case got != nil:
		return got, nil
	case ended != nil && last != ErrClosed:
		last = ended
	}
	return nil, fmt.Errorf("fetch block %s: %w", c, last)
}

// askBlock asks one peer.
func (e *Engine) askBlock(ctx context.Context, want cid.Cid, ai peer.AddrInfo) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.DialTimeout+e.cfg.AnswerTimeout)
	defer cancel()
	c, err := e.connect(ctx, ai)
	if err != nil {
		return nil, err
	}
	w := &blockWait{c: want, answer: make(chan blockAnswer, 1)}
	c.mu.Lock()
	if err := c.err; err != nil || len(c.blocks) >= maxBlocksLeft {
		c.mu.Unlock()
		return nil, cmp.Or(err, errors.New("peer leaves blocks unanswered"))
	}
	id := c.nextBlock
	c.nextBlock++
	c.blocks[id] = w
	c.mu.Unlock()
	c.send(wire.Blocks{ID: id, CIDs: []cid.Cid{want}})
	select {
	case a := <-w.answer:
		return a.block, a.err
	case <-ctx.Done():
		c.mu.Lock() // the entry stays, so that a late answer is known to have been asked for
		w.left = true
		c.mu.Unlock()
		return nil, ctx.Err()
	}
}

// asksBlock tells whether an answer to a blocks message is due.
func (c *conn) asksBlock(id uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.blocks[id] != nil
}

// answerBlock takes a peer's answer to a blocks message with one CID.
func (c *conn) answerBlock(id uint32, index uint8, block []byte, err error) error {
	c.mu.Lock()
	w := c.blocks[id]
	delete(c.blocks, id)
	c.mu.Unlock()
	if w == nil || index != 0 {
		return violation("block %d/%d was not asked", id, index)
	}
	if err == nil {
		sum, serr := w.c.Prefix().Sum(block)
		if serr != nil {
			err = fmt.Errorf("hash of %s: %w", w.c, serr)
		} else if !bytes.Equal(sum.Hash(), w.c.Hash()) {
			err = violation("block %s has the wrong hash", w.c)
		}
	}
	if err != nil {
		w.answer <- blockAnswer{err: err}
		if errors.Is(err, errViolation) {
			return err
		}
		return nil
	}
	w.answer <- blockAnswer{block: slices.Clone(block)}
	return nil
}
