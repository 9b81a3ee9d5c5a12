package dht

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

// roleEnv makes this test binary one of two nodes, each in a network namespace of its own.
const roleEnv = "SHOAL_DHT_TEST_ROLE"

// TestMDNSMeetsOnALink runs two nodes with the lan profile in two network namespaces joined by a cable, and nothing that
// tells them of each other: one provides, the other finds. Never on a network of the machine itself.
func TestMDNSMeetsOnALink(t *testing.T) {
	if role := os.Getenv(roleEnv); role != "" {
		playRole(t, role)
		return
	}
	if testing.Short() {
		t.Skip("-short")
	}
	a, b := twoNamespaces(t)
	begin := time.Now()
	provider := inNamespace(t, a, "provide")
	finder := inNamespace(t, b, "find")
	want := readWord(t, provider, "provider")
	got := readWord(t, finder, "found")
	if got != want {
		t.Errorf("found %s, want %s", got, want)
	}
	t.Logf("from two processes to a provider found: %v", time.Since(begin))
}

// playRole runs until standard input ends.
func playRole(t *testing.T, role string) {
	n := start(t, setup{profile: LAN(), listen: "/ip4/0.0.0.0/tcp/0"})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	switch role {
	case "provide":
		provide(t, n, root(1))
		fmt.Println("provider", n.host.ID())
	case "find":
		for f := range n.Find(ctx, root(1)) {
			fmt.Println("found", f.Peer.ID)
			break
		}
	}
	<-ctx.Done()
}

// twoNamespaces makes two network namespaces with a cable between them, and removes them at the end.
func twoNamespaces(t *testing.T) (a, b string) {
	t.Helper()
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("network namespaces need Linux and root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("network namespaces need iproute2:", err)
	}
	tag := fmt.Sprintf("shoaldht%d", os.Getpid())
	a, b = tag+"a", tag+"b"
	if out, err := exec.Command("ip", "netns", "add", a).CombinedOutput(); err != nil {
		t.Skipf("network namespaces are not allowed here: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", a).Run() })
	ip(t, "netns add "+b)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", b).Run() })
	if out, err := exec.Command("ip", strings.Fields("-n "+a+" link add cable type veth peer name cable netns "+b)...).CombinedOutput(); err != nil {
		t.Skipf("a cable between namespaces is not allowed here: %v: %s", err, out)
	}
	for i, ns := range []string{a, b} {
		ip(t, "-n "+ns+" link set lo up")
		ip(t, fmt.Sprintf("-n %s addr add 10.77.0.%d/24 dev cable", ns, i+1))
		ip(t, "-n "+ns+" link set cable up")
		ip(t, "-n "+ns+" route add default dev cable")
	}
	return a, b
}

func ip(t *testing.T, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

// inNamespace starts this test binary in a namespace and returns its output; it ends with the test.
func inNamespace(t *testing.T, ns, role string) io.Reader {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.Command("ip", "netns", "exec", ns, exe, "-test.run=^TestMDNSMeetsOnALink$", "-test.v", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		in.Close() // asks it to end
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	})
	return out
}

// readWord waits for the line that starts with key and returns what follows.
func readWord(t *testing.T, r io.Reader, key string) string {
	t.Helper()
	words := make(chan string, 1)
	go func() {
		defer close(words)
		for s := bufio.NewScanner(r); s.Scan(); {
			if rest, ok := strings.CutPrefix(s.Text(), key+" "); ok {
				words <- rest
				return
			}
		}
	}()
	select {
	case w, ok := <-words:
		if !ok {
			t.Fatalf("the output ended without %q", key)
		}
		return w
	case <-time.After(patience):
		t.Fatalf("waited in vain for %q", key)
	}
	return ""
}
