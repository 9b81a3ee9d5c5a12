package testnet

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
)

// Topology is a network of network namespaces that belongs to a test: hosts, routers and the switches between them. All of it, switches
// too, lives in namespaces that nothing connects to the machine's own network, so that any address may be used inside. What goes
// wrong fails the test; its cleanup removes everything.
type Topology struct {
	t      testing.TB
	prefix string // of the names of all namespaces, unlike those of other processes
	spaces []*Namespace
}

// Namespace is a host, a router or a switch of a Topology. Its loopback is up.
type Namespace struct {
	t    testing.TB
	name string
	plug int // devices made so far
}

var topologies atomic.Int32 // made by this process

// NoNamespaces says why there can be no network namespaces here, or which of the tools is missing; "" where all is well.
func NoNamespaces(tools ...string) string {
	if os.Geteuid() != 0 {
		return "network namespaces need root"
	}
	for _, tool := range append([]string{"ip"}, tools...) {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Sprintf("no %s on the PATH (Debian: %s)", tool, map[string]string{"ip": "iproute2", "tc": "iproute2", "nft": "nftables"}[tool])
		}
	}
	return ""
}

// NewTopology makes an empty network, or skips the test where that, or one of the tools that it needs besides ip, is missing. The
// name is a few letters of the lab.
func NewTopology(t testing.TB, name string, tools ...string) *Topology {
	t.Helper()
	if why := NoNamespaces(tools...); why != "" {
		t.Skip(why)
	}
	n := &Topology{t: t, prefix: fmt.Sprintf("shoal-%s-%dx%d-", name, os.Getpid(), topologies.Add(1))}
	t.Cleanup(n.close)
	first := n.prefix + "try"
	if err := Batch("ip", "", "netns add "+first+"\n"); err != nil {
		t.Skip("network namespaces are not permitted here: ", err)
	}
	if err := Batch("ip", "", "netns del "+first+"\n"); err != nil {
		t.Fatal(err)
	}
	return n
}

// Host makes a namespace that is not connected to anything yet.
func (n *Topology) Host(name string) *Namespace {
	n.t.Helper()
	ns := &Namespace{t: n.t, name: n.prefix + name}
	if err := Batch("ip", "", "netns add "+ns.name+"\n"); err != nil {
		n.t.Fatal(err)
	}
	n.spaces = append(n.spaces, ns)
	ns.IP("link set dev lo up")
	return ns
}

// Switch makes a namespace that is an Ethernet switch, to which hosts are plugged.
func (n *Topology) Switch(name string) *Namespace {
	n.t.Helper()
	ns := n.Host(name)
	ns.IP("link add br0 type bridge", "link set dev br0 addrgenmode none up")
	return ns
}

// Plug connects a host to a switch and gives it an address there ("10.0.0.1/24"; "": none). It returns the names of the host's new
// device (eth0, then eth1) and of the switch's port.
func (n *Topology) Plug(host, sw *Namespace, addr string) (dev, port string) {
	n.t.Helper()
	dev, port = fmt.Sprintf("eth%d", host.plug), fmt.Sprintf("port%d", sw.plug)
	host.plug++
	sw.plug++
	sw.IP(
		fmt.Sprintf("link add dev %s type veth peer name %s netns %s", port, dev, host.name),
		fmt.Sprintf("link set dev %s addrgenmode none master br0 up", port))
	host.IP(fmt.Sprintf("link set dev %s addrgenmode none up", dev))
	if addr != "" {
		host.IP(fmt.Sprintf("addr add %s dev %s", addr, dev))
	}
	return dev, port
}

// close removes all namespaces, and with them what is in them. Processes inside have to be ended before; see [Start].
func (n *Topology) close() {
	for _, ns := range n.spaces {
		if err := Batch("ip", "", "netns del "+ns.name+"\n"); err != nil {
			n.t.Error(err)
		}
	}
}

// IP runs commands of ip(8) inside, written without the leading ip: "route add default via 10.0.0.1".
func (ns *Namespace) IP(commands ...string) {
	ns.t.Helper()
	if err := Batch("ip", ns.name, strings.Join(commands, "\n")+"\n"); err != nil {
		ns.t.Fatal(err)
	}
}

// Forward makes a router of it.
func (ns *Namespace) Forward() {
	ns.t.Helper()
	ns.run("", "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
}

// NFT loads a ruleset, in the language of nft(8), in place of what was loaded before.
func (ns *Namespace) NFT(ruleset string) {
	ns.t.Helper()
	ns.run("flush ruleset\n"+ruleset+"\n", "nft", "-f", "-")
}

func (ns *Namespace) run(stdin, name string, args ...string) {
	ns.t.Helper()
	cmd := ns.Command(context.Background(), name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		ns.t.Fatalf("%s %s in %s: %v: %s", name, strings.Join(args, " "), ns.name, err, out)
	}
}

// Command prepares a command inside. Its process ID is the command's own.
func (ns *Namespace) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", ns.name, name}, args...)...)
}

// Batch runs lines of commands of ip(8) or tc(8) in a named network namespace ("": the machine's own).
func Batch(tool, ns, commands string) error {
	args := []string{"-batch", "-"}
	if ns != "" {
		args = append([]string{"-n", ns}, args...)
	}
	cmd := exec.Command(tool, args...)
	cmd.Stdin = strings.NewReader(commands)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %q: %w: %s", tool, commands, err, out)
	}
	return nil
}
