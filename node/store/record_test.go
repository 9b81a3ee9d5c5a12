package store

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"shoal/chunker"
)

// unhex reads annotated hex: everything after # on a line is a comment.
func unhex(t *testing.T, text string) []byte {
	t.Helper()
	var digits strings.Builder
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRecordFormat(t *testing.T) {
	want := &record{
		id: 300, state: Changed, name: "n", bases: []string{"/a"}, selects: []string{"x"}, reason: "r",
		tree: true, complete: true, sealed: true, files: 2, leaves: 3, nodes: 1, have: 2, size: 130, haveBytes: 5, added: -1, bad: 1,
		partDevice: 5, leftOut: "l", excludes: []string{"e"},
	}
	wire := unhex(t, `
		02          # version
		ac02        # id 300
		04          # state: changed
		8301        # flags: tree, complete, sealed
		01 6e       # name
		00          # suggested
		00 00       # dir, part
		00          # sub
		01 72       # reason
		01 02 2f61  # one base: /a
		01 01 78    # one select: x
		02 03 01    # files, leaves, nodes
		02 01       # have, bad
		8201 05     # size, bytes had
		01          # added, zigzag
		00          # inode of the part
		05          # its device
		01 6c       # left out
		01 01 65    # one pattern left out: e`)
	if got := want.encode(); !bytes.Equal(got, wire) {
		t.Errorf("encoded %x, want %x", got, wire)
	}
	got, err := decodeRecord(wire)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("decoded %+v, %v", got, err)
	}
	for n := range wire {
		if _, err := decodeRecord(wire[:n]); err == nil {
			t.Errorf("%d of %d bytes were accepted", n, len(wire))
		}
	}
}

// TestRecordEnd: what a download was asked for last, and which ignore files a share has beside it, is written only where there is something.
func TestRecordEnd(t *testing.T) {
	plain := &record{id: 1, state: Paused}
	for _, row := range []struct {
		focus, ignores []string
		end            []byte
	}{
		{[]string{"x"}, nil, []byte{1, 1, 'x', 0}},
		{nil, []string{"y"}, []byte{0, 1, 1, 'y'}},
	} {
		want := *plain
		want.focus, want.ignores = row.focus, row.ignores
		wire := append(plain.encode(), row.end...)
		if got := want.encode(); !bytes.Equal(got, wire) {
			t.Errorf("encoded %x, want %x", got, wire)
		}
		if got, err := decodeRecord(wire); err != nil || !reflect.DeepEqual(got, &want) {
			t.Errorf("decoded %+v, %v", got, err)
		}
	}
	if _, err := decodeRecord(append(plain.encode(), 0, 0)); err == nil {
		t.Error("two empty lists were read, which are not written")
	}
}

// TestVersion1 reads what shoal wrote before rows held a time of change and a device.
func TestVersion1(t *testing.T) {
	got, err := decodeRow(keyFile(tagFile, 1, 7, 9), unhex(t, `01 01 01 61  05 02 02  03 02 05`))
	want := row{leaf: 7, entry: 9, base: 1, path: "a", stat: chunker.FileStat{Size: 5, ModTime: 1, Inode: 2}, cut: cut{leaves: 3, size: 5, chunk: 2}}
	if err != nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("row: %+v, %v", got, err)
	}
	rec, err := decodeRecord(unhex(t, `01 01 02 00  00 00 00 00 00 00  00 00  00 00 00 00 00  00 00 00 09`))
	if err != nil || rec.partInode != 9 || rec.sealed || rec.partDevice != 0 || rec.state != Fetching {
		t.Errorf("record: %+v, %v", rec, err)
	}
	if _, err := decodeRow(nil, unhex(t, `03 01 01 61  05 02 02 00 00  03 02 05`)); err == nil {
		t.Error("a row of version 3 was read")
	}
}

func TestRowFormat(t *testing.T) {
	rows := []struct {
		name string
		row  row
		wire string
	}{
		{"equal leaves", row{leaf: 7, entry: 9, base: 1, path: "a", stat: chunker.FileStat{Size: 5, ModTime: 1, Ctime: 2, Inode: 2, Device: 3}, cut: cut{leaves: 3, size: 5, chunk: 2}},
			`02 01 01 61  # version, base, path
			 05 02 02     # size, mtime, inode
			 04 03        # time of change, device
			 03 02 05     # 3 leaves of 2 bytes, 5 in all`},
		{"unequal leaves", row{leaf: 7, entry: 9, path: "a", stat: chunker.FileStat{Size: 5}, cut: cut{leaves: 3, size: 5, ends: []int64{1, 1, 5}}},
			`02 00 01 61  # version, base, path
			 05 00 00     # size, mtime, inode
			 00 00        # time of change, device
			 03 00        # 3 leaves of various sizes:
			 01 00 04`},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			wire := unhex(t, r.wire)
			if got := r.row.encode(); !bytes.Equal(got, wire) {
				t.Errorf("encoded %x, want %x", got, wire)
			}
			got, err := decodeRow(keyFile(tagFile, 1, 7, 9), wire)
			if err != nil || !reflect.DeepEqual(*got, r.row) {
				t.Errorf("decoded %+v, %v", got, err)
			}
		})
	}
}

