package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/test"
	ma "github.com/multiformats/go-multiaddr"

	"shoal/chunker"
	"shoal/dht"
	"shoal/node/api"
	"shoal/node/store"
)

func TestIdentityIsKept(t *testing.T) {
	home := t.TempDir()
	if _, err := Identity(home); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Identity of an empty home: %v, want fs.ErrNotExist", err)
	}
	key, err := loadOrCreateKey(home)
	if err != nil {
		t.Fatal(err)
	}
	again, err := loadOrCreateKey(home)
	if err != nil || !key.Equals(again) {
		t.Fatalf("the key changed between two starts (%v)", err)
	}
	fi, err := os.Stat(filepath.Join(home, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", fi.Mode())
	}
	id, err := Identity(home)
	if want, _ := peer.IDFromPrivateKey(key); err != nil || id != want {
		t.Errorf("Identity = %v, %v, want %v", id, err, want)
	}
}

func TestDamagedKeyIsNotReplaced(t *testing.T) {
	home := t.TempDir()
	path := filepath.Join(home, keyFile)
	if err := os.WriteFile(path, []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadOrCreateKey(home); err == nil {
		t.Fatal("a damaged key was accepted")
	}
	if raw, _ := os.ReadFile(path); string(raw) != "not a key" {
		t.Error("a damaged key was overwritten")
	}
}

// TestFlippedKey flips each bit of a key: whatever is read all the same is the key that it was.
func TestFlippedKey(t *testing.T) {
	home := t.TempDir()
	key, err := loadOrCreateKey(home)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(home, keyFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(raw) * 8 {
		raw[i/8] ^= 1 << (i % 8)
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		raw[i/8] ^= 1 << (i % 8)
		if got, err := loadOrCreateKey(home); err == nil && !got.Equals(key) {
			t.Errorf("with bit %d flipped it is another key", i)
		}
	}
	if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	var told *api.Error
	if _, err := loadOrCreateKey(home); !errors.As(err, &told) || told.Code != api.Damaged || told.Hint == "" {
		t.Errorf("a directory in its place: %v", err)
	}
}

func TestConfigCheck(t *testing.T) {
	for _, row := range []struct {
		name string
		cfg  Config
		ok   bool
	}{
		{"zero", Config{}, true},
		{"local", Config{Network: "local"}, true},
		{"unknown network", Config{Network: "moon"}, false},
		{"bad listen", Config{Listen: []string{"127.0.0.1:80"}}, false},
		{"bad bootstrap", Config{Bootstrap: []string{"/ip4/127.0.0.1/tcp/1"}}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := row.cfg.Check()
			if (err == nil) != row.ok {
				t.Fatalf("Check = %v", err)
			}
			if err != nil && api.AsError(err).Code != api.Invalid {
				t.Errorf("code %q, want invalid", api.AsError(err).Code)
			}
		})
	}
}

func TestRankTCPFirst(t *testing.T) {
	tcp, quic := ma.StringCast("/ip4/127.0.0.1/tcp/1"), ma.StringCast("/ip4/127.0.0.1/udp/1/quic-v1")
	ranked := rankTCPFirst([]ma.Multiaddr{quic, tcp})
	if ranked[0].Delay != quicDelay || ranked[1].Delay != 0 {
		t.Errorf("QUIC after %v, TCP after %v", ranked[0].Delay, ranked[1].Delay)
	}
	if alone := rankTCPFirst([]ma.Multiaddr{quic}); alone[0].Delay != 0 {
		t.Errorf("QUIC waits %v though there is no TCP", alone[0].Delay)
	}
}

func TestHintAddrs(t *testing.T) {
	const (
		lo   = "/ip4/127.0.0.1/tcp/1"
		lan  = "/ip4/10.0.0.1/tcp/1"
		quic = "/ip4/10.0.0.1/udp/1/quic-v1"
	)
	for _, row := range []struct {
		name     string
		in, want []string
	}{
		{"loopback only", []string{lo}, []string{lo}},
		{"loopback left out", []string{lo, lan}, []string{lan}},
		{"TCP before QUIC", []string{quic, lan}, []string{lan}},
		{"QUIC alone", []string{lo, quic}, []string{quic}},
		{"bounded", []string{lan, lan, lan, lan, lan, lan}, []string{lan, lan, lan, lan}},
	} {
		if got := hintAddrs(row.in); !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
}

func TestGaterKeepsInside(t *testing.T) {
	public, loopback := ma.StringCast("/ip4/8.8.8.8/tcp/1"), ma.StringCast("/ip4/127.0.0.1/tcp/1")
	friend, stranger := test.RandPeerIDFatal(t), test.RandPeerIDFatal(t)
	known := newNamed([]peer.AddrInfo{{ID: friend}})
	for _, row := range []struct {
		name    string
		profile dht.Profile
		id      peer.ID
		addr    ma.Multiaddr
		want    bool
	}{
		{"local dials loopback", dht.Local(), stranger, loopback, true},
		{"local never leaves the machine", dht.Local(), friend, public, false},
		{"lan does not dial strangers outside", dht.LAN(), stranger, public, false},
		{"lan dials whom the user named", dht.LAN(), friend, public, true},
	} {
		g := &gater{profile: row.profile, named: known, rules: &peerRules{}}
		if got := g.InterceptAddrDial(row.id, row.addr); got != row.want {
			t.Errorf("%s: %v", row.name, got)
		}
	}
}

func TestCovers(t *testing.T) {
	base := store.Target{Dir: "/d", Name: "n", Select: []string{"a"}}
	with := func(change func(*store.Target)) store.Target { c := base; change(&c); return c }
	for _, row := range []struct {
		name  string
		other store.Target
		want  bool
	}{
		{"equal", base, true},
		{"no name given", with(func(t *store.Target) { t.Name = "" }), true},
		{"another name", with(func(t *store.Target) { t.Name = "m" }), false},
		{"another directory", with(func(t *store.Target) { t.Dir = "/e" }), false},
		{"another selection", with(func(t *store.Target) { t.Select = nil }), false},
		{"another part", with(func(t *store.Target) { t.Sub = "x" }), false},
		{"more", with(func(t *store.Target) { t.Select = []string{"a", "b"} }), false},
		{"to replace what is there", with(func(t *store.Target) { t.Force = true }), false},
		{"to rename what the disk does not take", with(func(t *store.Target) { t.Rename = true }), false},
	} {
		if got := covers(base, row.other); got != row.want {
			t.Errorf("%s: %v", row.name, got)
		}
		if both := united(base, row.other); samePlace(base, row.other) && !(covers(both, base) && covers(both, row.other)) {
			t.Errorf("%s: united it is %+v", row.name, both)
		}
	}
}

func TestCountBits(t *testing.T) {
	bits := []byte{0b0000_0101, 0b1000_0000}
	for _, row := range []struct{ first, count, want int }{{0, 16, 3}, {1, 2, 1}, {15, 1, 1}, {15, 100, 1}, {3, 4, 0}} {
		if got := countBits(bits, row.first, row.count); got != row.want {
			t.Errorf("[%d,+%d): %d, want %d", row.first, row.count, got, row.want)
		}
	}
	if got := countBits(nil, 7, 9); got != 9 {
		t.Errorf("nil bitmap: %d, want all 9", got)
	}
}

func TestLinkPeers(t *testing.T) {
	const id = "12D3KooWMNd9K7NnK2kkLHyFyPdHgxREWJyNJeL7KvxF8virM2rq"
	for _, row := range []struct {
		name  string
		hints []string
		peers int
		bad   bool
	}{
		{name: "none"},
		{name: "two addresses of one peer", hints: []string{"/ip4/127.0.0.1/tcp/1/p2p/" + id, "/ip4/127.0.0.1/udp/1/quic-v1/p2p/" + id}, peers: 1},
		{name: "a gateway is passed over", hints: []string{"/dns4/example.org/tcp/443/https", "/ip4/127.0.0.1/tcp/1/p2p/" + id}, peers: 1},
		{name: "nonsense", hints: []string{"junk"}, bad: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			peers, err := linkPeers(chunker.Link{Providers: row.hints})
			if len(peers) != row.peers || (err != nil) != row.bad {
				t.Errorf("%v, %v", peers, err)
			}
		})
	}
}

// TestHomeErrors checks that trouble with the home speaks of the home, not of a fetch's destination.
func TestHomeErrors(t *testing.T) {
	for is, code := range map[error]api.Code{store.ErrReadOnly: api.ReadOnly, store.ErrDenied: api.ReadOnly, store.ErrNoSpace: api.NoSpace} {
		e := api.AsError(homeError("/disk/home", fmt.Errorf("open: %w", is)))
		if e.Code != code || !strings.Contains(e.Hint, "the home /disk/home (on the disk mounted at ") || !strings.Contains(e.Hint, "--home") {
			t.Errorf("%v: code %s, hint %q", is, e.Code, e.Hint)
		}
	}
}
