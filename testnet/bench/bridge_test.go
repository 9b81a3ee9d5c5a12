package main

import (
	"os/exec"
	"strings"
	"testing"
)

// A bridge leaves nothing behind.
func TestBridge(t *testing.T) {
	if why := noNamespaces(); why != "" {
		t.Skip(why)
	}
	for _, alone := range []bool{false, true} {
		b := &bench{dir: t.TempDir()}
		br, err := b.bridge([]int64{1e9, 1e9}, alone)
		if err != nil {
			t.Skip("no namespaces here: ", err) // a container may forbid them to its root too
		}
		pinged := exec.Command("ip", "netns", "exec", br.places[0].ns, "ping", "-c1", "-W1", br.places[1].ip).Run()
		if alone && pinged == nil {
			t.Error("places that are kept from each other reach each other")
		}
		before, err := br.sent(0)
		if err != nil {
			t.Error(err)
		}
		if all, err := br.sentByAll(); err != nil || all < before.Bytes {
			t.Errorf("all sent %d bytes, one of them %d: %v", all, before.Bytes, err)
		}
		if err := br.shape(0, 2e6); err != nil {
			t.Error(err)
		}
		if err := br.close(); err != nil {
			t.Error(err)
		}
		for _, command := range []string{"netns", "link"} {
			out, err := exec.Command("ip", command).Output()
			if err != nil || strings.Contains(string(out), br.name) {
				t.Errorf("ip %s still has %s: %v\n%s", command, br.name, err, out)
			}
		}
	}
}
