package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"shoal/node"
	"shoal/node/api"
)

func limitVerb() verb {
	return verb{
		name: "limit", args: "[off]", short: "show and change the rate limits of the daemon",
		about: `Without a flag: the limits in force, and why. A flag sets one limit, at once, also for transfers under way; "off" (or 0) lifts it, and
` + "`shoal limit off`" + ` lifts all. What is set here goes before the schedule and the settings, until --auto takes it back or the daemon stops.

RATE is 5MB/s, 500kB/s, 2MiB/s or 10Mbit/s; "/s" may be left out, and a bare number is bytes a second. MB is 1,000,000 bytes, MiB 1,048,576. up and down are
all peers together; peer-up and peer-down each peer. What is swapped with peers counts, those on this machine too; finding peers does not.

To keep limits, put limit_up, limit_down, limit_peer_up, limit_peer_down and limit_schedule into ` + configName + ` (see ` + "`shoal config`" + `). The schedule has rules like
"mon-fri 08:00-18:00 up=1MB/s down=5MB/s", in local time: days and hours may be left out, 22:00-06:00 goes on into the next day, and where several rules hold the
first that names a limit sets it.

The --limit flags of share, get and cat limit that transfer alone; here they show below the others, and all of them hold.

With --json: {"up","down","peer_up","peer_down": {"rate","source","rule"}, "schedule", "next", "transfers"}, rates in bytes a second, 0 for none; source is
config, schedule or hand. "transfers" has the limits of single ones: {"cid","name","source","up","down","peer_up","peer_down"}; source is share, get or cat.`,
		examples: []string{
			"shoal limit", "shoal limit --up 1MB/s --down 5MB/s", "shoal limit --up off", "shoal limit --peer-down 10Mbit/s",
			"shoal limit --auto", `shoal config set limit_schedule "mon-fri 08:00-18:00 up=1MB/s" "sat,sun down=off"`,
		},
		exits: []int{exitDaemon},
		flags: []cli.Flag{
			&cli.StringFlag{Name: "up", Usage: "send to all peers together `RATE` at most"},
			&cli.StringFlag{Name: "down", Usage: "receive from all peers together `RATE` at most"},
			&cli.StringFlag{Name: "peer-up", Usage: "send to each peer `RATE` at most"},
			&cli.StringFlag{Name: "peer-down", Usage: "receive from each peer `RATE` at most"},
			&cli.BoolFlag{Name: "auto", Usage: "forget what was set by hand; schedule and settings hold again"},
		},
		do: runLimit,
	}
}

func runLimit(ctx context.Context, c *call) error {
	req, err := c.limitRequest()
	if err != nil {
		return err
	}
	s, err := c.daemon(ctx)
	if err != nil {
		return cannot("reach the daemon's limits", "", err)
	}
	var state api.LimitState
	if req == (api.LimitRequest{}) {
		state, err = s.Limits(ctx)
	} else {
		state, err = s.SetLimits(ctx, req)
	}
	if err != nil {
		return cannot("limit", "", err)
	}
	if c.json {
		c.object(state)
	} else {
		c.printf("%s", limitText(state, time.Now()))
	}
	return c.out.err
}

// limitRequest is what the command line asks for; empty if it only asks.
func (c *call) limitRequest() (req api.LimitRequest, err error) {
	if err := c.want(0, 1); err != nil {
		return req, err
	}
	all := []struct {
		flag string
		to   **int64
	}{{"up", &req.Up}, {"down", &req.Down}, {"peer-up", &req.PeerUp}, {"peer-down", &req.PeerDown}}
	off := false
	if len(c.args) == 1 {
		if off = c.args[0] == "off"; !off {
			return req, usagef("limit", "limit takes flags or off, not %q; did you mean --down %s?", c.args[0], c.args[0])
		}
	}
	req.Auto = c.flags.Bool("auto")
	for _, l := range all {
		if off {
			*l.to = new(int64)
		}
		if !c.flags.IsSet(l.flag) {
			continue
		}
		v, err := node.ParseRate(c.flags.String(l.flag))
		if err != nil {
			return req, usagef("limit", "--%s: %w", l.flag, err)
		}
		*l.to = &v
	}
	return req, nil
}

// transferLimits are the limits that the command line sets for one transfer; nil without any.
func (c *call) transferLimits() (*api.TransferLimits, error) {
	var set api.TransferLimits
	given := false
	for _, l := range []struct {
		flag string
		to   *int64
	}{{"limit-up", &set.Up}, {"limit-down", &set.Down}, {"limit-peer-up", &set.PeerUp}, {"limit-peer-down", &set.PeerDown}} {
		if !c.flags.IsSet(l.flag) {
			continue
		}
		v, err := node.ParseRate(c.flags.String(l.flag))
		if err != nil {
			return nil, usagef(c.verb.name, "--%s: %w", l.flag, err)
		}
		*l.to, given = v, true
	}
	if !given {
		return nil, nil
	}
	return &set, nil
}

