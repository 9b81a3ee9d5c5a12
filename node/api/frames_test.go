package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"testing"
)

// frames writes data and an event as the daemon does.
func frames(data []byte, events ...event) []byte {
	var b bytes.Buffer
	f := &frameWriter{w: &b, flush: func() {}}
	f.Write(data)
	for _, e := range events {
		f.send(e)
	}
	return b.Bytes()
}

func TestReadFrames(t *testing.T) {
	done := event{Event: eventDone, Result: json.RawMessage(`7`)}
	whole := frames([]byte("hello"), event{Event: eventProgress, Progress: &Progress{Bytes: 1}}, done)
	rows := []struct {
		name   string
		in     []byte
		data   string
		result string
		code   Code // of the error; "": none
	}{
		{"whole", whole, "hello", "7", ""},
		{"nothing", nil, "", "", Stopped},
		{"cut in a header", whole[:3], "", "", Stopped},
		{"cut in data", whole[:8], "hel", "", Stopped},
		{"cut between frames", whole[:10], "hello", "", Stopped},
		{"cut in an event", whole[:len(whole)-1], "hello", "", Stopped},
		{"an error", frames([]byte("x"), event{Event: eventError, Error: Errorf(Damaged, "d")}), "x", "", Damaged},
		{"an unknown kind", append([]byte("?\x00\x00\x00\x02ab"), whole...), "hello", "7", ""},
		{"too long", []byte("D\xff\xff\xff\xff"), "", "", Internal},
		{"no JSON", []byte("E\x00\x00\x00\x01{"), "", "", Internal},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			var data bytes.Buffer
			res, err := readFrames(bytes.NewReader(row.in), &data, func(event) {})
			if data.String() != row.data || string(res) != row.result || row.code == "" && err != nil {
				t.Errorf("data %q, result %s, %v", data.String(), res, err)
			}
			if row.code != "" && (err == nil || AsError(err).Code != row.code) {
				t.Errorf("%v, want code %s", err, row.code)
			}
		})
	}
}

// What is written comes out again, in however many frames.
func FuzzReadFrames(f *testing.F) {
	f.Add(frames([]byte("hello"), event{Event: eventDone, Result: json.RawMessage(`{}`)}))
	f.Add([]byte("D\x00\x00\x00\x02ab"))
	f.Add([]byte("E\x00\x00\x00\x11{\"event\":\"error\"}"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var data bytes.Buffer
		var events []event
		res, err := readFrames(bytes.NewReader(in), &data, func(e event) { events = append(events, e) })
		if err != nil {
			return
		}
		again := frames(data.Bytes(), append(events, event{Event: eventDone, Result: res})...)
		var copied bytes.Buffer
		if _, err := readFrames(bytes.NewReader(again), &copied, func(event) {}); err != nil || !bytes.Equal(copied.Bytes(), data.Bytes()) {
			t.Fatalf("%v, %d bytes of %d", err, copied.Len(), data.Len())
		}
	})
}

func TestFrameWriterReaderGone(t *testing.T) {
	r, w := io.Pipe()
	r.Close()
	f := &frameWriter{w: w, flush: func() {}}
	if n, err := f.Write([]byte("x")); n != 0 || !errors.Is(err, io.ErrClosedPipe) || !f.gone() {
		t.Errorf("%d, %v", n, err)
	}
	f.send(event{Event: eventDone})
}

func TestRange(t *testing.T) {
	rows := []struct {
		text         string
		size         int64
		first, count int64
		ok           bool
	}{
		{"", 10, 0, 10, true},
		{"", 0, 0, 0, true},
		{"0-0", 10, 0, 1, true},
		{"0-9", 10, 0, 10, true},
		{"3-5", 10, 3, 3, true},
		{"3-", 10, 3, 7, true},
		{"9-100", 10, 9, 1, true},
		{"-3", 10, 7, 3, true},
		{"-30", 10, 0, 10, true},
		{"10-", 10, 0, 0, false},
		{"10-20", 10, 0, 0, false},
		{"0-", 0, 0, 0, true},
		{"0-5", 0, 0, 0, false},
		{"-1", 0, 0, 0, false},
		{"-0", 10, 0, 0, false},
		{"5-4", 10, 0, 0, false},
		{"-", 10, 0, 0, false},
		{"5", 10, 0, 0, false},
		{"a-b", 10, 0, 0, false},
		{"1-2-3", 10, 0, 0, false},
		{"+1-2", 10, 0, 0, false},
		{"0-9223372036854775807", 10, 0, 10, true},
		{"0-9223372036854775808", 10, 0, 0, false},
		{"9223372036854775807-", 10, 0, 0, false},
	}
	for _, row := range rows {
		r, err := ParseRange(row.text)
		var first, count int64
		if err == nil {
			first, count, err = r.Of(row.size)
		}
		if (err == nil) != row.ok || first != row.first || count != row.count || err != nil && AsError(err).Code != Invalid {
			t.Errorf("%q of %d: %d, %d, %v", row.text, row.size, first, count, err)
		}
	}
}

func FuzzParseRange(f *testing.F) {
	f.Add("0-9", int64(5))
	f.Add("-3", int64(9))
	f.Fuzz(func(t *testing.T, s string, size int64) {
		r, err := ParseRange(s)
		if err != nil || size < 0 {
			return
		}
		first, count, err := r.Of(size)
		if err == nil && (first < 0 || count < 0 || first > size-count || count == 0 && r != wholeFile) {
			t.Errorf("%q of %d: %d, %d", s, size, first, count)
		}
	})
}
