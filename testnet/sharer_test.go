package testnet_test

import (
	"os"
	"testing"

	"shoal/testnet"
)

// TestSharerGoesAndComes does to a sharer, in the middle of a fetch, what users and machines do. The fetch is never touched: it
// ends by itself, with the right bytes.
func TestSharerGoesAndComes(t *testing.T) {
	for _, row := range []struct {
		name string
		do   func(t *testing.T, sharer *testnet.Peer, path string)
	}{
		{"removed and shared again", func(t *testing.T, sharer *testnet.Peer, path string) {
			sharer.Must("rm", path)
			sharer.Share(path)
		}},
		{"restarted", func(t *testing.T, sharer *testnet.Peer, path string) {
			sharer.Stop()
			sharer.Restart()
		}},
		{"killed, and comes back at the same ports", func(t *testing.T, sharer *testnet.Peer, path string) {
			sharer.Kill()
			if err := sharer.RestartInPlace(t.Context()); err != nil {
				t.Fatal(err)
			}
		}},
		{"frozen", func(t *testing.T, sharer *testnet.Peer, path string) {
			sharer.Freeze()
			sharer.Thaw()
		}},
		{"all but stopped by a limit", func(t *testing.T, sharer *testnet.Peer, path string) {
			sharer.Must("limit", "--up", "10kB")
			sharer.Must("limit", "--up", "8MB")
		}},
		{"its file moved away and back, and verified", func(t *testing.T, sharer *testnet.Peer, path string) {
			for _, names := range [][2]string{{path, path + ".away"}, {path + ".away", path}} {
				if err := os.Rename(names[0], names[1]); err != nil {
					t.Fatal(err)
				}
				sharer.Run("verify") // it says what is wrong by its exit code
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			lab := testnet.Start(t, 2, testnet.Options{})
			sharer, fetcher := lab.Peers[0], lab.Peers[1]
			sharer.Must("limit", "--up", "8MB")
			path := testnet.RandomFile(t, sharer.Path("original"), 40*chunk, 1)
			link := sharer.Share(path).Link
			lab.Meet(sharer, fetcher)
			f := fetcher.Fetch(link, fetcher.Path("copy"))
			f.UntilBytes(12 * chunk)
			row.do(t, sharer, path)
			f.Done()
			lab.Same(path, fetcher.Path("copy"), false)
		})
	}
}
