package api

import (
	"bufio"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
)

func listOf(text string) ([]Entry, error) {
	return readList[Entry](bufio.NewReaderSize(strings.NewReader(text), 16))
}

// TestList writes and reads lists; one that was cut short is an error, wherever.
func TestList(t *testing.T) {
	for _, want := range [][]Entry{nil, {{Path: "a"}}, {{Path: "a"}, {Path: "b\xff,\n]", Size: 3}, {Path: strings.Repeat("long", 99)}}} {
		w := httptest.NewRecorder()
		if err := writeList(w, reflect.ValueOf(want)); err != nil {
			t.Fatal(err)
		}
		text := w.Body.String()
		if got, err := listOf(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s was read as %+v, %v", text, got, err)
		}
		for n := range len(text) {
			if got, err := listOf(text[:n]); err == nil && n < len(text)-1 {
				t.Errorf("%s, cut to %d bytes, was read as %+v", text, n, got)
			}
		}
		var all []Entry
		if err := Unmarshal([]byte(text), &all); err != nil || len(all) != len(want) {
			t.Errorf("%s is no array: %+v, %v", text, all, err)
		}
	}
	if got, err := listOf(`[{"path":"a"},{"path":"b"}]`); err != nil || len(got) != 2 {
		t.Errorf("on one line: %+v, %v", got, err)
	}
}

func FuzzList(f *testing.F) {
	f.Add("[\n{\"path\":\"a\"},\n{\"path\":\"b\"}\n]\n")
	f.Add(`[{"path":"a"}]`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := listOf(text)
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		if err := writeList(w, reflect.ValueOf(got)); err != nil {
			t.Fatal(err)
		}
		if again, err := listOf(w.Body.String()); err != nil || len(again) != len(got) {
			t.Errorf("%q became %q: %v", text, w.Body.String(), err)
		}
	})
}
