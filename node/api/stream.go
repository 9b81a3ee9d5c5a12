package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// event is one line of a streamed answer: any number of progress or provider events, then one done or error.
type event struct {
	Event    string          `json:"event"`
	Progress *Progress       `json:"progress,omitempty"`
	Provider *Provider       `json:"provider,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Error    *Error          `json:"error,omitempty"`
}

// Values of event.Event. A reader skips those it does not know.
const (
	eventProgress = "progress"
	eventProvider = "provider"
	eventDone     = "done"
	eventError    = "error"
)

const (
	maxLine    = 16 << 20 // bytes of one line of a stream: a result with MaxListed issues of long paths fits many times
	maxPending = 1 << 14  // events a reader may lag behind before warnings are dropped
)

// streamWriter sends events to a reader of any speed without making the operation wait: a plain progress report that has
// not left yet is replaced by the next, warnings and providers queue. It has one goroutine, which close waits for.
type streamWriter struct {
	w     io.Writer
	flush func()

	mu      sync.Mutex
	pending []event
	closed  bool
	wake    chan struct{} // holds one token
	done    chan struct{} // closed when run has returned
}

func newStreamWriter(w io.Writer, flush func()) *streamWriter {
	s := &streamWriter{w: w, flush: flush, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go s.run()
	return s
}

// send queues an event.
func (s *streamWriter) send(e event) {
	s.mu.Lock()
	n := len(s.pending)
	switch {
	case s.closed:
	case n > 0 && replaceable(s.pending[n-1]) && replaceable(e):
		s.pending[n-1] = e
	case n < maxPending || e.Event == eventDone || e.Event == eventError:
		s.pending = append(s.pending, e)
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// replaceable says whether a later progress report makes e worthless.
func replaceable(e event) bool {
	return e.Event == eventProgress && e.Progress.Warning == nil && e.Progress.Verified == nil
}

// close sends what is queued and ends the stream.
func (s *streamWriter) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	<-s.done
}

func (s *streamWriter) run() {
	defer close(s.done)
	var failed bool
	for range s.wake {
		s.mu.Lock()
		batch, closed := s.pending, s.closed
		s.pending = nil
		s.mu.Unlock()
		for _, e := range batch {
			if failed {
				continue
			}
			raw, err := Marshal(e)
			if err == nil {
				_, err = s.w.Write(append(raw, '\n'))
			}
			if err != nil {
				failed = true // the reader is gone; its context is cancelled, and we go on emptying the queue
			}
		}
		if !failed && len(batch) > 0 {
			s.flush()
		}
		if closed {
			return
		}
	}
}

// readStream hands the events of a streamed answer to on until the one that ends it, and gives its result.
// An error event comes back as *Error; a stream that just ends is Stopped.
func readStream(r io.Reader, on func(event)) (json.RawMessage, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := readLine(br)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, Errorf(Stopped, "the daemon stopped before it answered").
				WithHint("Run the command again; a fetch goes on where it stopped.")
		}
		if err != nil {
			return nil, fmt.Errorf("read answer: %w", err)
		}
		var e event
		if err := Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("read answer: %w", err)
		}
		if e.last() {
			return e.outcome()
		}
		on(e)
	}
}

// last says whether the event ends a stream.
func (e event) last() bool { return e.Event == eventDone || e.Event == eventError }

// outcome is what a stream ended with.
func (e event) outcome() (json.RawMessage, error) {
	switch {
	case e.Event == eventDone:
		return e.Result, nil
	case e.Error != nil:
		return nil, e.Error
	}
	return nil, Errorf(Internal, "the daemon reported an error without saying which")
}

// readLine reads one non-empty line of at most maxLine bytes. A last line without a newline was cut off: io.ErrUnexpectedEOF.
func readLine(br *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := br.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			return nil, fmt.Errorf("a line is longer than %d bytes", maxLine)
		}
		line = append(line, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		case len(bytes.TrimSpace(line)) == 0:
			line = line[:0]
		default:
			return line, nil
		}
	}
}
