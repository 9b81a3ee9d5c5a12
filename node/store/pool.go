package store

import (
	"errors"
	"io"
	"sync"
)

// pool keeps up to max handles open by key, the most recently used ones. A handle
// in use is never closed.
type pool[K comparable, V io.Closer] struct {
	mu   sync.Mutex
	max  int
	tick uint64
	m    map[K]*pooled[V]
}

type pooled[V io.Closer] struct {
	once sync.Once
	v    V
	err  error
	open bool
	refs int
	used uint64

	writing sync.Mutex // for the holder's use
}

func newPool[K comparable, V io.Closer](max int) *pool[K, V] {
	return &pool[K, V]{max: max, m: map[K]*pooled[V]{}}
}

// acquire opens k unless it is open, and holds it until release. An error of open is
// not kept.
func (p *pool[K, V]) acquire(k K, open func() (V, error)) (*pooled[V], error) {
	p.mu.Lock()
	h := p.m[k]
	var evicted []V
	if h == nil {
		h = &pooled[V]{}
		p.m[k] = h
		evicted = p.evict()
	}
	p.tick++
	h.refs++
	h.used = p.tick
	p.mu.Unlock()
	for _, v := range evicted {
		v.Close() // data reaches the disk by sync, not by close
	}
	h.once.Do(func() { h.v, h.err = open() })
	p.mu.Lock()
	if h.open = h.err == nil; h.open {
		p.mu.Unlock()
		return h, nil
	}
	if h.refs--; p.m[k] == h {
		delete(p.m, k)
	}
	p.mu.Unlock()
	return nil, h.err
}

// evict makes room, under the lock. Handles in use may exceed max for a moment.
func (p *pool[K, V]) evict() (out []V) {
	for len(p.m) > p.max {
		var oldest K
		var h *pooled[V]
		for k, c := range p.m {
			if c.refs == 0 && c.used > 0 && (h == nil || c.used < h.used) {
				oldest, h = k, c
			}
		}
		if h == nil {
			return out
		}
		delete(p.m, oldest)
		out = append(out, h.v)
	}
	return out
}

// peek holds the handle of k if it is open, until release; nil: it is not.
func (p *pool[K, V]) peek(k K) *pooled[V] {
	p.mu.Lock()
	h := p.m[k]
	if h != nil && !h.open {
		h = nil // it is being opened
	}
	if h != nil {
		h.refs++
	}
	p.mu.Unlock()
	return h
}

func (p *pool[K, V]) release(h *pooled[V]) {
	p.mu.Lock()
	h.refs--
	p.mu.Unlock()
}

// close closes all. Nothing may be in use.
func (p *pool[K, V]) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for k, h := range p.m {
		errs = append(errs, h.v.Close())
		delete(p.m, k)
	}
	return errors.Join(errs...)
}

// shrink closes what nobody uses, for the want of descriptors.
func (p *pool[K, V]) shrink() {
	p.mu.Lock()
	var idle []V
	for k, h := range p.m {
		if h.refs == 0 && h.used > 0 {
			delete(p.m, k)
			idle = append(idle, h.v)
		}
	}
	p.mu.Unlock()
	for _, v := range idle {
		v.Close()
	}
}
