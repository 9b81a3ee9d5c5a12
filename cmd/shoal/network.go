package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"shoal/node"
	"shoal/node/api"
)

// privateHead begins the setting that chooses a private network.
const privateHead = "private:"

func networkVerb() verb {
	return verb{
		name: "network", args: "[list | new NAME | invite [NAME] | join INVITATION|- | leave [NAME]]", short: "make, join and leave private networks",
		about: `A private network is those who hold its key, on one LAN or far apart: nobody else can connect, or read what passes. new makes a key, chooses
the network for this home, and prints an invitation: one line with the key, the name, and where to join. join takes such a line. A home is in one network
at a time, and knows the keys of as many as you like; without an argument they are listed, the one in force marked with *. invite prints the invitation again,
with the addresses of the daemon that runs. leave forgets the key and goes back to the network lan.

Who has the invitation is in, for good: send it as you would a password, and read it from standard input (-) or --file rather than give it on the
command line, where other users of the machine see it. There is no taking it back: to shut somebody out, ban its peer ID (` + "`shoal peers ban`" + `) or make a new
network. On one LAN members find each other; elsewhere someone has to be reachable: give its address to new or invite with --address.

The choice is the setting network = "private:NAME"; --network and SHOAL_NETWORK override it. A daemon that runs takes it up when it starts again. What this
home shares is offered in whichever network it is in.

With --json: {"name","network","in_force","addrs"} for each network of the list; new and invite add "invitation"; new, join and leave "restart" if
a daemon has to be started again.`,
		examples: []string{
			"shoal network new team", "shoal network invite --address /dns4/home.example.org/tcp/4474", "shoal network join -",
			"shoal network join --file invitation.txt", "shoal network", "shoal network leave team",
		},
		exits: []int{exitContent, exitDestination},
		flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "address", Usage: "put the multiaddr `ADDR` of this home into the invitation; repeatable"},
			&cli.StringFlag{Name: "file", Usage: "read the invitation from `FILE`"},
			&cli.StringFlag{Name: "as", Usage: "call the network `NAME` here, whatever the invitation says"},
		},
		do: runNetwork,
	}
}

// networkEvent is a line of --json.
type networkEvent struct {
	Name       string   `json:"name"`
	Network    string   `json:"network"` // the value of --network that chooses it
	InForce    bool     `json:"in_force"`
	Addrs      []string `json:"addrs"` // to join by; never null
	Invitation string   `json:"invitation,omitempty"`
	Restart    bool     `json:"restart,omitempty"` // a daemon runs that is not in it yet, or still
}

func runNetwork(ctx context.Context, c *call) error {
	action, rest := "list", c.args
	if len(rest) > 0 {
		action, rest = rest[0], rest[1:]
	}
	for _, a := range []struct {
		name        string
		least, most int
		do          func(context.Context, []string) error
	}{
		{"list", 0, 0, c.listNetworks}, {"new", 1, 1, c.newNetwork}, {"invite", 0, 1, c.invite},
		{"join", 0, 1, c.joinNetwork}, {"leave", 0, 1, c.leaveNetwork},
	} {
		switch {
		case a.name != action:
			continue
		case len(rest) < a.least:
			return usagef("network", "network %s needs a name", action)
		case len(rest) > a.most:
			return usagef("network", "network %s does not take the argument %q", action, rest[a.most])
		}
		return a.do(ctx, rest)
	}
	return usagef("network", "network takes list, new, invite, join or leave, not %q", action)
}

// inForce gives the private network that the settings choose.
func (c *call) inForce() (name string, ok bool) { return privateName(c.set.one("network")) }

// privateName is the private network that a value of the setting names, "" if it names another.
func privateName(network string) (name string, ok bool) {
	if name, ok = strings.CutPrefix(network, privateHead); !ok {
		return "", false
	}
	return name, true
}

// event describes a network without its secret.
func (c *call) event(inv node.Invitation) networkEvent {
	now, _ := c.inForce()
	return networkEvent{inv.Name, privateHead + inv.Name, now == inv.Name, append([]string{}, inv.Addrs...), "", false}
}

