package api

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"reflect"
	"slices"
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
	for _, text := range []string{"[\n{\"path\":\"a\"}\n{\"path\":\"b\"}\n]\n", "[\n{\"path\":\"a\"},\n]\n", "[\n{}],[{}\n]\n", "[\n]]\n]\n"} {
		if got, err := listOf(text); err == nil {
			t.Errorf("%q was read as %+v", text, got)
		}
	}
	if got, err := listOf(`[{"path":"a"},{"path":"b"}]`); err != nil || len(got) != 2 {
		t.Errorf("on one line: %+v, %v", got, err)
	}
}

// TestLongList reads a list of many blocks in its order, and an error in any of them.
func TestLongList(t *testing.T) {
	var want []Entry
	for i := range 5000 {
		want = append(want, Entry{Path: strings.Repeat(string(rune('a'+i%26)), i%200), Size: int64(i)})
	}
	w := httptest.NewRecorder()
	if err := writeList(w, reflect.ValueOf(want)); err != nil {
		t.Fatal(err)
	}
	text := w.Body.String()
	if len(text) < 20*listBlock {
		t.Fatalf("%d bytes are no long list", len(text))
	}
	if got, err := listOf(text); err != nil || !slices.EqualFunc(got, want, func(a, b Entry) bool { return reflect.DeepEqual(a, b) }) {
		t.Errorf("%d elements were read as %d, or others: %v", len(want), len(got), err)
	}
	for _, i := range []int{0, 2500, 4999} {
		broken := strings.Replace(text, fmt.Sprintf(`"size":%d,`, i), `"size":"many",`, 1)
		if got, err := listOf(broken); err == nil || broken == text {
			t.Errorf("with an error in element %d, %d were read", i, len(got))
		}
	}
	for _, n := range []int{listBlock, len(text) / 2, len(text) - 3} {
		if got, err := listOf(text[:n]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut to %d bytes, %d elements were read: %v", n, len(got), err)
		}
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
