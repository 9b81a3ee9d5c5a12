package node

import (
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"

	"shoal/node/store"
	"shoal/transfer"
)

// source lends the store to the transfer engine. The two packages do not know
// each other: this is where their errors meet.
type source struct{ store *store.Store }

func (s source) OpenRoot(root cid.Cid) (transfer.Root, error) {
	r, err := s.store.OpenRoot(root)
	if err != nil {
		return nil, swapError(err)
	}
	return sourceRoot{r}, nil
}

func (s source) Block(c cid.Cid, buf []byte) ([]byte, error) {
	b, err := s.store.Block(c, buf)
	return b, swapError(err)
}

// CheckLeaf implements transfer.Checker: it hashes a leaf that a peer says came damaged.
func (s source) CheckLeaf(root cid.Cid, i int) (damaged bool, err error) {
	damaged, err = s.store.CheckLeaf(root, i)
	return damaged, swapError(err)
}

type sourceRoot struct{ *store.Root }

func (r sourceRoot) ReadLeafAt(i int, buf []byte, off int) (n, size int, err error) {
	n, size, err = r.Root.ReadLeafAt(i, buf, off)
	return n, size, swapError(err)
}

// swapError tells a store's error in the words of the swap protocol.
func swapError(err error) error {
	for _, pair := range [...]struct{ from, to error }{
		{store.ErrNotFound, transfer.ErrNotFound},
		{store.ErrChanged, transfer.ErrChanged},
		{store.ErrNotHave, transfer.ErrNotHave},
	} {
		if errors.Is(err, pair.from) {
			return fmt.Errorf("%w: %w", pair.to, err)
		}
	}
	return err
}
