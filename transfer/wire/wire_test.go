package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
)

// rawCID is the CID of the empty raw leaf.
const rawHex = "01 55 12 20 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func mustCID(t testing.TB) cid.Cid {
	c, err := cid.Cast(unhex(t, rawHex))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// unhex reads hex, skipping blanks and what follows a # on each line.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	var digits strings.Builder
	for line := range strings.Lines(s) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type vector struct {
	name string
	msg  Message
	hex  string
}

func vectors(t testing.TB) []vector {
	c := mustCID(t)
	return []vector{
		{"hello", Hello{1, 1, 0}, `
			0000000c 01        # 12 bytes, hello
			0001 0001          # versions 1 to 1
			0000000000000000   # no features`},
		{"want", Want{7, WantPeers, c}, `
			0000002d 02        # 45 bytes, want
			00000007 00000001  # handle 7, wants peers
			24 ` + rawHex},
		{"unwant", Unwant{7}, `00000004 03 00000007`},
		{"nodes", Nodes{7, 2}, `
			00000008 04
			00000007 00000002  # from the third node on`},
		{"request", Request{7, []Run{{0, 3}, {9, 1}}}, `
			00000016 05
			00000007 0002      # two runs
			00000000 00000003  # leaves 0 to 2
			00000009 00000001  # leaf 9`},
		{"cancel", Cancel{7, []Run{{0xffffffff, 1}}}, `
			0000000e 06
			00000007 0001
			ffffffff 00000001  # the last leaf there can be`},
		{"blocks", Blocks{3, []cid.Cid{c}}, `
			0000002a 07
			00000003 01        # request 3, one CID
			24 ` + rawHex},
		{"info", Info{7, InfoComplete, 12, "a.bin"}, `
			00000013 08
			00000007 00000001  # handle 7, complete
			0000000c           # 12 leaves
			0005 612e62696e    # "a.bin"`},
		{"haveall", HaveAll{7}, `00000004 09 00000007`},
		{"havebits", HaveBits{7, 8, []byte{0x05, 0x80}}, `
			0000000c 0a
			00000007 00000008  # from leaf 8
			0002 05 80         # leaves 8, 10 and 23`},
		{"haveruns", HaveRuns{7, []Run{{5, 2}}}, `
			0000000e 0b
			00000007 0001
			00000005 00000002`},
		{"node", Node{7, 1, []byte("node")}, `
			0000000c 0c
			00000007 00000001  # the second node
			6e6f6465`},
		{"nonode", NoNode{7, 2}, `
			00000008 0d
			00000007 00000002  # there were two`},
		{"data", Data{7, 9, []byte("leaf")}, `
			0000000c 0e
			00000007 00000009  # leaf 9
			6c656166`},
		{"data of an empty leaf", Data{7, 9, []byte{}}, `00000008 0e 00000007 00000009`},
		{"choke", Choke{7}, `00000004 0f 00000007`},
		{"unchoke", Unchoke{7}, `00000004 10 00000007`},
		{"peers", Peers{7, []Peer{{"ab", [][]byte{{4, 127, 0, 0, 1}}}, {"c", nil}}}, `
			00000013 11
			00000007 02        # two peers
			02 6162            # ID "ab"
			01 0005 047f000001 # one address, /ip4/127.0.0.1
			01 63 00           # ID "c", no address`},
		{"gone", Gone{7, CodeChanged, []Run{{4, 1}}}, `
			0000000f 12
			00000007 02        # the file has changed
			0001 00000004 00000001`},
		{"refused", Refused{7, CodeNotFound}, `00000005 13 00000007 01`},
		{"busy", Busy{7, 1000}, `
			00000008 14
			00000007 000003e8  # a second`},
		{"block", Block{3, 0, []byte("block")}, `
			0000000a 15
			00000003 00        # request 3, its first CID
			626c6f636b`},
		{"noblock", NoBlock{3, 63, CodeNotFound}, `00000006 16 00000003 3f 01`},
		{"pace", Pace{65536}, `00000004 17 00010000`},
		{"begin", Begin{1, 2, 1 << 20}, `0000000c 19 00000001 00000002 00100000`},
		{"part", Part{[]byte("abc")}, `00000003 1a 616263`},
		{"interest", Interest{7, InterestWants | InterestChoked, 2}, `
			00000007 1b
			00000007 03 0002   # wants an offer, answers a choke, two leaves on their way`},
		{"offer", Offer{7, 1 << 20}, `00000008 1c 00000007 00100000`},
		{"corrupt", Corrupt{7, 9}, `00000008 1d 00000007 00000009`},
		{"got", Got{1 << 32}, `00000008 18 0000000100000000`},
	}
}

func TestVectors(t *testing.T) {
	seen := map[Kind]bool{}
	for _, tt := range vectors(t) {
		t.Run(tt.name, func(t *testing.T) {
			want := unhex(t, tt.hex)
			if got := Append(nil, tt.msg); !bytes.Equal(got, want) {
				t.Errorf("encoded %x\nwant    %x", got, want)
			}
			h := ParseHeader(want)
			if err := h.Check(); err != nil || int(h.Length) != len(want)-HeaderSize || !h.Kind.Known() {
				t.Fatalf("header %+v: %v", h, err)
			}
			seen[h.Kind] = true
			got, err := Decode(h.Kind, want[HeaderSize:])
			if err != nil || !reflect.DeepEqual(got, tt.msg) {
				t.Errorf("decoded %+v, %v", got, err)
			}
		})
	}
	for k := range Kind(255) {
		if k.Known() != seen[k] {
			t.Errorf("kind %d: known %v, has a vector %v", k, k.Known(), seen[k])
		}
	}
}

