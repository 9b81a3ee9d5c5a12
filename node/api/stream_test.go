package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
)

// TestStreamSlowReader checks that a reader that stands still delays nobody and misses only what newer reports replaced.
func TestStreamSlowReader(t *testing.T) {
	r, w := io.Pipe()
	s := newStreamWriter(w, func() {})
	for n := range int64(10_000) { // nobody reads yet
		s.send(event{Event: eventProgress, Progress: &Progress{Bytes: n}})
	}
	s.send(event{Event: eventProgress, Progress: &Progress{Warning: &Issue{Path: "w"}}})
	s.send(event{Event: eventDone, Result: json.RawMessage(`7`)})
	go func() {
		s.close()
		w.Close()
	}()
	var reports, warnings int
	var last int64
	res, err := readStream(r, func(e event) {
		if e.Progress.Warning != nil {
			warnings++
			return
		}
		reports++
		last = e.Progress.Bytes
	})
	if err != nil || string(res) != "7" || warnings != 1 || last != 9_999 || reports > 10 {
		t.Errorf("result %s, %v, %d warnings, %d reports, last %d", res, err, warnings, reports, last)
	}
}

// TestStreamReaderGone checks that a reader that has gone leaves no goroutine waiting.
func TestStreamReaderGone(t *testing.T) {
	r, w := io.Pipe()
	r.Close()
	s := newStreamWriter(w, func() {})
	for range 2 * maxPending {
		s.send(event{Event: eventProvider, Provider: &Provider{ID: "p"}})
	}
	s.close()
}

func TestReadStreamBounds(t *testing.T) {
	long := `{"event":"progress","x":"` + strings.Repeat("a", maxLine) + "\"}\n"
	if _, err := readStream(strings.NewReader(long), func(event) {}); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a line that is too long: %v", err)
	}
}

// FuzzReadStream feeds the decoder of streamed answers. Whatever it accepts it must understand the same way again.
func FuzzReadStream(f *testing.F) {
	for _, seed := range []string{
		"{\"event\":\"progress\",\"progress\":{\"state\":\"fetching\",\"bytes\":5}}\n{\"event\":\"done\",\"result\":{\"cid\":\"b\"}}\n",
		"{\"event\":\"error\",\"error\":{\"code\":\"exists\",\"message\":\"m\",\"hint\":\"h\"}}\n",
		"{\"event\":\"provider\",\"provider\":{\"id\":\"p\",\"addrs\":null}}\n",
		"\n\n{\"event\":\"done\"}\n", "{}", "[]\n", "{\"event\":\"done\"",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var events []event
		res, err := readStream(bytes.NewReader(in), func(e event) { events = append(events, e) })
		var again bytes.Buffer
		enc := json.NewEncoder(&again)
		var e *Error
		switch {
		case err == nil:
			events = append(events, event{Event: eventDone, Result: res})
		case errors.As(err, &e) && e.Code != Stopped:
			events = append(events, event{Event: eventError, Error: e})
		default:
			return
		}
		for _, e := range events {
			if err := enc.Encode(e); err != nil {
				t.Fatalf("encode what was decoded: %v", err)
			}
		}
		n := 0
		res2, err2 := readStream(&again, func(event) { n++ })
		if (err == nil) != (err2 == nil) || n != len(events)-1 || err == nil && len(res) > 0 && !json.Valid(res2) {
			t.Fatalf("second reading: %v, %d events; first: %v, %d events", err2, n, err, len(events)-1)
		}
	})
}
