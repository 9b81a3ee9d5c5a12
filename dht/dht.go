package dht

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	kaddht "github.com/libp2p/go-libp2p-kad-dht"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p-kad-dht/provider"
	"github.com/libp2p/go-libp2p-kad-dht/provider/keystore"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"golang.org/x/sync/errgroup"
)

// ErrClosed is returned by calls on a DHT that was closed or whose Run has ended.
var ErrClosed = errors.New("dht: closed")

// Config says how to take part in a network.
type Config struct {
	Host      host.Host
	Profile   Profile            // zero: LAN
	Bootstrap []peer.AddrInfo    // dialled at start and while there are few peers, beside those of the profile
	Datastore datastore.Batching // provided roots, records of others, known peers; close it after the host
	Logger    *slog.Logger       // nil: silent

	MaxRecords int // provider records kept for others, 0: 1,000,000 (about 150 bytes of disk each)
}

// DHT is one node of a network. Make it with New; it works while Run runs.
type DHT struct {
	host       host.Host
	profile    Profile
	bootstrap  []peer.AddrInfo
	ds         datastore.Batching
	log        *slog.Logger
	maxRecords int
	proto      protocol.ID

	mu     sync.Mutex
	cancel context.CancelFunc // of the running Run
	closed bool

	started chan struct{} // closed once the parts below are there
	loaded  chan struct{} // closed once the set of roots has been read
	ready   chan struct{} // closed once the routing table has had a peer
	closing chan struct{} // closed when Run or Close begins to stop
	stopped chan struct{} // closed when nothing runs any more
	endOnce sync.Once

	finds sync.WaitGroup
	wake  signal // a peer connected and was identified, or left
	table signal // the routing table went from empty to not empty or back, or there may be a first root

	gathered gather // of concurrent calls of Provide

	// Parts, set before started is closed and constant from then on.
	kad     *kaddht.IpfsDHT
	send    *sender
	asker   *pb.ProtocolMessenger
	sweeper *provider.SweepingProvider
	keys    keystore.Keystore
	roots   *roots
	records *recordStore
	book    *book
	state   datastore.Batching // our corner of ds
}

// New checks the configuration. It does no I/O.
func New(cfg Config) (*DHT, error) {
	if cfg.Profile.Name == "" {
		cfg.Profile = LAN()
	}
	if err := cfg.Profile.validate(); err != nil {
		return nil, fmt.Errorf("dht: %w", err)
	}
	if cfg.Host == nil || cfg.Datastore == nil {
		return nil, errors.New("dht: host and datastore are needed")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxRecords == 0 {
		cfg.MaxRecords = 1_000_000
	}
	boot, err := parseBootstrap(cfg.Profile.Bootstrap)
	if err != nil {
		return nil, fmt.Errorf("dht: profile %s: %w", cfg.Profile.Name, err)
	}
	return &DHT{
		host:       cfg.Host,
		profile:    cfg.Profile,
		bootstrap:  append(boot, cfg.Bootstrap...),
		ds:         cfg.Datastore,
		log:        cfg.Logger.With("network", cfg.Profile.Name),
		maxRecords: cfg.MaxRecords,
		proto:      cfg.Profile.Prefix + "/kad/1.0.0",
		started:    make(chan struct{}),
		loaded:     make(chan struct{}),
		ready:      make(chan struct{}),
		closing:    make(chan struct{}),
		stopped:    make(chan struct{}),
	}, nil
}

// Run takes part in the network until ctx ends or Close is called, and returns nil then. It can be called once.
//
// It stops in this order: searches and loops, known peers saved, the sweeping provider, its keystore, the DHT with its
// provider records. The datastore is not closed.
func (d *DHT) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.mu.Lock()
	if d.closed || d.cancel != nil {
		d.mu.Unlock()
		return fmt.Errorf("dht: run: %w", ErrClosed)
	}
	d.cancel = cancel
	d.mu.Unlock()
	defer close(d.stopped)
	defer d.end()

	stop, err := d.start(ctx)
	if err != nil {
		return fmt.Errorf("dht: start: %w", err)
	}
	close(d.started)

	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.watch(gctx) })
	g.Go(func() error { return d.keepConnected(gctx) })
	g.Go(func() error { return d.lookAround(gctx) })
	g.Go(func() error { return d.keepSaved(gctx) })
	g.Go(func() error { return d.keepAnnounced(gctx) })
	g.Go(func() error { return d.records.count(gctx) })
	if d.profile.MDNS {
		g.Go(func() error { return d.keepMDNS(gctx) })
	}
	err = g.Wait()
	if ctx.Err() != nil {
		err = nil // asked to stop
	}
	d.end()
	d.finds.Wait()
	d.savePeers()
	return errors.Join(err, stop())
}