// limitText is the limits for a person.
func limitText(s api.LimitState, now time.Time) string {
	var b strings.Builder
	for _, l := range []struct {
		name string
		api.Limit
	}{{"up", s.Up}, {"down", s.Down}, {"peer-up", s.PeerUp}, {"peer-down", s.PeerDown}} {
		line := fmt.Sprintf("%-10s %-10s %s", l.name, node.FormatRate(l.Rate), whyLimit(l.Limit))
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	if len(s.Schedule) > 0 {
		day := ""
		if s.Next.Sub(now) > 23*time.Hour {
			day = "Mon "
		}
		fmt.Fprintf(&b, "%-10s %s, next change %s\n", "schedule", count(len(s.Schedule), "rule"), s.Next.Local().Format(day+"15:04"))
	}
	for _, t := range s.Transfers {
		name := t.Name
		if name == "" {
			name = t.CID
		}
		fmt.Fprintf(&b, "%-10s %s: %s\n", t.Source, printable(name), limitsInForce(api.Limits(t.TransferLimits)))
	}
	return b.String()
}

func whyLimit(l api.Limit) string {
	switch l.Source {
	case api.LimitHand:
		return "by hand, until `shoal limit --auto` or the daemon stops"
	case api.LimitSchedule:
		return "by the schedule: " + printable(l.Rule)
	case api.LimitConfig:
		return "by the settings"
	}
	return ""
}

// limitsInForce is the limits that there are, on one line; "" without any.
func limitsInForce(l api.Limits) string {
	var parts []string
	for _, v := range []struct {
		name string
		rate int64
	}{{"up", l.Up}, {"down", l.Down}, {"peer-up", l.PeerUp}, {"peer-down", l.PeerDown}} {
		if v.rate > 0 {
			parts = append(parts, v.name+" "+node.FormatRate(v.rate))
		}
	}
	return strings.Join(parts, ", ")
}

// limitSettings are the limits among the settings.
func limitSettings() []setting {
	check := func(v string) error { _, err := node.ParseRate(v); return err }
	return []setting{
		{
			key: "limit_up", env: "SHOAL_LIMIT_UP", flag: "limit-up",
			teach:   "The most to send to all peers together: 5MB/s, 500kB/s, 10Mbit/s or off. `shoal limit` changes it while the daemon runs.",
			example: `"5MB/s"`, check: check,
		},
		{
			key: "limit_down", env: "SHOAL_LIMIT_DOWN", flag: "limit-down",
			teach:   "The most to receive from all peers together.",
			example: `"20MB/s"`, check: check,
		},
		{
			key: "limit_peer_up", env: "SHOAL_LIMIT_PEER_UP", flag: "limit-peer-up",
			teach:   "The most to send to each peer.",
			example: `"1MB/s"`, check: check,
		},
		{
			key: "limit_peer_down", env: "SHOAL_LIMIT_PEER_DOWN", flag: "limit-peer-down",
			teach:   "The most to receive from each peer.",
			example: `"1MB/s"`, check: check,
		},
		{
			key: "limit_schedule", env: "SHOAL_LIMIT_SCHEDULE", flag: "limit-schedule", list: true,
			teach:   "Limits by day and hour, in local time, before the ones above. Where several rules hold, the first that names a limit sets it.",
			example: `["mon-fri 08:00-18:00 up=1MB/s down=5MB/s", "22:00-06:00 up=off"]`,
			check:   func(v string) error { return node.Config{LimitSchedule: []string{v}}.Check() },
		},
	}
}

// limitFlags are the flags of these settings.
func limitFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "limit-up", Usage: "send to all peers together `RATE` at most, e.g. 5MB/s (SHOAL_LIMIT_UP)"},
		&cli.StringFlag{Name: "limit-down", Usage: "receive from all peers together `RATE` at most (SHOAL_LIMIT_DOWN)"},
		&cli.StringFlag{Name: "limit-peer-up", Usage: "send to each peer `RATE` at most (SHOAL_LIMIT_PEER_UP)"},
		&cli.StringFlag{Name: "limit-peer-down", Usage: "receive from each peer `RATE` at most (SHOAL_LIMIT_PEER_DOWN)"},
		&cli.StringSliceFlag{Name: "limit-schedule", Usage: "limit by day and hour with the `RULE`; repeatable (SHOAL_LIMIT_SCHEDULE)"},
	}
}

// limits are the settings' limits, which settle has checked.
func (s settings) limits() api.Limits {
	rate := func(key string) int64 { v, _ := node.ParseRate(s.one(key)); return v }
	return api.Limits{Up: rate("limit_up"), Down: rate("limit_down"), PeerUp: rate("limit_peer_up"), PeerDown: rate("limit_peer_down")}
}
