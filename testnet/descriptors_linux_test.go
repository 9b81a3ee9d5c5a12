package testnet_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"shoal/testnet"
	inject "shoal/testnet/fault"
)

// TestFewDescriptors shares and fetches a tree with nodes that may open few files: the result is right or there is a clear error, and nothing is
// left out of a share. It needs prlimit: apt-get install util-linux.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 1, testnet.Options{})
	sharer := lab.Peers[0]
	path := sharer.Path("original")
	for _, dir := range []string{"a/b/c/d", "e", "f/g"} {
		for i := range 60 {
			file := filepath.Join(path, dir, strings.Repeat("x", i+1))
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			testnet.RandomFile(t, file, int64(3000+i), byte(i))
		}
	}
	shared := sharer.Share(path)
	run := func(limit, home string, args ...string) (string, int) {
		t.Helper()
		command := append([]string{testnet.Binary(t), "--home", home}, args...)
		cmd := exec.Command("timeout", append([]string{"60"}, inject.Limited(t, command, "--nofile="+limit)...)...)
		cmd.Env = append(os.Environ(), "SHOAL_NETWORK=local", "SHOAL_LISTEN=/ip4/127.0.0.1/tcp/0")
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	for _, limit := range []string{"16", "24", "32", "40", "64"} {
		t.Run(limit, func(t *testing.T) {
			dir := t.TempDir()
			out, code := run(limit, filepath.Join(dir, "home"), "get", shared.Link, "-o", filepath.Join(dir, "copy"))
			switch {
			case code == 0:
				lab.Same(path, filepath.Join(dir, "copy"), false)
			case !strings.Contains(out, "ulimit -n") || limit == "64":
				t.Errorf("get: exit %d\n%s", code, out)
			}
			out, code = run(limit, filepath.Join(dir, "home2"), "cid", path)
			if code == 0 && strings.TrimSpace(out) != shared.CID || code != 0 && (!strings.Contains(out, "too many open files") || limit == "64") {
				t.Errorf("cid: exit %d\n%s", code, out)
			}
		})
	}
}

// TestVerifyFails verifies while files cannot be opened for a reason that says nothing of them: that is an error of verify, and no change.
// It needs strace: apt-get install strace.
func TestVerifyFails(t *testing.T) {
	t.Parallel()
	peer := testnet.Start(t, 1, testnet.Options{}).Peers[0]
	path := testnet.RandomFile(t, peer.Path("original"), 3*chunk, 1)
	peer.Share(path)
	peer.Stop()
	for _, args := range [][]string{{"verify", "--full"}, {"verify", "--full", path}} {
		command := append([]string{testnet.Binary(t), "--home", peer.Home()}, args...)
		command = inject.Inject(t, os.DevNull, command, "openat:error=EMFILE")
		cmd := exec.Command(command[0], append([]string{"-P", path}, command[1:]...)...)
		cmd.Env = append(os.Environ(), "SHOAL_NETWORK=local")
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(string(out), "too many open files") ||
			strings.Contains(string(out), "changed") || strings.Contains(string(out), "context canceled") {
			t.Errorf("%q: exit %d\n%s", args, code, out)
		}
	}
}
