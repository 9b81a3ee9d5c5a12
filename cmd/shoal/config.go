package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"shoal/node/api"
)

func configVerb() verb {
	return verb{
		name: "config", args: "[get KEY | set KEY VALUE… | unset KEY]", short: "show and change the settings",
		about: `Without an argument: every setting in force and where it comes from. Flags override environment variables, which override ` + configName + ` in the
home. set and unset change that file; a running daemon reads it when it starts. Keys: ` + strings.Join(keys(), ", ") + `.

With --json: {"key","value","source"}.`,
		examples: []string{
			"shoal config", "shoal config get network", "shoal config set network local",
			"shoal config set listen /ip4/0.0.0.0/tcp/4474 /ip4/0.0.0.0/udp/4474/quic-v1", "shoal config unset listen",
		},
		ownNode: true,
		do:      runConfig,
	}
}

func keys() []string {
	var out []string
	for _, s := range table() {
		out = append(out, s.key)
	}
	return out
}

// configEvent is a line of --json: value is a string, or of a list an array.
type configEvent struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`
	Source string `json:"source"`
}

func runConfig(_ context.Context, c *call) error {
	if len(c.args) == 0 {
		return c.showConfig()
	}
	action, rest := c.args[0], c.args[1:]
	if !slices.Contains([]string{"get", "set", "unset"}, action) {
		return usagef("config", "config takes get, set or unset, not %q", action)
	}
	if len(rest) == 0 {
		return usagef("config", "config %s needs a key: %s", action, strings.Join(keys(), ", "))
	}
	s, err := findSetting(rest[0])
	if err != nil {
		return usagef("config", "%w", err)
	}
	values := rest[1:]
	if action != "set" && len(values) > 0 {
		return usagef("config", "config %s does not take the argument %q", action, values[0])
	}
	switch action {
	case "get":
		return c.getSetting(s)
	case "unset":
		return c.changeSetting(s, nil)
	}
	if len(values) == 0 || len(values) > 1 && !s.list {
		return usagef("config", "config set %s needs one value", s.key)
	}
	for _, v := range values {
		if err := s.valid(v); err != nil {
			return api.Errorf(api.Invalid, "cannot set %s: %w", s.key, err)
		}
	}
	return c.changeSetting(s, values)
}

func (c *call) showConfig() error {
	if c.json {
		c.object(configEvent{"home", c.home, c.from})
		for _, key := range keys() {
			c.object(eventOf(c.set[key]))
		}
		return c.out.err
	}
	return c.columns("KEY\tVALUE\tSOURCE", func(w io.Writer) {
		fmt.Fprintf(w, "home\t%s\t%s\n", printable(c.home), c.from)
		for _, key := range keys() {
			r := c.set[key]
			value := strings.Join(r.values, " ")
			if value == "" {
				value = "-"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", key, printable(value), r.source)
		}
	})
}

func (c *call) getSetting(s setting) error {
	if c.json {
		c.object(eventOf(c.set[s.key]))
		return c.out.err
	}
	for _, v := range c.set[s.key].values {
		c.printf("%s\n", v)
	}
	return c.out.err
}

func eventOf(r resolved) configEvent {
	if r.list {
		return configEvent{r.key, append([]string{}, r.values...), r.source}
	}
	value := ""
	if len(r.values) > 0 {
		value = r.values[0]
	}
	return configEvent{r.key, value, r.source}
}

// changeSetting edits the file, and says where something stronger hides the change.
func (c *call) changeSetting(s setting, values []string) error {
	if err := writeSetting(c.home, s, values); err != nil {
		return cannot("change", s.key, err)
	}
	if source := c.set[s.key].source; source == s.env {
		c.note("note: %s is set in the environment and overrides %s", s.env, filepath.Join(c.home, configName))
	}
	return nil
}
