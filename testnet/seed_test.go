package testnet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/chunker"
	"shoal/dht"
	"shoal/testnet"
	"shoal/transfer"
)

// seed is a peer in the test's own process that provides one file: a bare libp2p host with the real DHT and the real transfer
// engine, but a source that the test holds in its hand.
type seed struct {
	host   host.Host
	root   cid.Cid
	nodes  [][]byte // inner nodes in walk order
	layout *chunker.Layout
	path   string
	tamper func(i int, leaf []byte) ([]byte, error) // sees each leaf before it leaves; nil: none

	mu     sync.Mutex
	served []int // how often each leaf left
}

// newSeed shares the file at path in the network of a Lab.
func newSeed(t *testing.T, lab *testnet.Lab, path string, tamper func(i int, leaf []byte) ([]byte, error)) *seed {
	t.Helper()
	s := &seed{path: path, tamper: tamper, host: bareHost(t)}
	s.index(t)
	engine := transfer.New(s.host, s, transfer.Config{})
	var boot []peer.AddrInfo
	for _, a := range lab.Peers[0].Addrs() {
		info, err := peer.AddrInfoFromString(a)
		if err != nil {
			t.Fatal(err)
		}
		boot = append(boot, *info)
	}
	routing, err := dht.New(dht.Config{
		Host: s.host, Profile: dht.Local(), Bootstrap: boot,
		Datastore: dssync.MutexWrap(datastore.NewMapDatastore()),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { engine.Run(ctx) })
	running.Go(func() { routing.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		engine.Close()
		routing.Close()
		s.host.Close()
		running.Wait()
	})
	select {
	case <-routing.Ready():
	case <-time.After(time.Minute):
		t.Fatal("the seed does not get into the network")
	}
	if err := routing.Provide(ctx, s.root); err != nil {
		t.Fatal(err)
	}
	return s
}

// bareHost is a libp2p host on loopback that ends with the test.
func bareHost(t *testing.T) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay(), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// addrs are the addresses of a host as link hints.
func addrs(t *testing.T, h host.Host) []string {
	t.Helper()
	list, err := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, a := range list {
		out = append(out, a.String())
	}
	return out
}

// linkTo names a root, and peers to try first.
func linkTo(root string, providers ...string) string {
	link := "ipfs://" + root
	for i, p := range providers {
		sep := "&"
		if i == 0 {
			sep = "?"
		}
		link += sep + "provider=" + url.QueryEscape(p)
	}
	return link
}

// index chunks the file and walks the result, so that nodes are in the order in which they are asked for.
func (s *seed) index(t *testing.T) {
	t.Helper()
	blocks := map[cid.Cid][]byte{}
	tree, err := chunker.Build(t.Context(), s.path, chunker.Config{}, func(c cid.Cid, block []byte) error {
		blocks[c] = block
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.root = tree.Root
	s.layout, err = chunker.Walk(tree.Root, chunker.DefaultLimits(), func(c cid.Cid) ([]byte, error) {
		s.nodes = append(s.nodes, blocks[c])
		return blocks[c], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.served = make([]int, s.layout.Leaves())
}

// timesServed counts the leaves that left, repeats included.
func (s *seed) timesServed() (sum int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.served {
		sum += n
	}
	return sum
}

// OpenRoot implements transfer.Source.
func (s *seed) OpenRoot(root cid.Cid) (transfer.Root, error) {
	if root != s.root {
		return nil, transfer.ErrNotFound
	}
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	return &seedRoot{seed: s, file: f, at: -1}, nil
}

// Block implements transfer.Source.
func (s *seed) Block(cid.Cid, []byte) ([]byte, error) { return nil, transfer.ErrNotFound }

// seedRoot is a transfer.Root.
type seedRoot struct {
	*seed
	file *os.File
	at   int    // the leaf in data
	data []byte // as it leaves; nil before the first
}

func (r *seedRoot) Name() string   { return "seeded" }
func (r *seedRoot) Leaves() int    { return r.layout.Leaves() }
func (r *seedRoot) Complete() bool { return true }
func (r *seedRoot) Have() []byte   { return nil }
func (r *seedRoot) Close() error   { return r.file.Close() }

func (r *seedRoot) Node(i int) ([]byte, error) {
	if i >= len(r.nodes) {
		return nil, io.EOF
	}
	return r.nodes[i], nil
}

// ReadLeafAt prepares a leaf when its beginning is asked for and keeps it for the rest.
func (r *seedRoot) ReadLeafAt(i int, buf []byte, off int) (n, size int, err error) {
	if off == 0 || i != r.at {
		if r.data, err = r.leaf(i); err != nil {
			return 0, 0, err
		}
		r.at = i
	}
	return copy(buf, r.data[min(off, len(r.data)):]), len(r.data), nil
}

// leaf reads a leaf, lets the test tamper with it and counts it.
func (r *seedRoot) leaf(i int) ([]byte, error) {
	leaf := r.layout.Leaf(i)
	data := make([]byte, leaf.Size)
	if _, err := r.file.ReadAt(data, leaf.Offset); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read leaf %d: %w", i, err)
	}
	if r.tamper != nil {
		var err error
		if data, err = r.tamper(i, data); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	r.served[i]++
	r.mu.Unlock()
	return data, nil
}

// gate lets a number of leaves through and holds up the others until it is opened.
type gate struct {
	mu   sync.Mutex
	left int
	open chan struct{}
	once sync.Once
}

// newGate makes a gate for a seed's tamper. It opens at the end of the test, so that nothing waits for it for ever.
func newGate(t *testing.T, leaves int) *gate {
	g := &gate{left: leaves, open: make(chan struct{})}
	t.Cleanup(g.Open)
	return g
}

// Open lets everything through.
func (g *gate) Open() { g.once.Do(func() { close(g.open) }) }

// pass is a tamper function.
func (g *gate) pass(_ int, leaf []byte) ([]byte, error) {
	g.mu.Lock()
	g.left--
	held := g.left < 0
	g.mu.Unlock()
	if held {
		<-g.open
	}
	return leaf, nil
}