func TestDataHeader(t *testing.T) {
	want := Append(nil, Data{7, 9, []byte("leaf")})
	b := make([]byte, HeaderSize+DataHeaderSize)
	PutDataHeader(b, 7, 9, 4)
	if !bytes.Equal(append(b, "leaf"...), want) {
		t.Errorf("%x, want %x", b, want)
	}
	if handle, leaf := ParseDataHeader(want[HeaderSize:]); handle != 7 || leaf != 9 {
		t.Errorf("handle %d, leaf %d", handle, leaf)
	}
}

// Bytes behind the last known field are of a later version.
func TestAppendedFieldsAreIgnored(t *testing.T) {
	for _, tt := range vectors(t) {
		b := unhex(t, tt.hex)
		switch ParseHeader(b).Kind {
		case KindNode, KindData, KindPart, KindBlock:
			continue // the payload reaches to the end
		}
		got, err := Decode(ParseHeader(b).Kind, append(b[HeaderSize:], 1, 2, 3))
		if err != nil || !reflect.DeepEqual(got, tt.msg) {
			t.Errorf("%s: decoded %+v, %v", tt.name, got, err)
		}
	}
}

func TestTruncated(t *testing.T) {
	for _, tt := range vectors(t) {
		b := unhex(t, tt.hex)
		h := ParseHeader(b)
		least := len(b) - HeaderSize
		switch h.Kind {
		case KindNode, KindData:
			least = 8
		case KindBlock:
			least = 5
		case KindPart:
			least = 0
		}
		for n := range least {
			if m, err := Decode(h.Kind, b[HeaderSize:HeaderSize+n]); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s cut to %d bytes: %+v, %v", tt.name, n, m, err)
			}
		}
	}
}

func TestMalformed(t *testing.T) {
	for _, tt := range []struct {
		name string
		kind Kind
		body string
	}{
		{"unknown kind", 99, ""},
		{"reserved kind", 0, "00000000"},
		{"no runs", KindRequest, "00000007 0000"},
		{"empty run", KindRequest, "00000007 0001 00000005 00000000"},
		{"run beyond the last leaf", KindCancel, "00000007 0001 ffffffff 00000002"},
		{"more runs than there are bytes", KindHaveRuns, "00000007 ffff 00000005 00000001"},
		{"too many runs", KindHaveRuns, "00000007 1001" + strings.Repeat("00000001 00000001", 4097)},
		{"bitmap that is empty", KindHaveBits, "00000007 00000000 0000"},
		{"bitmap that starts within a byte", KindHaveBits, "00000007 00000001 0001 ff"},
		{"bitmap beyond the last leaf", KindHaveBits, "00000007 fffffff8 0002 ffff"},
		{"CID that is not one", KindWant, "00000007 00000000 04 01551220"},
		{"CID of no bytes", KindWant, "00000007 00000000 00"},
		{"no CIDs", KindBlocks, "00000003 00"},
		{"too many CIDs", KindBlocks, "00000003 41" + strings.Repeat("24"+rawHex, 65)},
		{"too many peers", KindPeers, "00000007 1f" + strings.Repeat("01 63 00", 31)},
		{"peer without ID", KindPeers, "00000007 01 00 00"},
		{"too many addresses", KindPeers, "00000007 01 01 63 09" + strings.Repeat("0001 04", 9)},
		{"name that is too long", KindInfo, "00000007 00000000 00000000 0100" + strings.Repeat("61", 256)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if m, err := Decode(tt.kind, unhex(t, tt.body)); !errors.Is(err, ErrMalformed) {
				t.Errorf("%+v, %v", m, err)
			}
		})
	}
}

func TestHeaderLimits(t *testing.T) {
	for _, tt := range []struct {
		h  Header
		ok bool
	}{
		{Header{MaxControl, KindRequest}, true},
		{Header{MaxControl + 1, KindRequest}, false},
		{Header{MaxControl, 200}, true},
		{Header{MaxControl + 1, 200}, false},
		{Header{MaxPayload + 8, KindData}, true},
		{Header{MaxPayload + 9, KindData}, false},
		{Header{MaxPayload + 8, KindNode}, true},
		{Header{MaxPayload + 5, KindBlock}, true},
		{Header{MaxPayload + 6, KindBlock}, false},
		{Header{1<<32 - 1, KindNode}, false},
	} {
		if err := tt.h.Check(); (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%+v: %v", tt.h, err)
		}
	}
}

// FuzzDecode: whatever decodes, encodes to the bytes it came from (but for fields
// of later versions behind them), and those decode to the same.
func FuzzDecode(f *testing.F) {
	for _, v := range vectors(f) {
		b := unhex(f, v.hex)
		f.Add(b[4], b[HeaderSize:])
	}
	f.Fuzz(func(t *testing.T, kind byte, body []byte) {
		m, err := Decode(Kind(kind), body)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		b := Append(nil, m)
		h := ParseHeader(b)
		if h.Kind != Kind(kind) || int(h.Length) != len(b)-HeaderSize || !bytes.HasPrefix(body, b[HeaderSize:]) {
			t.Fatalf("%+v of %x encodes to %x", m, body, b)
		}
		again, err := Decode(h.Kind, b[HeaderSize:])
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%+v, then %+v, %v", m, again, err)
		}
	})
}
