package node

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p"
	ma "github.com/multiformats/go-multiaddr"

	"shoal/dht"
	"shoal/node/api"
)

// The private networks that a home knows are files in it, network-NAME.key, mode 0600. Each holds an invitation and a
// newline. They are read when a node starts; no lock is needed to add one.
const (
	networkFileHead = "network-"
	networkFileTail = ".key"
)

func networkFile(home, name string) string {
	return filepath.Join(home, networkFileHead+name+networkFileTail)
}

// PrivateNetworks lists the private networks that a home knows, by name.
func PrivateNetworks(home string) ([]Invitation, error) {
	entries, err := os.ReadDir(home)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the networks: %w", err)
	}
	var all []Invitation
	for _, e := range entries {
		name, ours := strings.CutPrefix(e.Name(), networkFileHead)
		name, key := strings.CutSuffix(name, networkFileTail)
		if !ours || !key || checkPrivateName(name) != nil {
			continue
		}
		inv, err := PrivateNetwork(home, name)
		if err != nil {
			return nil, err
		}
		all = append(all, inv)
	}
	return all, nil
}

// PrivateNetwork reads a network that a home knows. Codes: not_found, damaged.
func PrivateNetwork(home, name string) (Invitation, error) {
	if err := checkPrivateName(name); err != nil {
		return Invitation{}, api.Errorf(api.Invalid, "%w", err)
	}
	path := networkFile(home, name)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Invitation{}, api.Errorf(api.NotFound, "this home has no key of a private network %q", name).
			WithHint("Ask a member for an invitation and give it to `shoal network join -`; `shoal network` lists those known here.")
	}
	if err != nil {
		return Invitation{}, fmt.Errorf("read the network's key: %w", err)
	}
	inv, err := ParseInvitation(strings.TrimSpace(string(raw)))
	if err != nil || inv.Name != name {
		return Invitation{}, api.Errorf(api.Damaged, "%s does not hold the key of %q", path, name).
			WithHint("Remove that file and join the network again.")
	}
	return inv, nil
}

// SavePrivateNetwork adds a network to a home, which is made if it is not there. One that is known already learns the
// addresses that are new. Codes: exists (a network of that name has another key).
func SavePrivateNetwork(home string, inv Invitation) error {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return fmt.Errorf("make home: %w", err)
	}
	switch old, err := PrivateNetwork(home, inv.Name); {
	case err == nil && old.Key != inv.Key:
		return api.Errorf(api.Exists, "this home knows another private network %q", inv.Name).
			WithHint("Give the new one another name with --as, or forget the old one with `shoal network leave %s`.", inv.Name)
	case err == nil:
		inv = inv.With(old.Addrs)
	case api.AsError(err).Code != api.NotFound:
		return err
	}
	text, err := inv.Encode()
	if err != nil {
		return api.Errorf(api.Invalid, "%w", err)
	}
	if err := ReplaceFile(networkFile(home, inv.Name), []byte(text+"\n")); err != nil {
		return fmt.Errorf("save the network's key: %w", err)
	}
	return nil
}

// ForgetPrivateNetwork takes a network's key from a home. Codes: not_found.
func ForgetPrivateNetwork(home, name string) error {
	if _, err := PrivateNetwork(home, name); err != nil && api.AsError(err).Code != api.Damaged {
		return err
	}
	if err := os.Remove(networkFile(home, name)); err != nil {
		return fmt.Errorf("forget the network: %w", err)
	}
	return nil
}

// With adds addresses to join by, behind those that are there, as many as fit.
func (inv Invitation) With(addrs []string) Invitation {
	inv.Addrs = slices.Clone(inv.Addrs)
	for _, a := range addrs {
		if len(inv.Addrs) < maxInvitationAddrs && !slices.Contains(inv.Addrs, a) {
			inv.Addrs = append(inv.Addrs, a)
		}
	}
	return inv
}

// unlock gives a private network the key that the home has, and the addresses it came with.
func (s *settings) unlock() error {
	name, private := s.profile.PrivateName()
	if !private || s.offline {
		return nil
	}
	inv, err := PrivateNetwork(s.home, name)
	if err != nil {
		return err
	}
	s.profile = s.profile.WithKey(inv.Key)
	if !s.alone {
		s.profile.Bootstrap = append(slices.Clone(s.profile.Bootstrap), inv.Addrs...)
	}
	return nil
}

// streamsOnly leaves out the listen addresses that a private network cannot have: settings that were made for another network
// shall not keep a node from starting.
func streamsOnly(listen []string, log *slog.Logger) ([]string, error) {
	var out []string
	for _, text := range listen {
		a, err := ma.NewMultiaddr(text)
		if err != nil {
			return nil, err // checked before
		}
		if _, err := a.ValueForProtocol(ma.P_UDP); err == nil {
			log.Warn("a private network has no QUIC: this address is left out", "listen", text)
			continue
		}
		out = append(out, text)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("listen address %q: a private network has TCP only: add one like /ip4/0.0.0.0/tcp/4474", listen)
	}
	return out, nil
}

// transportsFor are the transports of a network. QUIC has nowhere to put a pre-shared key.
func transportsFor(p dht.Profile) ([]libp2p.Option, error) {
	name, private := p.PrivateName()
	switch {
	case !private:
		return transports(p.NAT), nil
	case len(p.PSK) != dht.KeySize: // libp2p would go on without one
		return nil, fmt.Errorf("private network %q without its key", name)
	}
	return append(streamTransports(p.NAT), libp2p.PrivateNetwork(p.PSK)), nil
}
