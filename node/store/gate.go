package store

import "sync"

// gate lets the index be closed under users who come late: Pebble panics when it is
// used after Close. Unlike a read lock it may be entered again by who is inside.
type gate struct {
	mu     sync.Mutex
	idle   sync.Cond
	inside int
	shut   bool
	paused bool
}

// enter asks to use the index; ErrClosed once it is being closed.
func (g *gate) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.idle.L = &g.mu
	for g.paused {
		g.idle.Wait()
	}
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

// pause has those who come wait until resume, if nobody is inside: who is may have to come in again.
func (g *gate) pause() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.paused = g.inside == 0 && !g.shut
	return g.paused
}

func (g *gate) resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.paused = false
	g.idle.L = &g.mu
	g.idle.Broadcast()
}
