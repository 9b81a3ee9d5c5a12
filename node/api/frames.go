package api

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// Frames carry the bytes of a file together with the events of a stream, see doc.go.
const (
	frameHeader = 5       // bytes: kind and length
	maxFrame    = 1 << 20 // bytes of one frame's content

	frameData  = 'D'
	frameEvent = 'E'
)

// frameWriter writes frames, each of them at once.
type frameWriter struct {
	w     io.Writer
	flush func()

	mu  sync.Mutex
	err error // of w; nothing is written behind it
}

// Write implements io.Writer with data frames.
func (f *frameWriter) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n := 0; n < len(p); {
		part := p[n:min(n+maxFrame, len(p))]
		if err := f.frame(frameData, part); err != nil {
			return n, err
		}
		n += len(part)
	}
	return len(p), nil
}

// send writes an event. A report that would have to wait for data to be read is left out: a newer one follows.
func (f *frameWriter) send(e event) {
	if replaceable(e) {
		if !f.mu.TryLock() {
			return
		}
	} else {
		f.mu.Lock()
	}
	defer f.mu.Unlock()
	raw, err := Marshal(e)
	if err != nil || len(raw) > maxFrame {
		raw, _ = Marshal(event{Event: eventError, Error: Errorf(Internal, "an answer cannot be encoded")})
	}
	_ = f.frame(frameEvent, raw) // the reader is gone then, and its context is cancelled
}

// gone says whether nobody reads any more.
func (f *frameWriter) gone() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err != nil
}

// frame writes one frame. mu is held.
func (f *frameWriter) frame(kind byte, p []byte) error {
	if f.err != nil {
		return f.err
	}
	var h [frameHeader]byte
	h[0] = kind
	binary.BigEndian.PutUint32(h[1:], uint32(len(p)))
	if _, f.err = f.w.Write(h[:]); f.err == nil {
		_, f.err = f.w.Write(p)
	}
	f.flush()
	return f.err
}

// writeError is an error of the writer that the data of frames goes to.
type writeError struct{ err error }

func (e writeError) Error() string { return e.err.Error() }
func (e writeError) Unwrap() error { return e.err }

// readFrames copies the data of frames to w and calls on for every event but the last, whose result it returns. A stream
// that was cut off gives an error with code stopped, w's errors are a writeError.
func readFrames(r io.Reader, w io.Writer, on func(event)) (json.RawMessage, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	for {
		kind, n, err := readFrameHeader(br)
		if err == nil {
			switch kind {
			case frameData:
				err = copyData(w, br, n)
			case frameEvent:
				var e event
				if e, err = readEvent(br, n); err == nil {
					if e.last() {
						return e.outcome()
					}
					on(e)
				}
			default: // of a newer daemon
				_, err = io.CopyN(io.Discard, br, int64(n))
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, Errorf(Stopped, "the daemon stopped before all was read").WithHint("What came so far is right, but it is not all.")
		case err != nil:
			return nil, fmt.Errorf("read answer: %w", err)
		}
	}
}

func readFrameHeader(br *bufio.Reader) (kind byte, n int, err error) {
	var h [frameHeader]byte
	if _, err := io.ReadFull(br, h[:]); err != nil {
		return 0, 0, err
	}
	size := binary.BigEndian.Uint32(h[1:])
	if size > maxFrame {
		return 0, 0, fmt.Errorf("a frame of %d bytes", size)
	}
	return h[0], int(size), nil
}

// readEvent reads an event of n bytes.
func readEvent(br *bufio.Reader, n int) (e event, err error) {
	raw := make([]byte, n)
	if _, err := io.ReadFull(br, raw); err != nil {
		return e, err
	}
	return e, Unmarshal(raw, &e)
}

// copyData passes n bytes on, telling the two sides' errors apart.
func copyData(w io.Writer, br *bufio.Reader, n int) error {
	side := &sideWriter{w: w}
	_, err := io.CopyN(side, br, int64(n))
	if side.err != nil {
		return writeError{side.err}
	}
	return err
}

// sideWriter remembers its writer's error.
type sideWriter struct {
	w   io.Writer
	err error
}

func (s *sideWriter) Write(p []byte) (n int, err error) {
	n, s.err = s.w.Write(p)
	return n, s.err
}

// cat streams a file in frames.
func (h *handler) cat(w http.ResponseWriter, r *http.Request) {
	var req CatRequest
	if err := readBody(w, r, &req); err != nil {
		h.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-shoal-frames")
	w.WriteHeader(http.StatusOK)
	rc := http.NewResponseController(w)
	out := &frameWriter{w: w, flush: func() { _ = rc.Flush() }}
	out.flush()
	// A reader that stands still must not hold up the end of the request.
	defer context.AfterFunc(r.Context(), func() { _ = rc.SetWriteDeadline(time.Now().Add(time.Second)) })()
	res, err := h.svc.Cat(r.Context(), req, out, func(p Progress) { out.send(event{Event: eventProgress, Progress: &p}) })
	if out.gone() {
		h.log.Debug("the reader has gone", "path", r.URL.Path, "err", err)
		return
	}
	h.finish(out, r, res, err)
}
