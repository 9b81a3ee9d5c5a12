package dht

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// savedExample is one saved peer, byte by byte.
const savedExample = `
01                 version
01                 one peer
80f5cdc206         seen: 1750301312 s
26                 38 bytes of peer ID
002408011220       identity multihash of a 36 byte key: Ed25519, 32 bytes
6a7a6d1b9aa2e0d5b4b4e06b8f2ac5f8a4dbf3f3e9f7a4d2c1b0a99887766554
01                 one address
08                 8 bytes
047f000001061f90   /ip4/127.0.0.1/tcp/8080
`

func unhex(t testing.TB, annotated string) []byte {
	t.Helper()
	var digits strings.Builder
	for line := range strings.Lines(strings.TrimSpace(annotated)) {
		digits.WriteString(strings.Fields(line)[0])
	}
	b, err := hex.DecodeString(digits.String())
	must(t, err)
	return b
}

func TestSavedPeersBytes(t *testing.T) {
	row := unhex(t, savedExample)
	peers, err := decodeSaved(row)
	must(t, err)
	if len(peers) != 1 || peers[0].Seen.Unix() != 1750301312 || len(peers[0].Addrs) != 1 ||
		peers[0].Addrs[0].String() != "/ip4/127.0.0.1/tcp/8080" || peers[0].ID.Validate() != nil {
		t.Fatalf("%+v", peers)
	}
	if again := encodeSaved(peers); !bytes.Equal(again, row) {
		t.Errorf("encoded again: %x", again)
	}
}

func TestSavedPeersRefused(t *testing.T) {
	good := unhex(t, savedExample)
	change := func(i int, b byte) []byte {
		c := bytes.Clone(good)
		c[i] = b
		return c
	}
	for _, tt := range []struct {
		name string
		row  []byte
	}{
		{"nothing", nil},
		{"another version", change(0, 2)},
		{"more peers than there are", change(1, 2)},
		{"more peers than allowed", append([]byte{1, 0xc9, 0x01}, good[2:]...)},
		{"count not minimal", append([]byte{1, 0x81, 0x00}, good[2:]...)},
		{"an ID longer than allowed", change(7, 65)},
		{"an ID that is none", change(8, 0x99)},
		{"more addresses than allowed", change(46, 9)},
		{"an address longer than the row", change(47, 100)},
		{"an address that is none", change(48, 0x7f)},
		{"bytes too many", append(bytes.Clone(good), 0)},
		{"cut short", good[:len(good)-1]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if peers, err := decodeSaved(tt.row); err == nil {
				t.Errorf("accepted: %+v", peers)
			}
		})
	}
}

func FuzzSavedPeers(f *testing.F) {
	row := unhex(f, savedExample)
	f.Add(row)
	f.Add(row[:20])
	f.Add([]byte{1, 0})
	f.Fuzz(func(t *testing.T, row []byte) {
		peers, err := decodeSaved(row)
		if err != nil {
			return
		}
		if len(peers) > maxSaved {
			t.Fatalf("%d peers", len(peers))
		}
		if again := encodeSaved(peers); !bytes.Equal(again, row) {
			t.Fatalf("%x decodes, but encodes to %x", row, again)
		}
	})
}

func TestBookKeepsTheNewest(t *testing.T) {
	b := newBook(Local(), "self")
	now := time.Now()
	for i := range maxSaved + 50 {
		id := peerID(t, i)
		b.meet(peer.AddrInfo{ID: id, Addrs: addrs(t, "/ip4/127.0.0.1/tcp/1")}, fromTable)
		b.peers[id].seen = now.Add(-time.Duration(i) * time.Minute)
	}
	b.peers[peerID(t, 3)].seen = now.Add(-maxSavedAge - time.Hour)
	saved := b.trim(now)
	if len(saved) != maxSaved || saved[0].ID != peerID(t, 0) {
		t.Fatalf("%d saved, first %v", len(saved), saved[0].ID)
	}
	for _, s := range saved {
		if s.ID == peerID(t, 3) || s.ID == peerID(t, maxSaved+20) {
			t.Errorf("kept %v, seen %v ago", s.ID, now.Sub(s.Seen))
		}
	}
	if len(b.peers) != maxSaved {
		t.Errorf("the book still has %d peers", len(b.peers))
	}

	again := newBook(Local(), "self")
	decoded, err := decodeSaved(encodeSaved(saved))
	must(t, err)
	again.restore(decoded, now)
	if len(again.trim(now)) != maxSaved {
		t.Errorf("restored %d", len(again.peers))
	}
}

func TestBookBoundsWhatItHears(t *testing.T) {
	b := newBook(LAN(), "self")
	for i := range 2 * maxMDNS {
		b.meet(peer.AddrInfo{ID: peerID(t, i), Addrs: addrs(t, "/ip4/192.168.1.7/tcp/1")}, fromMDNS)
	}
	if len(b.peers) != maxMDNS {
		t.Errorf("%d peers from mDNS", len(b.peers))
	}
	now := time.Now()
	for i := range 100 {
		b.dialled(peerID(t, 0), ErrClosed, now.Add(time.Duration(i)*time.Second))
	}
	if b.addrs(peerID(t, 0)) == nil {
		t.Error("one that cannot be reached for a while is forgotten")
	}
	b.meet(peer.AddrInfo{ID: peerID(t, 8888), Addrs: addrs(t, "/ip4/192.168.1.7/tcp/1")}, fromMDNS)
	if b.addrs(peerID(t, 8888)) == nil || b.addrs(peerID(t, 0)) != nil || len(b.peers) != maxMDNS {
		t.Error("a new one did not take the place of one that cannot be reached")
	}
	b.dialled(peerID(t, 1), ErrClosed, now.Add(forgetMDNS+time.Minute))
	if len(b.peers) != maxMDNS-1 {
		t.Error("one that was not heard of for an hour is kept")
	}
	b.meet(peer.AddrInfo{ID: peerID(t, 9999), Addrs: addrs(t, "/ip4/8.8.8.8/tcp/1")}, fromMDNS)
	b.meet(peer.AddrInfo{ID: "self", Addrs: addrs(t, "/ip4/192.168.1.7/tcp/1")}, fromMDNS)
	if len(b.peers) != maxMDNS-1 {
		t.Error("a public address or this node itself was taken in")
	}
	b.meet(peer.AddrInfo{ID: peerID(t, 9999), Addrs: addrs(t, "/ip4/8.8.8.8/tcp/1")}, fromBootstrap)
	if len(b.addrs(peerID(t, 9999))) != 1 {
		t.Error("a public address that the user gave was refused")
	}
	local := newBook(Local(), "self")
	local.meet(peer.AddrInfo{ID: peerID(t, 9999), Addrs: addrs(t, "/ip4/8.8.8.8/tcp/1")}, fromBootstrap)
	if len(local.peers) != 0 {
		t.Error("local took in an address that is not loopback")
	}
}
