package main

import (
	"regexp"
	"strings"

	"github.com/urfave/cli/v2"

	"shoal/node/api"
)

// flagSpec tells the flags of a verb apart: by each of their names, whether it takes a value.
type flagSpec map[string]bool

// specOf reads the spec off flag definitions.
func specOf(flags []cli.Flag) flagSpec {
	spec := flagSpec{"help": false, "h": false}
	for _, f := range flags {
		_, isBool := f.(*cli.BoolFlag)
		for _, name := range f.Names() {
			spec[name] = !isBool
		}
	}
	return spec
}

// command is a command line taken apart.
type command struct {
	verb  string   // "" if there is none
	flags []string // each as --name or --name=value
	args  []string // the rest
}

// arrange sorts a command line, in which flags may stand anywhere (also global ones before the verb), into the verb, its flags and
// its arguments. "--" ends the flags. early are the flags allowed before a verb, if it has them; lookup gives those of a verb.
// The package flag, and urfave/cli with it, would stop at the first argument.
func arrange(in []string, early flagSpec, lookup func(verb string) (flagSpec, error)) (command, error) {
	var c command
	spec, inFlags := early, true
	for i := 0; i < len(in); i++ {
		tok := in[i]
		switch {
		case inFlags && tok == "--":
			inFlags = false
		case inFlags && isFlag(tok):
			name, value, hasValue := strings.Cut(strings.TrimLeft(tok, "-"), "=")
			takes, known := spec[name]
			if !known {
				return c, unknownFlag(c.verb, name, spec)
			}
			if takes && !hasValue {
				if i++; i == len(in) {
					return c, usagef(c.verb, "the flag %s needs a value", tok)
				}
				value, hasValue = in[i], true
			}
			flag := "--" + name
			if hasValue {
				flag += "=" + value
			}
			c.flags = append(c.flags, flag)
		case c.verb == "":
			verbSpec, err := lookup(tok)
			if err != nil {
				return c, err
			}
			c.verb, spec = tok, verbSpec
			for _, f := range c.flags {
				name, _, _ := strings.Cut(f[2:], "=")
				if _, known := spec[name]; !known {
					return c, unknownFlag(c.verb, name, spec)
				}
			}
		default:
			c.args = append(c.args, tok)
		}
	}
	return c, nil
}

// isFlag says whether a token is a flag; "-" alone is an argument.
func isFlag(tok string) bool { return len(tok) > 1 && tok[0] == '-' }

func unknownFlag(verb, name string, spec flagSpec) error {
	names := make([]string, 0, len(spec))
	for n := range spec {
		names = append(names, n)
	}
	what := "unknown flag " + dashed(name)
	if near := api.Nearest(name, names); near != "" {
		return usagef(verb, "%s; did you mean %s?", what, dashed(near))
	}
	return usagef(verb, "%s", what)
}

// badValue is how package flag reports a value it cannot read.
var badValue = regexp.MustCompile(`^invalid (?:boolean )?value (".*") for (?:flag )?-(\w[\w-]*): parse error$`)

// flagProblem words an error of package flag as we write flags and times.
func flagProblem(err error) string {
	m := badValue.FindStringSubmatch(err.Error())
	switch {
	case m == nil:
		return err.Error()
	case m[2] == "timeout":
		return "--timeout " + m[1] + " is not a time; write one like 30s, 5m or 2h"
	}
	return dashed(m[2]) + " cannot be " + m[1]
}

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}
