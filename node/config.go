package node

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"shoal/dht"
	"shoal/node/api"
)

// Config says how a node is set up. The zero value is a node on the LAN in
// DefaultHome.
type Config struct {
	Home      string       // data directory; "": DefaultHome()
	Network   string       // name of a dht.Profile, or private:NAME, whose key is in Home; "": lan
	Listen    []string     // multiaddrs to listen on; empty: the profile's
	Bootstrap []string     // multiaddrs with /p2p/ of peers to join by, instead of the profile's but beside an invitation's; "none" alone: nobody
	Reach     Reach        // what else of the profile to change, and how to be reached through a NAT
	APISocket bool         // serve the control API on the socket in Home
	Offline   bool         // no network at all: only the store is opened
	Transient bool         // ends with the one thing it was made for: leaves other unfinished fetches alone, and tells clients
	Logger    *slog.Logger // nil: silent

	Limits        api.Limits // on what is swapped with peers; SetLimits and the schedule go before them
	LimitSchedule []string   // rules like "mon-fri 08:00-18:00 up=1MB/s"; where several hold, the first goes first
}

// settings is a Config checked and with its defaults filled in.
type settings struct {
	home      string
	profile   dht.Profile
	listen    []string
	fixed     bool // the user chose listen: no other port will do
	bootstrap []peer.AddrInfo
	alone     bool // joins by nobody, whatever an invitation says
	reach     reachSettings
	api       bool
	offline   bool
	transient bool
	log       *slog.Logger
	limits    rates
	schedule  schedule
	caps      caps
}

// Check tells what is wrong with a Config, without touching disk or network. The
// error is an *api.Error with code invalid.
func (c Config) Check() error {
	_, err := c.check()
	return err
}

func (c Config) check() (settings, error) {
	s, err := c.settle()
	if err != nil {
		return s, api.Errorf(api.Invalid, "%w", err)
	}
	return s, nil
}

// settle fills in the defaults.
func (c Config) settle() (settings, error) {
	s := settings{api: c.APISocket, offline: c.Offline, transient: c.Transient, log: c.Logger, caps: defaultCaps()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	home := c.Home
	if home == "" {
		home = DefaultHome()
	}
	var err error
	if s.home, err = filepath.Abs(home); err != nil {
		return s, fmt.Errorf("home %s: %w", home, err)
	}
	name := c.Network
	if name == "" {
		name = "lan"
	}
	if s.profile, err = dht.ProfileByName(name); err != nil {
		return s, err
	}
	s.listen, s.fixed = c.Listen, len(c.Listen) > 0
	if !s.fixed {
		s.listen = s.profile.Listen
	}
	for _, a := range s.listen {
		if _, err := ma.NewMultiaddr(a); err != nil {
			return s, fmt.Errorf("listen address %q (want e.g. /ip4/0.0.0.0/tcp/4474): %w", a, err)
		}
	}
	if name, private := s.profile.PrivateName(); private {
		if err := checkPrivateName(name); err != nil {
			return s, err
		}
		if s.listen, err = streamsOnly(s.listen, s.log); err != nil {
			return s, err
		}
	}
	if len(c.Bootstrap) > 0 {
		s.profile.Bootstrap = nil
	}
	if s.alone = slices.Equal(c.Bootstrap, []string{"none"}); !s.alone {
		if s.bootstrap, err = parsePeers(c.Bootstrap); err != nil {
			return s, fmt.Errorf("bootstrap address %w", err)
		}
	}
	if s.reach, err = c.Reach.apply(&s.profile); err != nil {
		return s, err
	}
	// Who cannot be reached from the local link has nothing to announce there.
	s.profile.MDNS = s.profile.MDNS && !allLoopback(s.listen)
	if s.limits, err = checkLimits(c.Limits); err != nil {
		return s, err
	}
	s.schedule, err = parseSchedule(c.LimitSchedule)
	return s, err
}

func allLoopback(addrs []string) bool {
	return !slices.ContainsFunc(addrs, func(a string) bool { return !isLoopback(a) })
}

// parsePeers reads multiaddrs that end in /p2p/<id> and gathers them by peer, in the
// order in which peers first appear. Dialled together, the best transport wins;
// one by one, each would make a connection of its own.
func parsePeers(addrs []string) ([]peer.AddrInfo, error) {
	var out []peer.AddrInfo
	for _, a := range addrs {
		info, err := peer.AddrInfoFromString(a)
		if err != nil {
			return nil, fmt.Errorf("%q (want e.g. /ip4/192.0.2.1/tcp/4474/p2p/12D3…): %w", a, err)
		}
		i := slices.IndexFunc(out, func(p peer.AddrInfo) bool { return p.ID == info.ID })
		if i < 0 {
			out = append(out, *info)
		} else {
			out[i].Addrs = append(out[i].Addrs, info.Addrs...)
		}
	}
	return out, nil
}

// DefaultHome is the platform's data directory for shoal: $XDG_DATA_HOME/shoal
// or ~/.local/share/shoal on Unix, ~/Library/Application Support/shoal on macOS,
// %LocalAppData%\shoal on Windows.
func DefaultHome() string {
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		if dir, err := os.UserConfigDir(); err == nil {
			if local := os.Getenv("LocalAppData"); runtime.GOOS == "windows" && local != "" {
				dir = local
			}
			return filepath.Join(dir, "shoal")
		}
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "shoal")
	}
	if dir, err := os.UserHomeDir(); err == nil {
		return filepath.Join(dir, ".local", "share", "shoal")
	}
	return ".shoal"
}
