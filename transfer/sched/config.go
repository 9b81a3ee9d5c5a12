package sched

import "time"

// Config tunes a State. The zero value is ready for use.
type Config struct {
	Seed      uint64        // of the random ties
	MinWindow int64         // bytes a new peer may owe us; 0: 2 MiB
	MaxWindow int64         // bytes any peer may owe us; 0: 32 MiB
	Stall     time.Duration // silence after which a peer loses its work; 0: 3 s
	MaxRun    uint32        // leaves in one request; 0: 65,536
	MaxLeaves uint32        // leaves ever heeded; 0: 1<<26
	MaxPeers  int           // peers beyond these are dropped on Join; 0: 1,024
	InOrder   bool          // for a reader that waits for the lowest leaf needed
}

// MaxLeaves is the default of the config's: leaves beyond it are not fetched.
const MaxLeaves = 1 << 26

const (
	defaultMinWindow = 2 << 20
	defaultMaxWindow = 32 << 20
	defaultStall     = 3 * time.Second
	defaultMaxRun    = 1 << 16
	defaultMaxPeers  = 1024
	topPeers         = 1 << 14 // an int16 counts the availability
)

// withDefaults fills in what was left zero and straightens what makes no sense.
func (c Config) withDefaults() Config {
	if c.MinWindow <= 0 {
		c.MinWindow = defaultMinWindow
	}
	if c.MaxWindow <= 0 {
		c.MaxWindow = defaultMaxWindow
	}
	c.MaxWindow = max(c.MaxWindow, c.MinWindow)
	if c.Stall <= 0 {
		c.Stall = defaultStall
	}
	if c.MaxRun == 0 {
		c.MaxRun = defaultMaxRun
	}
	if c.MaxLeaves == 0 {
		c.MaxLeaves = MaxLeaves
	}
	if c.MaxPeers <= 0 {
		c.MaxPeers = defaultMaxPeers
	}
	c.MaxPeers = min(c.MaxPeers, topPeers)
	return c
}
