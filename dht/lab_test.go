package dht

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	mh "github.com/multiformats/go-multihash"
)

// patience bounds a test that hangs; it is no expectation of speed.
const patience = 30 * time.Second

// node is a running DHT on a real host on 127.0.0.1.
type node struct {
	*DHT
	host  host.Host
	store datastore.Batching
	done  chan error // what Run returned
}

// setup is what differs between test nodes.
type setup struct {
	profile   Profile // zero: Local
	key       crypto.PrivKey
	listen    string // zero: 127.0.0.1, any port
	bootstrap []peer.AddrInfo
	store     datastore.Batching
}

func newHost(t testing.TB, key crypto.PrivKey, listen string) host.Host {
	t.Helper()
	if key == nil {
		var err error
		key, _, err = crypto.GenerateEd25519Key(rand.Reader)
		must(t, err)
	}
	if listen == "" {
		listen = "/ip4/127.0.0.1/tcp/0"
	}
	h, err := libp2p.New(
		libp2p.Identity(key),
		libp2p.ListenAddrStrings(listen),
		libp2p.ResourceManager(&network.NullResourceManager{}), // a lab on one address
		libp2p.DisableRelay(),
		libp2p.DisableMetrics(),
	)
	must(t, err)
	t.Cleanup(func() { h.Close() })
	return h
}

func start(t testing.TB, s setup) *node {
	t.Helper()
	if s.profile.Name == "" {
		s.profile = Local()
	}
	if s.store == nil {
		s.store = dssync.MutexWrap(datastore.NewMapDatastore())
	}
	n := &node{host: newHost(t, s.key, s.listen), store: s.store, done: make(chan error, 1)}
	level := slog.LevelWarn
	if os.Getenv("DHT_TEST_DEBUG") != "" {
		level = slog.LevelDebug
	}
	d, err := New(Config{
		Host: n.host, Profile: s.profile, Bootstrap: s.bootstrap, Datastore: s.store,
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: level})),
	})
	must(t, err)
	n.DHT = d
	go func() { n.done <- d.Run(context.Background()) }()
	t.Cleanup(func() { n.stop(t) })
	must(t, d.up(t.Context()))
	return n
}

// stop closes the DHT and then its host. It may be called again.
func (n *node) stop(t testing.TB) {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := <-n.done; err != nil {
		t.Errorf("run: %v", err)
	}
	n.done <- nil
	n.host.Close()
}

func (n *node) info() peer.AddrInfo { return peer.AddrInfo{ID: n.host.ID(), Addrs: n.host.Addrs()} }

// startNetwork starts n nodes; all but the first know only the first.
func startNetwork(t testing.TB, n int) []*node {
	t.Helper()
	nodes := []*node{start(t, setup{})}
	for len(nodes) < n {
		nodes = append(nodes, start(t, setup{bootstrap: []peer.AddrInfo{nodes[0].info()}}))
	}
	if n > 1 {
		for _, n := range nodes {
			ready(t, n)
		}
	}
	return nodes
}

// warm waits until the nodes know each other well.
func warm(t testing.TB, nodes []*node) {
	t.Helper()
	for _, n := range nodes {
		await(t, "a full table", func() bool { return n.Size() >= (len(nodes)-1)*3/4 })
	}
}

// searching tells whether a goroutine of a search is alive.
func searching() bool {
	buf := make([]byte, 1<<22)
	return strings.Contains(string(buf[:runtime.Stack(buf, true)]), "dht.(*search)")
}

func ready(t testing.TB, n *node) {
	t.Helper()
	select {
	case <-n.Ready():
	case <-time.After(patience):
		t.Fatalf("%s has no peer: %+v", n.host.ID(), n.Status())
	}
}

// await looks again and again until ok. Use it only for states that have no event.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// find returns the first report of want.
func find(t testing.TB, n *node, c cid.Cid, want peer.ID) (Found, time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	begin := time.Now()
	for f := range n.Find(ctx, c) {
		if f.Peer.ID == want {
			return f, time.Since(begin)
		}
	}
	t.Fatalf("%s does not find %s at %s: %+v", n.host.ID(), c, want, n.Status())
	return Found{}, 0
}

func provide(t testing.TB, n *node, roots ...cid.Cid) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	must(t, n.Provide(ctx, roots...))
}

func root(i int) cid.Cid {
	sum := sha256.Sum256(fmt.Appendf(nil, "root %d", i))
	h, err := mh.Encode(sum[:], mh.SHA2_256)
	if err != nil {
		panic(err)
	}
	return cid.NewCidV1(cid.DagProtobuf, h)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
