package main

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBencode(t *testing.T) {
	for _, row := range []struct {
		v    any
		want string
	}{
		{-3, "i-3e"},
		{int64(1) << 40, "i1099511627776e"},
		{"", "0:"},
		{"spam", "4:spam"},
		{[]any{"a", 1}, "l1:ai1ee"},
		{map[string]any{"b": "x", "a": []any{}}, "d1:ale1:b1:xe"},
	} {
		var out bytes.Buffer
		bencode(&out, row.v)
		if out.String() != row.want {
			t.Errorf("%v: %q, want %q", row.v, out.String(), row.want)
		}
	}
}

// Pieces run across the borders of files.
func TestTorrentOfTree(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tree")
	a, b := strings.Repeat("a", 200<<10), strings.Repeat("b", 100<<10)
	for name, text := range map[string]string{"a": a, "sub/b": b} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	torrent := filepath.Join(t.TempDir(), "t")
	if err := makeTorrent(dir, "http://x/announce", torrent); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(torrent)
	if err != nil {
		t.Fatal(err)
	}
	all := []byte(a + b)
	first, second := sha1.Sum(all[:256<<10]), sha1.Sum(all[256<<10:])
	want := fmt.Sprintf("d8:announce17:http://x/announce4:infod5:filesld6:lengthi%de4:pathl1:aeed6:lengthi%de4:pathl3:sub1:beee"+
		"4:name4:tree12:piece lengthi262144e6:pieces40:%s%s7:privatei1eee", len(a), len(b), first[:], second[:])
	if string(got) != want {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}
