package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"shoal/node/api"
	"shoal/testnet"
)

func TestMain(m *testing.M) { os.Exit(testnet.Main(m)) }

// TestRun shares a file through one daemon and fetches it through another.
func TestRun(t *testing.T) {
	lab := testnet.Start(t, 2, testnet.Options{})
	alice, bob := lab.Peers[0], lab.Peers[1]
	do := func(home string, args ...string) string {
		t.Helper()
		var out bytes.Buffer
		if err := run(t.Context(), home, args, &out); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	path := testnet.RandomFile(t, alice.Path("original"), 5<<20, 1)
	link := strings.TrimSpace(do(alice.Home(), "share", path))
	if !strings.HasPrefix(link, "ipfs://") {
		t.Errorf("share printed %q", link)
	}
	if out := do(bob.Home(), "get", link, bob.Path("copy")); !strings.Contains(out, "5242880 bytes from 1 peers") {
		t.Errorf("get printed %q", out)
	}
	lab.Same(path, bob.Path("copy"), false)
	if out := do(bob.Home(), "status"); !strings.HasPrefix(out, bob.ID()) || !strings.Contains(out, "1 shares of 5242880 bytes") {
		t.Errorf("status printed %q", out)
	}
}

// TestNoDaemon gives an error that a program can tell apart.
func TestNoDaemon(t *testing.T) {
	err := run(t.Context(), t.TempDir(), []string{"status"}, &bytes.Buffer{})
	if e := api.AsError(err); err == nil || e.Code != api.NoDaemon {
		t.Errorf("got %v", err)
	}
}
