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
		port, err := exec.Command("ip", "-d", "link", "show", br.outer(0)).Output()
		if err != nil || strings.Contains(string(port), "isolated on") != alone {
			t.Errorf("alone is %t: %v\n%s", alone, err, port)
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
