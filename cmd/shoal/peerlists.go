package main

import (
	"context"
	"io"
	"strings"

	"shoal/node/api"
)

// runPeerLists is `shoal peers` with an argument: it shows and changes who may connect.
func (c *call) runPeerLists(ctx context.Context) (err error) {
	action, peers := c.args[0], c.args[1:]
	var req api.PeerListRequest
	switch action {
	case "allow":
		req.Allow = peers
	case "ban":
		req.Ban = peers
	case "forget":
		req.Forget = peers
	case "lists":
		if len(peers) > 0 {
			return usagef("peers", "peers lists does not take the argument %q", peers[0])
		}
	default:
		if near := api.Nearest(action, []string{"allow", "ban", "forget", "lists"}); near != "" {
			return usagef("peers", "peers takes allow, ban, forget or lists, not %q; did you mean %s?", action, near)
		}
		return usagef("peers", "peers takes allow, ban, forget or lists, not %q", action)
	}
	if action == "lists" && c.noHome() {
		return c.sayPeerLists(api.PeerLists{Allow: []string{}, Ban: []string{}})
	}
	if action != "lists" && len(peers) == 0 {
		return usagef("peers", "peers %s needs peer IDs; `shoal peers` prints those of the connected ones", action)
	}
	work, s, err := c.connect(ctx, c.offline)
	if err != nil {
		return cannot("reach the peer lists", "", err)
	}
	defer c.leave(s, &err)
	var lists api.PeerLists
	if action == "lists" {
		lists, err = s.PeerLists(work)
	} else {
		lists, err = s.SetPeerLists(work, req)
	}
	if err != nil {
		return cannot(action, strings.Join(peers, " "), err)
	}
	if action == "allow" && !c.quiet {
		c.note("only the %s on the allow list may connect from now on", count(len(lists.Allow), "peer"))
	}
	if action == "forget" && len(lists.Allow) == 0 && !c.quiet {
		c.note("the allow list is empty: everybody who is not banned may connect")
	}
	if action == "lists" || c.json {
		return c.sayPeerLists(lists)
	}
	return c.out.err
}

func (c *call) sayPeerLists(lists api.PeerLists) error {
	if c.json {
		c.object(lists)
		return c.out.err
	}
	if len(lists.Allow)+len(lists.Ban) == 0 {
		c.note("both lists are empty: everybody may connect")
		return nil
	}
	return c.columns("LIST\tPEER", func(w io.Writer) {
		for _, id := range lists.Allow {
			io.WriteString(w, "allow\t"+id+"\n")
		}
		for _, id := range lists.Ban {
			io.WriteString(w, "ban\t"+id+"\n")
		}
	})
}
