package store

import "sync"

// gate lets the index be closed under users who come late: Pebble panics when it is
// used after Close. Unlike a read lock it may be entered again by who is inside.
type gate struct {
	mu     sync.Mutex
	idle   sync.Cond
	inside int
	shut   bool
}

// enter asks to use the index; ErrClosed once it is being closed.
func (g *gate) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return ErrClosed
	}
	g.inside++
	return nil
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 && g.shut {
		g.idle.Broadcast()
	}
}

// close lets nobody in any more and waits for those inside.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.idle.L = &g.mu
	g.shut = true
	for g.inside > 0 {
		g.idle.Wait()
	}
}