func TestCut(t *testing.T) {
	rows := []struct {
		name  string
		sizes []int64
		even  bool
	}{
		{"none", nil, true}, {"one empty", []int64{0}, true}, {"one", []int64{9}, true}, {"even", []int64{4, 4, 4}, true},
		{"shorter last", []int64{4, 4, 1}, true}, {"longer last", []int64{4, 4, 5}, false}, {"shorter middle", []int64{4, 3, 4}, false},
		{"empty last", []int64{4, 4, 0}, false}, {"empty first", []int64{0, 4}, false}, {"all empty", []int64{0, 0}, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			c := newCut(len(row.sizes), func(k int) int64 { return row.sizes[k] })
			if (c.chunk > 0) != row.even {
				t.Errorf("even %v, want %v", c.chunk > 0, row.even)
			}
			var e encoder
			c.encode(&e)
			d := decoder{buf: e.buf}
			back := decodeCut(&d)
			if err := d.end(); err != nil {
				t.Fatal(err)
			}
			var offset int64
			for k, n := range row.sizes {
				for _, c := range []cut{c, back} {
					if o, s := c.at(k); o != offset || int64(s) != n {
						t.Errorf("leaf %d at %d+%d, want %d+%d", k, o, s, offset, n)
					}
				}
				offset += n
			}
			if back.size != offset || back.leaves != len(row.sizes) {
				t.Errorf("size %d, leaves %d", back.size, back.leaves)
			}
		})
	}
}

// FuzzRecord decodes anything; what decodes encodes to the same bytes, or where it is of an old version to what decodes to the same.
func FuzzRecord(f *testing.F) {
	f.Add((&record{id: 1, state: Fetching, dir: "/d", part: "p.part", selects: []string{"a", "b"}}).encode())
	f.Add((&record{id: 1 << 40, state: Complete, bases: []string{"/x"}, all: true, added: -5, size: 1 << 50}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRecord(b)
		if err != nil {
			return
		}
		got := r.encode()
		if again, err := decodeRecord(got); err != nil || !reflect.DeepEqual(again, r) || b[0] == recordVersion && !bytes.Equal(got, b) {
			t.Errorf("%x became %x: %v", b, got, err)
		}
	})
}

// FuzzRow is FuzzRecord for rows, whose leaves lie within their size.
func FuzzRow(f *testing.F) {
	f.Add((&row{path: "a/b", stat: chunker.FileStat{Size: 9, ModTime: 1, Inode: 3}, cut: cut{leaves: 3, size: 9, chunk: 4}}).encode())
	f.Add((&row{cut: cut{leaves: 2, size: 9, ends: []int64{4, 9}}}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRow(nil, b)
		if err != nil {
			return
		}
		got := r.encode()
		if again, err := decodeRow(nil, got); err != nil || !reflect.DeepEqual(again, r) || b[0] == recordVersion && !bytes.Equal(got, b) {
			t.Errorf("%x became %x: %v", b, got, err)
		}
		for k := range min(r.cut.leaves, 1000) {
			if o, n := r.cut.at(k); o < 0 || n < 0 || o+int64(n) > r.cut.size {
				t.Errorf("leaf %d at %d+%d of %d", k, o, n, r.cut.size)
			}
		}
	})
}

// FuzzTail is FuzzRecord for tails.
func FuzzTail(f *testing.F) {
	f.Add(tail{seq: 7, lines: 9, live: 3, stat: chunker.FileStat{Size: 9, ModTime: 1, Inode: 3, Ctime: -1, Device: 2}}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := decodeTail(b); err == nil && b[0] == recordVersion && !bytes.Equal(got.encode(), b) {
			t.Errorf("%x became %x", b, got.encode())
		}
	})
}

// TestSafeName keeps what the system takes.
func TestSafeName(t *testing.T) {
	long := strings.Repeat("x", 251) + ".bin"
	for _, row := range []struct{ given, unix, windows string }{
		{"a:b.txt", "a:b.txt", "a_b.txt"},
		{".hidden", ".hidden", ".hidden"},
		{"con", "con", "_con"},
		{"Con.txt", "Con.txt", "_Con.txt"},
		{"what?", "what?", "what_"},
		{"dots...", "dots...", "dots"},
		{"back\\slash", "back\\slash", "slash"},
		{long, long, long},
		{"y" + long, "y" + strings.Repeat("x", 250) + ".bin", "y" + strings.Repeat("x", 250) + ".bin"},
		{"../../etc/passwd", "passwd", "passwd"},
		{"a/..", "", ""},
		{".", "", ""},
		{"\u202egpj.exe", "_gpj.exe", "_gpj.exe"},
		{"a\x00b\nc", "a_b_c", "a_b_c"},
		{"a\xff\u202eb", "a\xff_b", "a__b"},
	} {
		if got := safeName(row.given, false); got != row.unix {
			t.Errorf("%q became %q, want %q", row.given, got, row.unix)
		}
		if got := safeName(row.given, true); got != row.windows {
			t.Errorf("%q became %q on Windows, want %q", row.given, got, row.windows)
		}
	}
}

// FuzzSafeName: what is left of any name is one harmless path element.
func FuzzSafeName(f *testing.F) {
	for _, s := range []string{"a", "../x", `..\con.txt`, "\x00", "é\xff", strings.Repeat("x", 300), "con." + strings.Repeat("x", 196), " . "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, windows := range []bool{false, true} {
			got := safeName(s, windows)
			if got != "" && (!elementOf(got) || strings.ContainsAny(got, "/\x00\x7f\u202e") || windows && strings.ContainsAny(got, "\\:") || safeName(got, windows) != got) {
				t.Errorf("%q became %q", s, got)
			}
		}
		if got := suggestedName(s); got != "" && (!elementOf(got) || got[0] == '.' || suggestedName(got) != got) {
			t.Errorf("%q, suggested, became %q", s, got)
		}
	})
}
