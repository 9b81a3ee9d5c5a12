package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"shoal/node"
)

// reachSettings are how a node is found and reached, among the settings. What they say together is checked by node.Config.
func reachSettings() []setting {
	reach := func(r node.Reach) error { return node.Config{Network: "public", Reach: r}.Check() }
	return []setting{
		{
			key: "dht_prefix", env: "SHOAL_DHT_PREFIX", flag: "dht-prefix",
			teach:   "The name of the DHT, in place of the network's own: only peers with the same meet in it.",
			example: `"/shoal/office"`, check: func(v string) error { return node.Config{Reach: node.Reach{DHTPrefix: v}}.Check() },
		},
		{
			key: "announce", env: "SHOAL_ANNOUNCE", flag: "announce", list: true,
			teach:   "Addresses to tell others besides those that are found: a port that you forward by hand.",
			example: `["/ip4/192.0.2.1/tcp/4474"]`, check: func(v string) error { return reach(node.Reach{Announce: []string{v}}) },
		},
		{
			key: "mdns", env: "SHOAL_MDNS", flag: "mdns",
			teach:   "Look for peers on the local link: on or off, in place of the network's own.",
			example: `"off"`, check: checkSwitch,
		},
		{
			key: "nat", env: "SHOAL_NAT", flag: "nat",
			teach:   "Get through NATs (UPnP, AutoNAT, relays, hole punching): on or off, in place of the network's own.",
			example: `"off"`, check: checkSwitch,
		},
		{
			key: "relay", env: "SHOAL_RELAY", flag: "relay", list: true,
			teach:   "Relays to be reached through behind a NAT, before any that are met.",
			example: `["/ip4/192.0.2.1/tcp/4474/p2p/12D3KooW…"]`, check: func(v string) error { return reach(node.Reach{Relays: []string{v}}) },
		},
		{
			key: "relay_data", env: "SHOAL_RELAY_DATA", flag: "relay-data", initial: []string{"off"},
			teach:   "Whether chunks may go through relays where no direct connection comes about: on or off. Both sides have to allow it.",
			example: `"off"`, check: checkSwitch,
		},
		{
			key: "relay_service", env: "SHOAL_RELAY_SERVICE", flag: "relay-service", initial: []string{"off"},
			teach:   "Be a relay for others: on or off. It needs a machine that the internet reaches.",
			example: `"on"`, check: checkSwitch,
		},
		{
			key: "relay_limits", env: "SHOAL_RELAY_LIMITS", flag: "relay-limits",
			teach:   "What the relay gives: reservations in all; data each way and time of one connection.",
			example: `"reservations=128 data=128KiB time=2m"`, check: func(v string) error { return reach(node.Reach{RelayLimits: v}) },
		},
	}
}

func checkSwitch(v string) error {
	if v != "on" && v != "off" {
		return fmt.Errorf("%q is neither on nor off", v)
	}
	return nil
}

// reachFlags are the flags of these settings.
func reachFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "dht-prefix", Usage: "meet in the DHT named `PREFIX`, like /shoal/office (SHOAL_DHT_PREFIX)"},
		&cli.StringSliceFlag{Name: "announce", Usage: "tell others the multiaddr `ADDR` too; repeatable (SHOAL_ANNOUNCE)"},
		&cli.StringFlag{Name: "mdns", Usage: "look for peers on the local link: `on|off` (SHOAL_MDNS)"},
		&cli.StringFlag{Name: "nat", Usage: "get through NATs: `on|off` (SHOAL_NAT)"},
		&cli.StringSliceFlag{Name: "relay", Usage: "be reached through the relay at `ADDR`; repeatable (SHOAL_RELAY)"},
		&cli.StringFlag{Name: "relay-data", Usage: "let chunks go through relays if need be: `on|off` (SHOAL_RELAY_DATA)"},
		&cli.StringFlag{Name: "relay-service", Usage: "be a relay for others: `on|off` (SHOAL_RELAY_SERVICE)"},
		&cli.StringFlag{Name: "relay-limits", Usage: "limit the relay service to `LIMITS`, like \"reservations=64 data=1MiB time=2m\" (SHOAL_RELAY_LIMITS)"},
	}
}

// reach are the settings of it, which settle has checked one by one.
func (s settings) reach() node.Reach {
	return node.Reach{
		DHTPrefix: s.one("dht_prefix"), Announce: s.list("announce"), MDNS: s.one("mdns"), NAT: s.one("nat"), Relays: s.list("relay"),
		RelayData: s.one("relay_data") == "on", RelayService: s.one("relay_service") == "on", RelayLimits: s.one("relay_limits"),
	}
}
