package dht

import (
	"sync"

	mh "github.com/multiformats/go-multihash"
)

// gather writes what concurrent callers bring in as few batches as it can: while one writes, the others collect, and the
// next one writes for all of them. The zero value is ready.
type gather struct {
	turn sync.Mutex // held while writing

	mu   sync.Mutex
	come []*brought
}

// brought is what one caller waits for.
type brought struct {
	hashes []mh.Multihash
	done   bool
	err    error
}

// do returns when write has been called with these hashes, among others, and its error.
func (g *gather) do(hashes []mh.Multihash, write func([]mh.Multihash) error) error {
	mine := &brought{hashes: hashes}
	g.mu.Lock()
	g.come = append(g.come, mine)
	g.mu.Unlock()
	g.turn.Lock()
	defer g.turn.Unlock()
	if mine.done {
		return mine.err
	}
	g.mu.Lock()
	come := g.come
	g.come = nil
	g.mu.Unlock()
	var all []mh.Multihash
	for _, b := range come {
		all = append(all, b.hashes...)
	}
	err := write(all)
	for _, b := range come {
		b.done, b.err = true, err
	}
	return err
}
