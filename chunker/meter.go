package chunker

import (
	"sync"
	"sync/atomic"
	"time"
)

// reportEvery bounds how often Progress is called.
const reportEvery = 100 * time.Millisecond

// meter counts what has been hashed and reports it at a bounded rate.
type meter struct {
	report func(files, bytes int64)
	files  atomic.Int64
	bytes  atomic.Int64

	mu   sync.Mutex // serialises report
	last time.Time
}

// add counts, and reports if it is time and nobody else is doing so.
func (m *meter) add(files, bytes int64) {
	m.files.Add(files)
	m.bytes.Add(bytes)
	if m.report == nil || !m.mu.TryLock() {
		return
	}
	defer m.mu.Unlock()
	if now := time.Now(); now.Sub(m.last) >= reportEvery {
		m.last = now
		m.report(m.files.Load(), m.bytes.Load())
	}
}

// finish reports the final counts.
func (m *meter) finish() {
	if m.report != nil {
		m.report(m.files.Load(), m.bytes.Load())
	}
}