// Close stops Run and the searches and waits for them. Calling it again does nothing.
func (d *DHT) Close() error {
	d.mu.Lock()
	first := !d.closed
	d.closed = true
	cancel := d.cancel
	d.mu.Unlock()
	if cancel != nil {
		cancel()
	} else if first {
		d.end()
		close(d.stopped)
	}
	<-d.stopped
	return nil
}

// end lets every search stop. No search starts after it has returned.
func (d *DHT) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.endOnce.Do(func() { close(d.closing) })
}

// up waits until Run has built the parts.
func (d *DHT) up(ctx context.Context) error {
	select {
	case <-d.closing:
		return ErrClosed
	default:
	}
	select {
	case <-d.started:
		return nil
	case <-d.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// start builds the parts; what it returns takes them down again.
func (d *DHT) start(ctx context.Context) (stop func() error, err error) {
	var up closers
	defer func() {
		if err != nil {
			err = errors.Join(err, up.Close())
		}
	}()
	corner := strings.ReplaceAll(strings.Trim(string(d.profile.Prefix), "/"), "/", "-")
	d.state = namespace.Wrap(d.ds, datastore.NewKey("/dht/"+corner))
	d.roots = newRoots(sub(d.state, "roots"))
	d.book = newBook(d.profile, d.host.ID())
	if err := d.loadPeers(ctx); err != nil {
		return nil, err
	}
	d.records = newRecordStore(sub(d.state, "records"), d.host.ID(), d.roots.has, d.maxRecords)

	send := newSender(d.host, d.proto, d.profile.MaxResponse, d.roots.delivered)
	d.send = send
	d.asker, err = pb.NewProtocolMessenger(send)
	if err != nil {
		return nil, fmt.Errorf("messenger: %w", err)
	}
	d.kad, err = kaddht.New(d.host, d.kadOptions(send)...)
	if err != nil {
		return nil, fmt.Errorf("kademlia: %w", err)
	}
	up.add(func() error {
		d.host.RemoveStreamHandler(d.proto)
		return d.kad.Close()
	})
	d.keys, err = keystore.NewKeystore(sub(d.state, "keys"))
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	up.add(d.keys.Close)
	d.sweeper, err = d.newSweeper(send)
	if err != nil {
		return nil, fmt.Errorf("provider: %w", err)
	}
	up.add(d.sweeper.Close)
	return up.Close, nil
}

// kadOptions has the filters that assume the internet only where the profile asks for them: on one address or one subnet
// they empty the table.
func (d *DHT) kadOptions(send pb.MessageSenderWithDisconnect) []kaddht.Option {
	mode := kaddht.ModeServer // AutoNAT calls a LAN "private", and ModeAutoServer would then stop answering
	if d.profile.Mode == Auto {
		mode = kaddht.ModeAuto
	}
	options := []kaddht.Option{
		kaddht.ProtocolPrefix(d.profile.Prefix),
		kaddht.Mode(mode),
		kaddht.BucketSize(d.profile.BucketSize),
		kaddht.ProviderDatastore(d.records),
		kaddht.ProviderManagerOpts(cacheNothing()),
		kaddht.AddressFilter(d.profile.Publish),
		kaddht.QueryFilter(d.mayQuery),
		kaddht.WithCustomMessageSender(func(host.Host, []protocol.ID) pb.MessageSenderWithDisconnect { return send }),
	}
	if d.profile.Values {
		options = append(options, kaddht.ValueDatastore(newValueStore()))
	} else {
		options = append(options, kaddht.DisableValues()) // we have none; not keeping those of others is one attack less
	}
	if d.profile.PublicOnly {
		options = append(options, publicFilters(d.host)...)
	}
	return options
}

// mayQuery keeps lookups from dialling what the network's reach excludes.
func (d *DHT) mayQuery(_ any, ai peer.AddrInfo) bool {
	if d.host.Network().Connectedness(ai.ID) == network.Connected {
		return true
	}
	if d.profile.PublicOnly {
		return kaddht.PublicQueryFilter(nil, ai)
	}
	return len(d.profile.Dialable(ai.Addrs, 1)) > 0
}

func sub(ds datastore.Batching, name string) datastore.Batching {
	return namespace.Wrap(ds, datastore.NewKey(name))
}

// closers closes in the reverse order of adding.
type closers []func() error

var _ io.Closer = (*closers)(nil)

func (c *closers) add(f func() error) { *c = append(*c, f) }

func (c *closers) Close() error {
	var errs []error
	for i := len(*c) - 1; i >= 0; i-- {
		errs = append(errs, (*c)[i]())
	}
	*c = nil
	return errors.Join(errs...)
}

// signal wakes everyone who waits for the next event of a kind. The zero value is ready.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

// next is closed at the next fire. Take it before looking at the state that the event is about.
func (s *signal) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}
