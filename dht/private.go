package dht

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// privateName begins the name of a private network: "private:team".
const privateName = "private:"

// KeySize is the length of a private network's key in bytes.
const KeySize = 32

// PrivateNetwork is a network of those who hold its key, wherever they are: without it nobody gets past the first bytes of
// a connection. Give it the key with [Profile.WithKey]. The name is only what its members call it here.
//
// There is TCP only: the key protects the bytes of a stream, and QUIC has none (libp2p specs, pnet).
func PrivateNetwork(name string) Profile {
	return Profile{
		Name:        privateName + name,
		Reach:       Anywhere,
		BucketSize:  20,
		MDNS:        true,
		Listen:      []string{"/ip4/0.0.0.0/tcp/4474", "/ip6/::/tcp/4474"},
		MaxResponse: 768 << 10,
	}
}

// PrivateName gives the name of a private network without what all of them begin with.
func (p Profile) PrivateName() (name string, ok bool) { return strings.CutPrefix(p.Name, privateName) }

// WithKey gives a private network its key, and names what others can see of it by one-way functions of the key: networks never
// mix, whatever they are called; members on one link find each other, and who has no key cannot tell which network it is.
// A prefix or service tag that is set already stays.
func (p Profile) WithKey(key [KeySize]byte) Profile {
	p.PSK = key[:]
	if p.Prefix == "" {
		p.Prefix = protocol.ID("/shoal/private/" + derive(p.PSK, "dht prefix", 16))
	}
	if p.ServiceTag == "" {
		p.ServiceTag = "_s" + derive(p.PSK, "mdns service", 14) + "._udp" // 15 characters at most, one a letter (RFC 6335)
	}
	return p
}

// derive is n characters, 5 bits each, that tell nothing about the key (HKDF, RFC 5869).
func derive(key pnet.PSK, use string, n int) string {
	out, err := hkdf.Key(sha256.New, key, nil, "shoal private network: "+use, (n*5+7)/8)
	if err != nil {
		panic(fmt.Sprintf("hkdf of %d characters: %v", n, err)) // only for lengths that no caller asks for
	}
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(out))[:n]
}
