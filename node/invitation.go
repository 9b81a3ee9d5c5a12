package node

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"

	ma "github.com/multiformats/go-multiaddr"

	"shoal/dht"
)

// An invitation to a private network is one string that is passed from person to person:
//
//	shoal-net:1:<base32 of the body, RFC 4648, lower case, no padding>
//
//	body  key    32 bytes  the pre-shared key
//	      name   1 byte length (1 to 32), then as many of a-z 0-9 -
//	      addrs  1 byte count (0 to 8), then each: 1 byte length, a binary multiaddr that ends in /p2p/<peer ID>
//	      sum    4 bytes   the first of SHA-256("shoal-net:1:" + all of the above)
//
// The sum tells a mistyped invitation; it proves nothing else. There is one way to write an invitation. Another layout would
// get another number than 1.
const invitationHead = "shoal-net:1:"

const (
	maxNetworkName     = 32
	maxInvitationAddrs = 8
	maxInvitationAddr  = 255
	invitationSum      = 4
	maxInvitationBody  = dht.KeySize + 1 + maxNetworkName + 1 + maxInvitationAddrs*(1+maxInvitationAddr) + invitationSum

	// MaxInvitation is the length of the longest invitation, in bytes.
	MaxInvitation = len(invitationHead) + (maxInvitationBody*8+4)/5
)

var invitationText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Invitation is what it takes to join a private network. It holds the key: who has read it is in.
type Invitation struct {
	Key   [dht.KeySize]byte
	Name  string
	Addrs []string // multiaddrs to join by, each with /p2p/<peer ID>
}

// NewInvitation makes a network with a key of its own.
func NewInvitation(name string) (Invitation, error) {
	inv := Invitation{Name: name}
	if err := checkPrivateName(name); err != nil {
		return inv, err
	}
	rand.Read(inv.Key[:]) // never fails
	return inv, nil
}

// checkPrivateName keeps names to what is safe in a file name, a setting and a terminal.
func checkPrivateName(name string) error {
	bad := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }
	if name == "" || len(name) > maxNetworkName || name[0] == '-' || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("%q cannot be the name of a network: write 1 to %d of a-z, 0-9 and -", name, maxNetworkName)
	}
	return nil
}

// Encode gives the string to pass on. It refuses what ParseInvitation would.
func (inv Invitation) Encode() (string, error) {
	if err := checkPrivateName(inv.Name); err != nil {
		return "", err
	}
	if len(inv.Addrs) > maxInvitationAddrs {
		return "", fmt.Errorf("%d addresses are too many for an invitation, it holds %d", len(inv.Addrs), maxInvitationAddrs)
	}
	b := append([]byte{}, inv.Key[:]...)
	b = append(append(b, byte(len(inv.Name))), inv.Name...)
	b = append(b, byte(len(inv.Addrs)))
	for _, text := range inv.Addrs {
		a, err := ma.NewMultiaddr(text)
		if err == nil {
			err = checkInvitationAddr(a)
		}
		if err != nil {
			return "", fmt.Errorf("address %q: %w", text, err)
		}
		b = append(append(b, byte(len(a.Bytes()))), a.Bytes()...)
	}
	return invitationHead + invitationText.EncodeToString(append(b, sumOf(b)...)), nil
}

// ParseInvitation reads an invitation. It takes exactly what Encode writes.
func ParseInvitation(text string) (Invitation, error) {
	inv, err := parseInvitation(text)
	if err != nil {
		return Invitation{}, fmt.Errorf("invitation: %w", err)
	}
	again, err := inv.Encode()
	if err != nil || again != text { // a second spelling of the same
		return Invitation{}, errors.New("invitation: damaged: copy it once more, whole")
	}
	return inv, nil
}

func parseInvitation(text string) (inv Invitation, err error) {
	encoded, ok := strings.CutPrefix(text, invitationHead)
	switch {
	case !ok && strings.HasPrefix(text, "shoal-net:"):
		return inv, fmt.Errorf("written by another version of shoal; this one reads those that begin with %q", invitationHead)
	case !ok:
		return inv, fmt.Errorf("it does not begin with %q", invitationHead)
	case len(text) > MaxInvitation:
		return inv, fmt.Errorf("longer than %d characters", MaxInvitation)
	}
	damaged := errors.New("damaged: copy it once more, whole")
	body, err := invitationText.DecodeString(encoded)
	if err != nil || len(body) < dht.KeySize+invitationSum {
		return inv, damaged
	}
	body, sum := body[:len(body)-invitationSum], body[len(body)-invitationSum:]
	if !bytes.Equal(sum, sumOf(body)) {
		return inv, damaged
	}
	r := fields{rest: body[copy(inv.Key[:], body):]}
	inv.Name = string(r.next())
	for range r.count() {
		a, err := ma.NewMultiaddrBytes(r.next())
		if err == nil {
			err = checkInvitationAddr(a)
		}
		if err != nil {
			return inv, fmt.Errorf("address in it: %w", err)
		}
		inv.Addrs = append(inv.Addrs, a.String())
	}
	if r.short || len(r.rest) > 0 {
		return inv, errors.New("malformed: its parts do not fit its length")
	}
	return inv, checkPrivateName(inv.Name)
}

// checkInvitationAddr is for both directions.
func checkInvitationAddr(a ma.Multiaddr) error {
	if len(a) == 0 {
		return errors.New("empty")
	}
	if n := len(a.Bytes()); n > maxInvitationAddr {
		return fmt.Errorf("%d bytes are too long, %d fit", n, maxInvitationAddr)
	}
	if _, err := parsePeers([]string{a.String()}); err != nil {
		return err
	}
	return nil
}

func sumOf(body []byte) []byte {
	sum := sha256.Sum256(append([]byte(invitationHead), body...))
	return sum[:invitationSum]
}

// fields takes a body apart. What is cut off reads as nothing and is remembered.
type fields struct {
	rest  []byte
	short bool
}

func (f *fields) count() int {
	if len(f.rest) == 0 {
		f.short = true
		return 0
	}
	n := f.rest[0]
	f.rest = f.rest[1:]
	return int(n)
}

// next reads a length and as many bytes.
func (f *fields) next() []byte {
	n := f.count()
	if n > len(f.rest) {
		f.short, f.rest = true, nil
		return nil
	}
	field := f.rest[:n]
	f.rest = f.rest[n:]
	return field
}
