package api_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
	"unicode/utf8"

	"shoal/node/api"
)

// Every byte of a string comes through, and valid text stays plain.
func TestText(t *testing.T) {
	for _, row := range []struct{ name, text, json string }{
		{"plain", "out", `"out"`},
		{"umlaut", "ä<&>", `"ä<&>"`},
		{"a byte", "out\xff", `"out\udcff"`},
		{"a cut umlaut", "\xc3", `"\udcc3"`},
		{"a surrogate as bytes", "\xed\xb3\xbf", `"\udced\udcb3\udcbf"`},
		{"replacement character", "\uFFFD", "\"\uFFFD\""},
		{"both", "\uFFFD\xfe", "\"\uFFFD\\udcfe\""},
		{"an escape as text", `\udcff`, `"\\udcff"`},
		{"an escape as text, and a byte", "\\udcff\xff", `"\\udcff\udcff"`},
		{"the mark", "\uFDD0", "\"\uFDD0\""},
		{"the mark and a byte", "\uFDD0ff\x80\uFDD0--\uFDD0", "\"\uFDD0ff\\udc80\uFDD0--\uFDD0\""},
		{"beside an emoji", "😀\xf0\x9f\x98", `"😀\udcf0\udc9f\udc98"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			raw, err := api.Marshal(row.text)
			if err != nil || string(raw) != row.json {
				t.Errorf("%s, %v; want %s", raw, err, row.json)
			}
			var back string
			if err := api.Unmarshal(raw, &back); err != nil || back != row.text {
				t.Errorf("%q, %v; want %q", back, err, row.text)
			}
			if !json.Valid(raw) || !utf8.Valid(raw) {
				t.Errorf("%s is not JSON", raw)
			}
		})
	}
}

// All that an answer is made of comes through, at any depth.
func TestTextDeep(t *testing.T) {
	bad := "/\xff\uFDD0"
	raw, err := api.Marshal(api.ShareResult{Name: bad, Skipped: []api.Issue{{Path: bad, Reason: bad}}})
	if err != nil {
		t.Fatal(err)
	}
	type all struct {
		api.Cause
		Result  json.RawMessage  `json:"result"`
		Pointer *api.Error       `json:"pointer"`
		Map     map[string]int64 `json:"map"`
		List    []string         `json:"list"`
		When    time.Time        `json:"when"`
		State   api.State        `json:"state"`
		Nil     *api.Error       `json:"nil"`
		None    []string         `json:"none"`
	}
	want := all{
		Cause: api.Cause{What: bad}, Result: raw, Pointer: api.Errorf(api.Exists, "%s", bad), Map: map[string]int64{bad: 1},
		List: []string{bad, "plain"}, When: time.Unix(5, 0).UTC(), State: api.State(bad),
	}
	line, err := api.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got all
	if err := api.Unmarshal(line, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v\nwant %+v", got, err, want)
	}
	var inner api.ShareResult
	if err := api.Unmarshal(got.Result, &inner); err != nil || inner.Name != bad || inner.Skipped[0].Path != bad {
		t.Errorf("%+v, %v", inner, err)
	}
}

func FuzzText(f *testing.F) {
	f.Add("out\xff\uFDD0\\udcff")
	f.Fuzz(func(t *testing.T, s string) {
		raw, err := api.Marshal(map[string][]string{s: {s}})
		if err != nil {
			t.Fatal(err)
		}
		var back map[string][]string
		if err := api.Unmarshal(raw, &back); err != nil || len(back[s]) != 1 || back[s][0] != s {
			t.Fatalf("%q gave %s and %q, %v", s, raw, back, err)
		}
	})
}
