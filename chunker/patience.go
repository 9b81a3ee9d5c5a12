package chunker

import (
	"errors"
	"syscall"
	"time"
)

// How long an open waits for a descriptor: other workers and programs close theirs.
const (
	openPatience = 5 * time.Second
	openPause    = 2 * time.Millisecond
)

// patiently runs open again while the process or the system has no descriptor left, or it was interrupted.
func patiently[T any](open func() (T, error)) (T, error) {
	pause, waited := openPause, time.Duration(0)
	for {
		v, err := open()
		busy := errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.EINTR)
		if err == nil || !busy || waited >= openPatience {
			return v, err
		}
		time.Sleep(pause)
		waited += pause
		pause = min(2*pause, 100*time.Millisecond)
	}
}
