package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// kuboTool is run where ipfs is on the PATH. It pins first and gets then, which is the fast way.
func kuboTool() tool {
	missing := func() string {
		if commands("ipfs:ipfs")() != "" {
			return "ipfs on the PATH"
		}
		return ""
	}
	return tool{name: "kubo", lonely: "may report to others", missing: missing, seed: kuboSeed, fetcher: kuboFetcher}
}

// kuboSetup makes a node that knows nobody: $1 listen address, $2 API address. Settings that a version does not have are left.
const kuboSetup = `set -e
ipfs init --empty-repo >/dev/null
ipfs config profile apply unixfs-v1-2025 >/dev/null 2>&1 || ipfs config profile apply test-cid-v1 >/dev/null
ipfs bootstrap rm --all >/dev/null
ipfs config --json Addresses "{\"Swarm\":[\"$1\"],\"Announce\":[],\"AppendAnnounce\":[],\"NoAnnounce\":[],\"API\":\"$2\",\"Gateway\":[]}"
ipfs config Routing.Type none
ipfs config --json Discovery.MDNS.Enabled false
ipfs config --json Swarm.DisableNatPortMap true
ipfs config --json Swarm.RelayClient.Enabled false
ipfs config --json AutoTLS.Enabled false 2>/dev/null || true
ipfs config --json AutoConf.Enabled false 2>/dev/null || true
ipfs config --json Bootstrap '[]'
`

// kubo starts a daemon at p and waits until it is ready.
func kubo(ctx context.Context, g *group, p place) (*proc, error) {
	port, err := freePort(localhost) // p's own may have it taken: then the daemon says so
	if err != nil {
		return nil, err
	}
	listen, api := fmt.Sprintf("/ip4/%s/tcp/%d", p.ip, p.port), fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", port)
	if err := g.run(ctx, p, "sh", "-c", kuboSetup, "sh", listen, api); err != nil {
		return nil, err
	}
	proc, err := g.start(p, "ipfs", "daemon")
	if err != nil {
		return nil, err
	}
	_, err = proc.expect(ctx, "Daemon is ready")
	return proc, err
}

func kuboSeed(ctx context.Context, g *group, p place, path string) (offer, error) {
	proc, err := kubo(ctx, g, p)
	if err != nil {
		return offer{}, err
	}
	out := filepath.Join(p.dir, "added")
	if err := g.run(ctx, p, "sh", "-c", `ipfs add -r -Q "$1" >"$2" && ipfs id -f '\n<id>' >>"$2"`, "sh", path, out); err != nil {
		return offer{}, err
	}
	raw, err := os.ReadFile(out)
	if err != nil {
		return offer{}, err
	}
	var root, id string
	if _, err := fmt.Sscan(string(raw), &root, &id); err != nil {
		return offer{}, err
	}
	addr := fmt.Sprintf("/ip4/%s/tcp/%d/p2p/%s", p.ip, p.port, id)
	return offer{at: p, name: filepath.Base(path), link: root, proc: proc, addrs: []string{addr}}, nil
}

func kuboFetcher(ctx context.Context, g *group, p place, o offer) (fetcher, error) {
	if _, err := kubo(ctx, g, p); err != nil {
		return nil, err
	}
	if err := g.run(ctx, p, "ipfs", "swarm", "connect", o.addrs[0]); err != nil {
		return nil, err
	}
	return func(ctx context.Context, dest string) (int64, error) {
		return -1, g.run(ctx, p, "sh", "-c", `ipfs pin add "$1" && ipfs get -o "$2" "$1"`, "sh", o.link, filepath.Join(dest, o.name))
	}, nil
}
