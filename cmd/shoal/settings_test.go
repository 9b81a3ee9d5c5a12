package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSettle checks which source wins.
func TestSettle(t *testing.T) {
	file := map[string][]string{"network": {"local"}, "log_level": {"warn"}, "listen": {"/ip4/1.2.3.4/tcp/1"}}
	env := map[string]string{"SHOAL_LOG_LEVEL": "error", "SHOAL_LISTEN": "/ip4/1.2.3.4/tcp/2, /ip4/1.2.3.4/tcp/3", "SHOAL_NETWORK": ""}
	flags := map[string][]string{"listen": {"/ip4/1.2.3.4/tcp/4"}}
	set, err := settle(file,
		func(k string) (string, bool) { v, ok := env[k]; return v, ok },
		func(k string) ([]string, bool) { v, ok := flags[k]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ key, value, source string }{
		{"network", "local", "config.toml"}, // an empty variable is none
		{"log_level", "error", "SHOAL_LOG_LEVEL"},
		{"listen", "/ip4/1.2.3.4/tcp/4", "--listen"},
		{"bootstrap", "", "default"},
	} {
		if got := set[row.key]; strings.Join(got.values, " ") != row.value || got.source != row.source {
			t.Errorf("%s is %q from %s; want %q from %s", row.key, got.values, got.source, row.value, row.source)
		}
	}
}

func TestSettleRejects(t *testing.T) {
	none := func(string) ([]string, bool) { return nil, false }
	for _, row := range []struct{ variable, value, want string }{
		{"SHOAL_NETWORK", "mars", `SHOAL_NETWORK: network "mars"`},
		{"SHOAL_LISTEN", "localhost:80", "SHOAL_LISTEN: listen address"},
		{"SHOAL_BOOTSTRAP", "/ip4/1.2.3.4/tcp/1", "SHOAL_BOOTSTRAP: bootstrap address"}, // no /p2p/
		{"SHOAL_LOG_LEVEL", "loud", "no log level"},
	} {
		_, err := settle(nil, func(k string) (string, bool) { return row.value, k == row.variable }, none)
		if err == nil || !strings.Contains(err.Error(), row.want) || exitCode(err) != exitUsage {
			t.Errorf("%s=%s: %v; want %q", row.variable, row.value, err, row.want)
		}
	}
}

func TestParseConfig(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"good", "network = \"local\"\nlisten = [\n \"/ip4/1.2.3.4/tcp/1\",\n]\n", ""},
		{"empty", "", ""},
		{"fresh", freshConfig(), ""},
		{"no quotes", "# x\n\nnetwork = local\n", "3: "},
		{"cut", "network = \"lo", "1: "},
		{"misspelt", "\nnetwrok = \"local\"\n", `2: there is no setting "netwrok"; did you mean network?`},
		{"a table", "[node]\nnetwork = \"local\"\n", `1: there is no setting "node"`},
		{"wrong type", "log_level = 5", "1: log_level is a string"},
		{"list for one value", "network = [\"local\"]", "1: network takes one value"},
		{"list of numbers", "listen = [1]", "1: listen is a list of strings"},
		{"bad value", "#\nlisten = [\"x\"]", "2: listen address"},
		{"empty value", "network = \"\"", "1: network is empty"},
		{"twice", "network = \"lan\"\nnetwork = \"lan\"", "2: "},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := parseConfig(row.text)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if (row.want == "") != (err == nil) || !strings.HasPrefix(got, row.want) {
				t.Errorf("%q; want %q", got, row.want)
			}
		})
	}
}

func TestEditConfig(t *testing.T) {
	for _, row := range []struct{ name, text, key, line, want string }{
		{"empty", "", "network", `network = "local"`, "\nnetwork = \"local\"\n"},
		{"replaced in place", "# mine\nnetwork = \"lan\" # home\n# end\n", "network", `network = "local"`, "# mine\nnetwork = \"local\"\n# end\n"},
		{"list over lines", "listen = [\n  # two\n  \"/ip4/1.2.3.4/tcp/1\",\n]\nnetwork = \"lan\"\n", "listen", `listen = []`, "listen = []\nnetwork = \"lan\"\n"},
		{"after its comment", "# about\n# network = \"lan\"\n\n# x\n", "network", `network = "local"`, "# about\n# network = \"lan\"\nnetwork = \"local\"\n\n# x\n"},
		{"taken out", "network = \"lan\"\nlog_level = \"warn\"\n", "network", "", "log_level = \"warn\"\n"},
		{"taken out where it is not", "log_level = \"warn\"\n", "network", "", "log_level = \"warn\"\n"},
		{"quoted key", "\"network\" = \"lan\"\n", "network", `network = "local"`, "network = \"local\"\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := editConfig(row.text, row.key, row.line)
			if err != nil || got != row.want {
				t.Errorf("%q, %v; want %q", got, err, row.want)
			}
		})
	}
}

// TestWriteSetting sets, changes and unsets every setting in a fresh file, which keeps its comments.
func TestWriteSetting(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	good := map[string][]string{
		"network": {"local"}, "listen": {"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}, "log_level": {"debug"},
		"bootstrap": {"/ip4/127.0.0.1/tcp/1/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"},
	}
	for _, s := range table() {
		if err := writeSetting(home, s, good[s.key]); err != nil {
			t.Fatal(err)
		}
	}
	got, err := readConfig(home)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range good {
		if !slices.Equal(got[key], want) {
			t.Errorf("%s is %q; want %q", key, got[key], want)
		}
	}
	for _, s := range table() {
		if err := writeSetting(home, s, nil); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(filepath.Join(home, configName))
	if err != nil || string(raw) != freshConfig() {
		t.Errorf("after unsetting all:\n%s%v", raw, err)
	}
	left, err := os.ReadDir(home)
	if err != nil || len(left) != 1 {
		t.Errorf("the home holds %v, %v; want one file", left, err)
	}
}

// FuzzParseConfig feeds the settings file's decoder; what it accepts must survive an edit.
func FuzzParseConfig(f *testing.F) {
	f.Add(freshConfig())
	f.Add("network = \"lan\"\nlisten = [\n\"/ip4/1.2.3.4/tcp/1\"]\n")
	f.Add("'network' = '''lan'''")
	f.Fuzz(func(t *testing.T, text string) {
		before, err := parseConfig(text)
		if err != nil {
			return
		}
		edited, err := editConfig(text, "network", `network = "local"`)
		if err != nil {
			t.Fatal(err)
		}
		after, err := parseConfig(edited)
		if err != nil {
			return // writeSetting notices and refuses
		}
		for key, want := range before {
			if key != "network" && !slices.Equal(after[key], want) {
				t.Fatalf("%s was %q, is %q in\n%s", key, want, after[key], edited)
			}
		}
	})
}
