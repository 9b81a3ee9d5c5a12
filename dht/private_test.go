package dht

import (
	"encoding/hex"
	"regexp"
	"strings"
	"testing"
)

// The derived names are on disk and in the air: they must never change for a key.
func TestWithKeyIsStable(t *testing.T) {
	var key [KeySize]byte
	for i := range key {
		key[i] = byte(i)
	}
	p := PrivateNetwork("team").WithKey(key)
	if want := "/shoal/private/7a2iqnk77h2ywrh7"; string(p.Prefix) != want {
		t.Errorf("prefix %s, want %s", p.Prefix, want)
	}
	if want := "_snpheca2y2cgqju._udp"; p.ServiceTag != want {
		t.Errorf("service %s, want %s", p.ServiceTag, want)
	}
	if err := p.validate(); err != nil {
		t.Error(err)
	}
	if name, ok := p.PrivateName(); name != "team" || !ok {
		t.Errorf("name %q, %v", name, ok)
	}
}

func TestWithKey(t *testing.T) {
	one, other := [KeySize]byte{1}, [KeySize]byte{2}
	a, b := PrivateNetwork("same").WithKey(one), PrivateNetwork("same").WithKey(other)
	if a.Prefix == b.Prefix || a.ServiceTag == b.ServiceTag {
		t.Errorf("two keys give %s and %s, %s and %s", a.Prefix, b.Prefix, a.ServiceTag, b.ServiceTag)
	}
	if c := PrivateNetwork("renamed").WithKey(one); c.Prefix != a.Prefix || c.ServiceTag != a.ServiceTag {
		t.Errorf("another name for one key gives %s, %s", c.Prefix, c.ServiceTag)
	}
	for _, shown := range []string{string(a.Prefix), a.ServiceTag} {
		if strings.Contains(shown, hex.EncodeToString(one[:4])) || strings.Contains(shown, "same") {
			t.Errorf("%s tells the key or the name", shown)
		}
	}
	if !regexp.MustCompile(`^_[a-z][a-z2-7]{0,14}\._udp$`).MatchString(a.ServiceTag) {
		t.Errorf("%s is no DNS-SD service", a.ServiceTag)
	}
	chosen := PrivateNetwork("chosen")
	chosen.Prefix, chosen.ServiceTag = "/mine", "_mine._udp"
	if chosen = chosen.WithKey(one); chosen.Prefix != "/mine" || chosen.ServiceTag != "_mine._udp" {
		t.Errorf("what was set is now %s, %s", chosen.Prefix, chosen.ServiceTag)
	}
}

func TestPrivateNeedsKey(t *testing.T) {
	p, err := ProfileByName("private:team")
	must(t, err)
	p.Prefix, p.ServiceTag = "/x", "_x._udp"
	if err := p.validate(); err == nil || !strings.Contains(err.Error(), "no key") {
		t.Errorf("without a key: %v", err)
	}
	if _, ok := LAN().PrivateName(); ok {
		t.Error("lan is private")
	}
}

// QUIC knows no pre-shared keys, so a private network must not listen on it.
func TestPrivateListensOnTCP(t *testing.T) {
	for _, a := range PrivateNetwork("team").Listen {
		if !strings.Contains(a, "/tcp/") {
			t.Errorf("listens on %s", a)
		}
	}
}