func (c *call) listNetworks(context.Context, []string) error {
	all, err := node.PrivateNetworks(c.home)
	if err != nil {
		return cannot("list the networks", "", err)
	}
	if c.json {
		for _, inv := range all {
			c.object(c.event(inv))
		}
		return c.out.err
	}
	if len(all) == 0 {
		c.note("no private network is known here; the network in force is %s (%s)", c.set.one("network"), c.set["network"].source)
		return nil
	}
	err = c.columns(" \tNETWORK\tJOINS BY", func(w io.Writer) {
		for _, inv := range all {
			mark, by := " ", "whoever is on the LAN"
			if c.event(inv).InForce {
				mark = "*"
			}
			if len(inv.Addrs) > 0 {
				by += ", " + count(len(inv.Addrs), "address")
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", mark, privateHead+inv.Name, by)
		}
	})
	if _, private := c.inForce(); !private && err == nil {
		c.note("the network in force is %s (%s)", c.set.one("network"), c.set["network"].source)
	}
	return err
}

func (c *call) newNetwork(ctx context.Context, args []string) error {
	inv, err := node.NewInvitation(args[0])
	if err != nil {
		return usagef("network", "%w", err)
	}
	if inv.Addrs, err = c.ownAddrs(); err != nil {
		return err
	}
	if err := node.SavePrivateNetwork(c.home, inv); err != nil {
		return cannot("make the network", inv.Name, err)
	}
	ev, err := c.choose(ctx, inv)
	if err != nil {
		return err
	}
	if len(inv.Addrs) == 0 && !c.quiet {
		c.note("It has no address to join by, which is enough on one LAN. `shoal network invite` adds those of the daemon once it runs.")
	}
	return c.sayInvitation(ev, inv)
}

func (c *call) invite(ctx context.Context, args []string) error {
	name, private := c.inForce()
	if len(args) > 0 {
		name = args[0]
	} else if !private {
		return usagef("network", "no private network is in force here; name one of those that `shoal network` lists")
	}
	known, err := node.PrivateNetwork(c.home, name)
	if err != nil {
		return cannot("invite to", name, err)
	}
	inv := known
	if inv.Addrs, err = c.ownAddrs(); err != nil {
		return err
	}
	if at, id := c.runsIn(ctx); at == privateHead+name {
		inv = inv.With(id.Addrs)
	}
	inv = inv.With(known.Addrs) // other members that may be reached
	if len(inv.Addrs) == 0 && !c.quiet {
		c.note("It has no address to join by, which is enough on one LAN: no daemon runs here in %s.", privateHead+name)
	}
	return c.sayInvitation(c.event(inv), inv)
}

func (c *call) joinNetwork(ctx context.Context, args []string) error {
	text, err := c.readInvitation(args)
	if err != nil {
		return err
	}
	inv, err := node.ParseInvitation(text)
	if err != nil {
		return usagef("network", "%w", err)
	}
	if as := c.flags.String("as"); as != "" {
		inv.Name = as
	}
	if err := node.SavePrivateNetwork(c.home, inv); err != nil {
		return cannot("join", privateHead+inv.Name, err)
	}
	ev, err := c.choose(ctx, inv)
	if err == nil && c.json {
		c.object(ev)
	}
	return err
}

// choose puts a network in force and says what that takes.
func (c *call) choose(ctx context.Context, inv node.Invitation) (networkEvent, error) {
	s, err := findSetting("network")
	if err == nil {
		err = c.changeSetting(s, []string{privateHead + inv.Name})
	}
	if err != nil {
		return networkEvent{}, err
	}
	ev := c.event(inv)
	at, _ := c.runsIn(ctx)
	ev.InForce, ev.Restart = c.set["network"].source == "default" || c.set["network"].source == configName, at != ""
	switch {
	case c.quiet:
	case ev.Restart:
		c.note("%s is the network of this home from the next start on: the daemon that runs is in %s. Restart it.", ev.Network, at)
	case ev.InForce:
		c.note("%s is the network of this home now; what it shares is offered there alone", ev.Network)
	}
	return ev, nil
}

func (c *call) leaveNetwork(ctx context.Context, args []string) error {
	name, current := c.inForce()
	if len(args) > 0 {
		current = name == args[0]
		name = args[0]
	} else if !current {
		return usagef("network", "no private network is in force here; name the one to forget")
	}
	inv, err := node.PrivateNetwork(c.home, name)
	if err != nil && api.AsError(err).Code != api.Damaged {
		return cannot("leave", name, err)
	}
	inv.Name = name
	back := current && c.set["network"].source == configName
	if err := c.unchoose(name); err != nil {
		return err
	}
	if err := node.ForgetPrivateNetwork(c.home, name); err != nil {
		return cannot("leave", name, err)
	}
	ev := c.event(inv)
	ev.InForce = false
	at, _ := c.runsIn(ctx)
	ev.Restart = at == ev.Network
	if c.json {
		c.object(ev)
	}
	switch {
	case c.quiet:
	case ev.Restart:
		c.note("the key of %s is forgotten; the daemon that runs is in it until it is stopped", ev.Network)
	default:
		c.note("the key of %s is forgotten; a new invitation brings it back", ev.Network)
	}
	if back && !c.quiet {
		c.note("This home is in the network %s from now on: what it shares is offered there.", defaultNetwork)
	}
	return c.out.err
}

// unchoose takes a private network out of the home's settings, whatever overrides them now: it must not stay there when its key
// is gone.
func (c *call) unchoose(name string) error {
	file, err := readConfig(c.home)
	if err != nil {
		return cannot("leave", name, err)
	}
	if !slices.Equal(file["network"], []string{privateHead + name}) {
		return nil
	}
	s, err := findSetting("network")
	if err != nil {
		return err
	}
	return c.changeSetting(s, nil)
}

// sayInvitation prints the secret: the result of the verb.
func (c *call) sayInvitation(ev networkEvent, inv node.Invitation) error {
	text, err := inv.Encode()
	if err != nil {
		return cannot("write an invitation to", inv.Name, err)
	}
	if ev.Invitation = text; c.json {
		ev.Addrs = append([]string{}, inv.Addrs...)
		c.object(ev)
		return c.out.err
	}
	c.printf("%s\n", text)
	if !c.quiet {
		c.note("Who has this line is in the network: send it as you would a password. It is taken by `shoal network join -`.")
	}
	return c.out.err
}

// runsIn tells the network of the daemon that runs, "" if there is none, and who it is.
func (c *call) runsIn(ctx context.Context) (network string, id api.Identity) {
	client := api.NewClient(c.home)
	st, err := client.Status(ctx)
	if err != nil {
		return "", id
	}
	return st.Network, api.Identity{ID: st.ID, Addrs: st.Addrs}
}

// ownAddrs reads --address: where this home can be reached. The peer ID need not be written.
func (c *call) ownAddrs() ([]string, error) {
	given := c.flags.StringSlice("address")
	if len(given) == 0 {
		return nil, nil
	}
	id, err := node.EnsureIdentity(c.home)
	if err != nil {
		return nil, cannot("tell the identity", "", err)
	}
	var out []string
	for _, a := range given {
		if !strings.Contains(a, "/p2p/") {
			a = strings.TrimSuffix(a, "/") + "/p2p/" + id.String()
		}
		if err := checkBootstrap(a); err != nil {
			return nil, usagef("network", "--address: %w", err)
		}
		out = append(out, a)
	}
	return out, nil
}

// readInvitation takes it from a file, from standard input, or from the command line. Mail programs break long lines: white
// space does not count.
func (c *call) readInvitation(args []string) (string, error) {
	from, file := io.Reader(nil), c.flags.String("file")
	switch {
	case file != "" && len(args) > 0:
		return "", usagef("network", "network join takes an invitation or --file, not both")
	case file != "":
		f, err := os.Open(file)
		if err != nil {
			return "", cannot("read the invitation", "", err)
		}
		defer f.Close()
		from = f
	case len(args) == 0:
		return "", usagef("network", "network join needs an invitation: - reads it from standard input, --file from a file")
	case args[0] == "-":
		from = c.stdin
	default:
		from = strings.NewReader(args[0])
	}
	raw, err := io.ReadAll(io.LimitReader(from, 2*int64(node.MaxInvitation)))
	if err != nil {
		return "", cannot("read the invitation", "", err)
	}
	return strings.Join(strings.Fields(string(raw)), ""), nil
}
