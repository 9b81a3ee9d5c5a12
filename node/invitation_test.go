package node

import (
	"encoding/hex"
	"reflect"
	"slices"
	"strings"
	"testing"

	"shoal/dht"
)

const somePeer = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"

func someInvitation(addrs ...string) Invitation {
	inv := Invitation{Name: "team", Addrs: addrs}
	for i := range inv.Key {
		inv.Key[i] = byte(i)
	}
	return inv
}

func encode(t testing.TB, inv Invitation) string {
	t.Helper()
	s, err := inv.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestInvitationBytes holds the layout: an invitation that lies in somebody's mail has to work tomorrow.
func TestInvitationBytes(t *testing.T) {
	text := encode(t, someInvitation("/ip4/192.0.2.1/tcp/4474/p2p/"+somePeer))
	body, err := invitationText.DecodeString(strings.TrimPrefix(text, "shoal-net:1:"))
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", // key
		"04", "7465616d", // name: team
		"01",         // one address
		"31",         // of 49 bytes
		"04c0000201", // ip4 192.0.2.1
		"06117a",     // tcp 4474
		"a50326",     // p2p, 38 bytes
		"0024080112204cb5abf6ad79fbf5abbccafcc269d85cd2651ed4b885b5869f241aedf0a5ba29", // the peer ID: an identity multihash of its Ed25519 key
		"a30ff5ab", // sum
	}, "")
	if got := hex.EncodeToString(body); got != want {
		t.Errorf("body\n%s, want\n%s", got, want)
	}
}

func TestInvitationRoundTrip(t *testing.T) {
	many := slices.Repeat([]string{"/dns4/example.org/tcp/4474/p2p/" + somePeer}, maxInvitationAddrs)
	for _, inv := range []Invitation{
		someInvitation(), someInvitation("/ip4/127.0.0.1/tcp/1/p2p/" + somePeer), someInvitation(many...),
		{Name: strings.Repeat("x", maxNetworkName)},
	} {
		text := encode(t, inv)
		got, err := ParseInvitation(text)
		if err != nil || !reflect.DeepEqual(got, inv) {
			t.Errorf("%+v came back as %+v, %v", inv, got, err)
		}
		if len(text) > MaxInvitation {
			t.Errorf("%d characters, MaxInvitation is %d", len(text), MaxInvitation)
		}
	}
	a, err := NewInvitation("team")
	b, err2 := NewInvitation("team")
	if err != nil || err2 != nil || a.Key == b.Key || a.Key == [dht.KeySize]byte{} {
		t.Errorf("two new networks have the keys %x and %x (%v, %v)", a.Key, b.Key, err, err2)
	}
}

func TestInvitationRefused(t *testing.T) {
	good := encode(t, someInvitation("/ip4/192.0.2.1/tcp/4474/p2p/"+somePeer))
	sealed := func(body string) string {
		return invitationHead + invitationText.EncodeToString(append([]byte(body), sumOf([]byte(body))...))
	}
	key := strings.Repeat("k", dht.KeySize)
	for _, row := range []struct{ name, text, want string }{
		{"nothing", "", "does not begin"},
		{"a link", "ipfs://bafy", "does not begin"},
		{"another version", "shoal-net:2:aa", "another version"},
		{"cut", good[:len(good)-4], "damaged"},
		{"a typing error", strings.Replace(good, good[30:31], "77", 1), "damaged"},
		{"upper case", invitationHead + strings.ToUpper(good[len(invitationHead):]), "damaged"},
		{"a line break", good[:40] + "\n" + good[40:], "damaged"},
		{"no name", sealed(key), "do not fit"},
		{"an empty name", sealed(key + "\x00\x00"), "cannot be the name"},
		{"a path for a name", sealed(key + "\x05../up\x00"), "cannot be the name"},
		{"a name like a flag", sealed(key + "\x02-x\x00"), "cannot be the name"},
		{"a name longer than the rest", sealed(key + "\xffab"), "do not fit"},
		{"addresses that are not there", sealed(key + "\x01a\xff"), "address in it"},
		{"an address without a peer", sealed(key + "\x01a\x01\x08\x04\x7f\x00\x00\x01\x06\x00\x01"), "address in it"},
		{"too many addresses", sealed(key + "\x01a" + tooMany(t)), "damaged"},
		{"something behind", sealed(key + "\x01a\x00x"), "do not fit"},
		{"longer than any", invitationHead + strings.Repeat("a", MaxInvitation), "longer than"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if inv, err := ParseInvitation(row.text); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%+v, %v; want %q", inv, err, row.want)
			}
		})
	}
	for _, name := range []string{"", "-a", "A", "a/b", "a b", strings.Repeat("x", 33), "ü"} {
		if _, err := NewInvitation(name); err == nil {
			t.Errorf("a network can be called %q", name)
		}
	}
}

// tooMany is one address more than an invitation may have.
func tooMany(t *testing.T) string {
	one := someInvitation("/ip4/127.0.0.1/tcp/1/p2p/" + somePeer)
	body, err := invitationText.DecodeString(strings.TrimPrefix(encode(t, one), invitationHead))
	if err != nil {
		t.Fatal(err)
	}
	addr := string(body[dht.KeySize+1+len(one.Name)+1 : len(body)-invitationSum])
	return string(rune(maxInvitationAddrs+1)) + strings.Repeat(addr, maxInvitationAddrs+1)
}

// FuzzInvitationMalleability: whatever is taken is the one spelling of what it means.
func FuzzInvitationMalleability(f *testing.F) {
	f.Add(encode(f, someInvitation()))
	f.Add(encode(f, someInvitation("/ip4/192.0.2.1/tcp/4474/p2p/"+somePeer, "/dns4/example.org/tcp/443/ws/p2p/"+somePeer)))
	f.Add("shoal-net:1:")
	f.Fuzz(func(t *testing.T, text string) {
		inv, err := ParseInvitation(text)
		if err != nil {
			return
		}
		if again := encode(t, inv); again != text {
			t.Errorf("%q is %+v, which is written %q", text, inv, again)
		}
	})
}

// FuzzInvitationBody does the same behind the checksum, which the fuzzer would not find by itself.
func FuzzInvitationBody(f *testing.F) {
	f.Add([]byte(strings.Repeat("k", dht.KeySize) + "\x01a\x00"))
	f.Add([]byte(strings.Repeat("k", dht.KeySize) + "\x01a\x01\x08\x04\x7f\x00\x00\x01\x06\x00\x01"))
	f.Fuzz(func(t *testing.T, body []byte) {
		text := invitationHead + invitationText.EncodeToString(append(body[:len(body):len(body)], sumOf(body)...))
		inv, err := ParseInvitation(text)
		if err != nil {
			return
		}
		if again := encode(t, inv); again != text {
			t.Errorf("%x is %+v, which is written %q", body, inv, again)
		}
	})
}
