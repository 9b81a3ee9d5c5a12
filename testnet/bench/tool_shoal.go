package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"path/filepath"

	"shoal/node/api"
)

// ours is the tool that is compared with the others.
const ours = "shoal"

// shoalTool is the binary under test. Its fetchers have joined through the seeder and know nobody else.
func (b *bench) shoalTool() tool {
	return tool{name: ours, missing: commands(), seed: b.shoalSeed, fetcher: b.shoalFetcher}
}

// shoalDaemon starts a daemon at p and waits until it answers. In a namespace it is on the lan network, which takes private addresses
// and has multicast: that stays on the bridge.
func (b *bench) shoalDaemon(ctx context.Context, g *group, p place, bootstrap []string) (*proc, api.Identity, error) {
	network := "local"
	if p.ns != "" {
		network = "lan"
	}
	home := filepath.Join(p.dir, "home")
	args := []string{"--home", home, "daemon", "--network", network, "--listen", fmt.Sprintf("/ip4/%s/tcp/%d", p.ip, p.port)}
	for _, a := range bootstrap {
		args = append(args, "--bootstrap", a)
	}
	proc, err := g.start(p, b.bin, args...)
	if err != nil {
		return nil, api.Identity{}, err
	}
	client := api.NewClient(home)
	var id api.Identity
	err = poll(ctx, func() (bool, error) {
		select {
		case <-proc.exited:
			return false, proc.failed()
		default:
		}
		var err error
		id, err = client.ID(ctx)
		if err != nil || len(id.Addrs) == 0 || len(bootstrap) == 0 {
			return err == nil && len(id.Addrs) > 0, nil
		}
		peers, err := client.Peers(ctx)
		return len(peers) > 0, err
	})
	return proc, id, err
}

func (b *bench) shoalSeed(ctx context.Context, g *group, p place, path string) (offer, error) {
	proc, id, err := b.shoalDaemon(ctx, g, p, nil)
	if err != nil {
		return offer{}, err
	}
	r, err := api.NewClient(filepath.Join(p.dir, "home")).Share(ctx, api.ShareRequest{Path: path}, nil)
	o := offer{at: p, name: filepath.Base(path), root: r.CID, link: r.Link, proc: proc, addrs: id.Addrs}
	if p.via != "" {
		host, port, _ := net.SplitHostPort(p.via)
		o.addrs = []string{fmt.Sprintf("/ip4/%s/tcp/%s/p2p/%s", host, port, id.ID)}
		o.link = "ipfs://" + r.CID + "?provider=" + url.QueryEscape(o.addrs[0])
	}
	return o, err
}

func (b *bench) shoalFetcher(ctx context.Context, g *group, p place, o offer) (fetcher, error) {
	if _, _, err := b.shoalDaemon(ctx, g, p, o.addrs); err != nil {
		return nil, err
	}
	client := api.NewClient(filepath.Join(p.dir, "home"))
	return func(ctx context.Context, dest string) (int64, error) {
		r, err := client.Get(ctx, api.GetRequest{Link: o.link, Output: filepath.Join(dest, o.name)}, nil)
		return r.Duplicate, err
	}, nil
}
