package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"shoal/node"
	"shoal/node/api"
)

// freshConfig is the text of a new settings file: every setting, explained and commented out.
func freshConfig() string {
	var b strings.Builder
	b.WriteString("# Settings of the shoal node in this directory. Environment variables override them, flags override both.\n")
	b.WriteString("# `shoal config` shows what is in force and where it comes from.\n")
	for _, s := range table() {
		fmt.Fprintf(&b, "\n# %s\n# %s = %s\n", s.teach, s.key, s.example)
	}
	return b.String()
}

// writeSetting sets a key in the home's settings file, or takes it out where values is nil. All other lines and their
// comments stay as they are. The file is replaced whole, so that a crash leaves the old one or the new one.
func writeSetting(home string, s setting, values []string) error {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return fmt.Errorf("make the home: %w", err)
	}
	path := filepath.Join(home, configName)
	raw, err := os.ReadFile(path)
	text := string(raw)
	if errors.Is(err, fs.ErrNotExist) {
		text = freshConfig()
	} else if err != nil {
		return fmt.Errorf("read the settings: %w", err)
	}
	line := ""
	if values != nil {
		line = s.key + " = " + tomlValue(values, s.list)
	}
	edited, err := editConfig(text, s.key, line)
	if err != nil {
		return api.Errorf(api.Invalid, "%s:%w", path, err).WithHint("Mend that line first.")
	}
	parsed, err := parseConfig(edited)
	if err != nil || !slices.Equal(parsed[s.key], values) {
		return api.Errorf(api.Invalid, "%s is laid out in a way that cannot be edited safely", path).WithHint("Set %s in it by hand.", s.key)
	}
	if err := node.ReplaceFile(path, []byte(edited)); err != nil {
		return fmt.Errorf("write the settings: %w", err)
	}
	return nil
}

// editConfig sets the line of a key in the text of a settings file: in place of the one that is there, else after the comment
// that explains it, else at the end. An empty line takes the key out.
func editConfig(text, key, line string) (string, error) {
	if _, err := parseConfig(text); err != nil {
		return "", err
	}
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	at, end := len(lines), len(lines)
	for i, l := range lines {
		if keyOfLine(l) == key {
			at, end = i, i+assignmentLines(lines[i:])
			break
		}
		if keyOfLine(strings.TrimPrefix(strings.TrimSpace(l), "#")) == key {
			at, end = i+1, i+1
		}
	}
	var with []string
	if line != "" {
		with = []string{line}
	}
	return strings.Join(slices.Replace(lines, at, end, with...), "\n") + "\n", nil
}

// assignmentLines counts the lines of the assignment that lines begin with: as many as it takes to make valid TOML.
func assignmentLines(lines []string) int {
	for n := 1; n <= len(lines); n++ {
		var v map[string]any
		if _, err := toml.Decode(strings.Join(lines[:n], "\n"), &v); err == nil {
			return n
		}
	}
	return 1
}

// tomlValue writes values as TOML. Go's quoting of printable text is TOML's too.
func tomlValue(values []string, list bool) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = strconv.Quote(v)
	}
	if !list {
		return quoted[0]
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
