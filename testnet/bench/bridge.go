package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"

	"shoal/testnet"
)

// bridge is a network of its own: namespaces on one bridge, each behind a veth that is limited both ways. Only the bridge has an
// address outside of the namespaces, for the tracker; nothing is routed.
type bridge struct {
	name   string // of the bridge, and the prefix of all other names
	subnet string // "10.x.y."
	places []place
	alone  bool   // the places reach only the bridge's own address, not each other
	cc     string // congestion control of TCP in the places; "": the machine's own
}

// bridgePort is where everybody listens in a namespace.
const bridgePort = 4474

var bridges atomic.Int32 // made by this process

// noNamespaces says why there can be no bridge here; "" where there can.
func noNamespaces() string { return testnet.NoNamespaces("tc") }

// newBridge makes a namespace for each rate, in bits a second. The caller closes it.
func (b *bench) newBridge(rates []int64) (*bridge, error) { return b.bridge(rates, false) }

// bridge is newBridge; alone keeps the places from each other.
func (b *bench) bridge(rates []int64, alone bool) (*bridge, error) {
	n := bridges.Add(1)
	subnet, err := freeSubnet(os.Getpid() + int(n))
	if err != nil {
		return nil, err
	}
	br := &bridge{name: fmt.Sprintf("sb%dx%d", os.Getpid()%1e6, n), subnet: subnet, alone: alone, cc: b.cc}
	if err := br.make(b.dir, rates); err != nil {
		return nil, errors.Join(err, br.close())
	}
	return br, nil
}

func (br *bridge) make(dir string, rates []int64) error {
	var host bytes.Buffer // commands of ip and tc in the machine's own namespace
	fmt.Fprintf(&host, "link add %s type bridge\nlink set dev %[1]s addrgenmode none up\naddr add %s254/24 dev %[1]s\n", br.name, br.subnet)
	if err := testnet.Batch("ip", "", host.String()); err != nil {
		return err
	}
	for i, rate := range rates {
		p := place{ns: fmt.Sprintf("%sn%d", br.name, i), ip: fmt.Sprintf("%s%d", br.subnet, i+1), port: bridgePort}
		p.dir = filepath.Join(dir, p.ns)
		br.places = append(br.places, p)
		if err := errors.Join(os.Mkdir(p.dir, 0o755), br.join(p, i, rate)); err != nil {
			return err
		}
	}
	return nil
}

// join makes one namespace and its veth.
func (br *bridge) join(p place, i int, rate int64) error {
	outer := br.outer(i)
	port := ""
	if br.alone {
		port = fmt.Sprintf("link set dev %s type bridge_slave isolated on\n", outer)
	}
	return errors.Join(
		testnet.Batch("ip", "", fmt.Sprintf("netns add %s\nlink add %s type veth peer name eth0 netns %[1]s\nlink set dev %[2]s addrgenmode none master %s up\n%s",
			p.ns, outer, br.name, port)),
		testnet.Batch("ip", p.ns, fmt.Sprintf("link set dev lo up\nlink set dev eth0 addrgenmode none up\naddr add %s/24 dev eth0\n", p.ip)),
		br.shape(i, rate),
		setCongestion(p.ns, br.cc),
	)
}

func (br *bridge) outer(i int) string { return fmt.Sprintf("%sv%d", br.name, i) }

// shape limits a place to so many bits a second each way, from now on.
func (br *bridge) shape(i int, rate int64) error {
	limit := fmt.Sprintf("root tbf rate %dbit burst %d latency 50ms\n", rate, max(64<<10, rate/8/100))
	return errors.Join(
		testnet.Batch("tc", "", "qdisc replace dev "+br.outer(i)+" "+limit),
		testnet.Batch("tc", br.places[i].ns, "qdisc replace dev eth0 "+limit),
	)
}

// close removes what make has made, however far it came. The group of the processes inside is closed before.
func (br *bridge) close() error {
	var errs []error
	for i, p := range br.places {
		testnet.Batch("ip", "", "link del "+br.outer(i)+"\n") // goes with its namespace too, but later
		errs = append(errs, testnet.Batch("ip", "", "netns del "+p.ns+"\n"), os.RemoveAll(p.dir))
	}
	return errors.Join(append(errs, testnet.Batch("ip", "", "link del "+br.name+"\n"))...)
}

// gateway is where a process outside of the namespaces listens for those inside.
func (p place) gateway() string {
	if p.ns == "" {
		return p.ip
	}
	return p.ip[:strings.LastIndexByte(p.ip, '.')] + ".254"
}

// counter is what somebody has put on the wire.
type counter struct {
	Bytes   int64 `json:"bytes"` // headers included
	Packets int64 `json:"packets"`
}

// frameHeaders is what Ethernet, IPv4 and TCP with time stamps add to a packet's payload.
const frameHeaders = 14 + 20 + 32

// payload is the bytes without headers, as if all packets were TCP's.
func (c counter) payload() int64 { return c.Bytes - frameHeaders*c.Packets }

func (c counter) minus(d counter) counter { return counter{c.Bytes - d.Bytes, c.Packets - d.Packets} }

// parseQdisc reads the answer of tc -s -j qdisc show for one device.
func parseQdisc(out []byte) (counter, error) {
	var qdiscs []counter
	if err := json.Unmarshal(out, &qdiscs); err != nil {
		return counter{}, fmt.Errorf("counters %q: %w", out, err)
	}
	if len(qdiscs) == 0 {
		return counter{}, errors.New("no counters")
	}
	return qdiscs[0], nil
}

// sent is what place i has put on the wire.
func (br *bridge) sent(i int) (counter, error) {
	out, err := exec.Command("tc", "-n", br.places[i].ns, "-s", "-j", "qdisc", "show", "dev", "eth0").Output()
	if err != nil {
		return counter{}, fmt.Errorf("ask %s for its counters: %w", br.places[i].ns, err)
	}
	return parseQdisc(out)
}

// sentByAll is the bytes that all places have put on the wire.
func (br *bridge) sentByAll() (bytes int64, err error) {
	for i := range br.places {
		c, err := br.sent(i)
		if err != nil {
			return 0, err
		}
		bytes += c.Bytes
	}
	return bytes, nil
}

// freeSubnet is a /24 that this machine has no address in.
func freeSubnet(seed int) (string, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	taken := func(subnet string) bool {
		_, n, err := net.ParseCIDR(subnet + "0/24")
		for _, a := range addrs {
			if have, ok := a.(*net.IPNet); ok && (n.Contains(have.IP) || have.Contains(n.IP)) {
				return true
			}
		}
		return err != nil
	}
	for i := range 256 {
		if s := fmt.Sprintf("10.%d.%d.", 200+seed/256%50, (seed+i)%256); !taken(s) {
			return s, nil
		}
	}
	return "", errors.New("no free subnet")
}
