package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"shoal/node/api"
)

// configName is the settings file's name in the home.
const configName = "config.toml"

// setting is one thing that can be set in config.toml, by the environment, or by a flag.
type setting struct {
	key     string // in config.toml and `shoal config`
	env     string // environment variable; of a list: separated by commas
	flag    string
	list    bool
	initial []string // the default
	teach   string   // comment in a fresh config.toml
	example string   // TOML value shown there, commented out
	check   func(value string) error
}

// table lists the settings, in the order in which they are shown.
func table() []setting {
	return slices.Concat([]setting{
		{
			key: "network", env: "SHOAL_NETWORK", flag: "network", initial: []string{defaultNetwork},
			teach: "Whom to meet: lan is the machines around, public the IPFS network, where shares are announced to the world, " +
				"private:NAME who has its key (`shoal network`), local this machine alone.",
			example: `"` + defaultNetwork + `"`, check: checkNetwork,
		},
		{
			key: "listen", env: "SHOAL_LISTEN", flag: "listen", list: true,
			teach:   "Addresses to listen on, instead of the network's own. A port to forward or to open in a firewall goes here.",
			example: `["/ip4/0.0.0.0/tcp/4474", "/ip4/0.0.0.0/udp/4474/quic-v1"]`, check: checkListen,
		},
		{
			key: "bootstrap", env: "SHOAL_BOOTSTRAP", flag: "bootstrap", list: true,
			teach:   "Peers to join by, in place of the network's own (an invitation's stay); none is nobody. `shoal id` on the other machine prints them.",
			example: `["/ip4/192.0.2.1/tcp/4474/p2p/12D3KooW…"]`, check: checkBootstrap,
		},
		{
			key: "log_level", env: "SHOAL_LOG_LEVEL", flag: "log-level", initial: []string{"info"},
			teach:   "How much the daemon logs: debug, info, warn or error.",
			example: `"info"`, check: checkLevel,
		},
	}, reachSettings(), limitSettings())
}

// valid checks one value.
func (s setting) valid(value string) error {
	if value == "" {
		return fmt.Errorf("%s is empty", s.key)
	}
	return s.check(value)
}

// resolved is a setting with its value and where that comes from.
type resolved struct {
	setting
	values []string
	source string // "default", "config.toml", or the name of the variable or flag
}

// settings are the effective settings of one run, by key.
type settings map[string]resolved

func (s settings) one(key string) string {
	if v := s[key].values; len(v) > 0 {
		return v[0]
	}
	return ""
}

func (s settings) list(key string) []string { return s[key].values }

// set says whether anybody chose the value of a key.
func (s settings) set(key string) bool { return s[key].source != "default" }

// settle merges the sources: flags override the environment, which overrides the file, which overrides the defaults. flags
// gives the values of a flag that was given; file is what readConfig gave.
func settle(file map[string][]string, getenv func(string) (string, bool), flags func(name string) ([]string, bool)) (settings, error) {
	out := settings{}
	for _, s := range table() {
		r := resolved{s, s.initial, "default"}
		if v, ok := file[s.key]; ok {
			r.values, r.source = v, configName
		}
		if v, ok := getenv(s.env); ok && v != "" {
			r.values, r.source = split(v, s.list), s.env
		}
		if v, ok := flags(s.flag); ok {
			r.values, r.source = v, "--"+s.flag
		}
		for _, v := range r.values {
			if err := s.valid(v); err != nil {
				return nil, api.Errorf(api.Invalid, "%s: %w", r.source, err)
			}
		}
		out[s.key] = r
	}
	return out, nil
}

// split takes a variable's value apart at commas, if it holds a list.
func split(v string, list bool) []string {
	if !list {
		return []string{v}
	}
	var out []string
	for _, part := range strings.Split(v, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// readConfig reads the settings file of a home; none is an empty one.
func readConfig(home string) (map[string][]string, error) {
	path := filepath.Join(home, configName)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the settings: %w", err)
	}
	values, err := parseConfig(string(raw))
	if err != nil {
		return nil, api.Errorf(api.Invalid, "cannot read the settings: %s:%w", path, err).
			WithHint("Mend or remove that line.")
	}
	return values, nil
}

// parseConfig reads the text of a settings file. Its errors begin with the line number.
func parseConfig(text string) (map[string][]string, error) {
	var raw map[string]any
	if _, err := toml.Decode(text, &raw); err != nil {
		var pe toml.ParseError
		if errors.As(err, &pe) {
			return nil, fmt.Errorf("%d: %s", pe.Position.Line, pe.Message)
		}
		return nil, fmt.Errorf("1: %w", err)
	}
	out := map[string][]string{}
	for key, v := range raw {
		values, err := configValue(key, v)
		if err != nil {
			return nil, fmt.Errorf("%d: %w", lineOf(text, key), err)
		}
		out[key] = values
	}
	return out, nil
}

// configValue checks one value of the file.
func configValue(key string, v any) ([]string, error) {
	s, err := findSetting(key)
	if err != nil {
		return nil, err
	}
	var values []string
	switch v := v.(type) {
	case string:
		values = []string{v}
	case []any:
		if !s.list {
			return nil, fmt.Errorf("%s takes one value, not a list", key)
		}
		values = []string{}
		for _, e := range v {
			text, ok := e.(string)
			if !ok {
				return nil, fmt.Errorf("%s is a list of strings", key)
			}
			values = append(values, text)
		}
	default:
		return nil, fmt.Errorf("%s is a string: write it in quotes", key)
	}
	for _, e := range values {
		if err := s.valid(e); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// findSetting looks a key up, with a suggestion for one that is misspelt. The flag's spelling is understood too.
func findSetting(key string) (setting, error) {
	var keys []string
	for _, s := range table() {
		if s.key == key || s.flag == key {
			return s, nil
		}
		keys = append(keys, s.key)
	}
	if near := api.Nearest(key, keys); near != "" {
		return setting{}, fmt.Errorf("there is no setting %q; did you mean %s?", key, near)
	}
	return setting{}, fmt.Errorf("there is no setting %q; there are %s", key, strings.Join(keys, ", "))
}

// lineOf finds the line of a top-level key in a file that parses, 1 if it is spelt in a way we do not look for.
func lineOf(text, key string) int {
	for i, line := range strings.Split(text, "\n") {
		if keyOfLine(line) == key {
			return i + 1
		}
	}
	return 1
}

// keyOfLine gives the key that a line sets or the table that it opens, or "".
func keyOfLine(line string) string {
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "[") {
		return strings.Trim(line, "[] ")
	}
	key, _, ok := strings.Cut(line, "=")
	if !ok {
		return ""
	}
	return strings.Trim(strings.TrimSpace(key), `"'`)
}

func checkLevel(v string) error {
	switch strings.ToLower(v) {
	case "debug", "info", "warn", "error":
		return nil
	}
	return fmt.Errorf("%q is no log level; there are debug, info, warn and error", v)
}

func level(v string) slog.Level {
	var l slog.Level
	if l.UnmarshalText([]byte(v)) != nil {
		return slog.LevelInfo // checkLevel has seen it
	}
	return l
}
