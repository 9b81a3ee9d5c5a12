package main

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"shoal/node/api"
)

func early() flagSpec { return specOf(append(globalFlags(), nodeFlags()...)) }

func TestArrange(t *testing.T) {
	lookup := func(name string) (flagSpec, error) {
		v, err := verbNamed(verbs(), name)
		return specOf(v.allFlags()), err
	}
	for _, row := range []struct {
		name, in    string
		verb        string
		flags, args string
	}{
		{"nothing", "", "", "", ""},
		{"plain", "get LINK", "get", "", "LINK"},
		{"flag after the argument", "get LINK -o x", "get", "--o=x", "LINK"},
		{"flags before the verb", "--home h --json ls c", "ls", "--home=h --json", "c"},
		{"node's flag before the verb", "--network local daemon", "daemon", "--network=local", ""},
		{"value that is a verb", "--home get ls", "ls", "--home=get", ""},
		{"equals sign", "get --output=x=y LINK", "get", "--output=x=y", "LINK"},
		{"value that looks like a flag", "get -o -x LINK", "get", "--o=-x", "LINK"},
		{"repeated", "get L --select a --select b/c", "get", "--select=a --select=b/c", "L"},
		{"bool takes no value", "get --force LINK", "get", "--force", "LINK"},
		{"bool with a value", "get --force=false LINK", "get", "--force=false", "LINK"},
		{"two dashes end the flags", "cid -- -x --json", "cid", "", "-x --json"},
		{"a dash is an argument", "cid -", "cid", "", "-"},
		{"help", "get -h", "get", "--h", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, err := arrange(strings.Fields(row.in), early(), lookup)
			if err != nil {
				t.Fatal(err)
			}
			if c.verb != row.verb || strings.Join(c.flags, " ") != row.flags || strings.Join(c.args, " ") != row.args {
				t.Errorf("%+v; want %q %q %q", c, row.verb, row.flags, row.args)
			}
		})
	}
}

func TestArrangeErrors(t *testing.T) {
	lookup := func(name string) (flagSpec, error) {
		v, err := verbNamed(verbs(), name)
		return specOf(v.allFlags()), err
	}
	for _, row := range []struct{ name, in, want string }{
		{"unknown flag", "get --frobnicate", "unknown flag --frobnicate"},
		{"misspelt flag", "get --outptu x", "did you mean --output?"},
		{"flag of another verb", "ls --force", "unknown flag --force"},
		{"flag of a verb before it", "--select x get", "unknown flag --select"},
		{"node's flag before a verb without", "--network x ls", "unknown flag --network"},
		{"unknown short flag", "get -x", "unknown flag -x"},
		{"value missing", "get LINK --output", "needs a value"},
		{"misspelt verb", "statsu", "did you mean status?"},
		{"unknown verb", "frobnicate", `no verb "frobnicate"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := arrange(strings.Fields(row.in), early(), lookup)
			if err == nil || !strings.Contains(err.Error(), row.want) || exitCode(err) != exitUsage {
				t.Errorf("%v, exit %d; want %q, exit %d", err, exitCode(err), row.want, exitUsage)
			}
		})
	}
}

// FuzzArrange checks that no command line loses or invents an argument.
func FuzzArrange(f *testing.F) {
	f.Add("get LINK -o x")
	f.Add("--home h ls -- -a --b")
	f.Add("config set listen a b --json")
	f.Fuzz(func(t *testing.T, line string) {
		in := strings.Fields(line)
		c, err := arrange(in, early(), func(name string) (flagSpec, error) {
			v, err := verbNamed(verbs(), name)
			return specOf(v.allFlags()), err
		})
		if err != nil {
			if api.AsError(err).Code != api.Invalid {
				t.Fatalf("code %q", api.AsError(err).Code)
			}
			return
		}
		for _, a := range c.args {
			if !slices.Contains(in, a) {
				t.Fatalf("%q is not in %q", a, in)
			}
		}
		if again, err := arrange(append(append([]string{c.verb}, c.flags...), append([]string{"--"}, c.args...)...),
			early(), func(string) (flagSpec, error) { v, _ := verbNamed(verbs(), c.verb); return specOf(v.allFlags()), nil },
		); c.verb != "" && (err != nil || !slices.Equal(again.args, c.args) || !slices.Equal(again.flags, c.flags)) {
			t.Fatalf("arranged again %+v, %v; want %+v", again, err, c)
		}
	})
}

// TestFlagsAgree checks that no verb's own flag hides a global one, and that all flags are of the kinds that arrange tells apart.
func TestFlagsAgree(t *testing.T) {
	for _, v := range verbs() {
		seen := map[string]bool{"help": true, "h": true}
		for _, f := range v.allFlags() {
			for _, name := range f.Names() {
				if seen[name] {
					t.Errorf("%s has the flag %s twice", v.name, name)
				}
				seen[name] = true
			}
		}
	}
}

func TestFlagProblem(t *testing.T) {
	for _, row := range []struct{ err, want string }{
		{`invalid value "5" for flag -timeout: parse error`, `--timeout "5" is not a time; write one like 30s, 5m or 2h`},
		{`invalid boolean value "maybe" for -json: parse error`, `--json cannot be "maybe"`},
		{"something else", "something else"},
	} {
		if got := flagProblem(errors.New(row.err)); got != row.want {
			t.Errorf("%q: %q; want %q", row.err, got, row.want)
		}
	}
}
