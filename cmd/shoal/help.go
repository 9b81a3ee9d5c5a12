package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

// overview is the text of `shoal --help`.
func overview(all []verb) string {
	var b strings.Builder
	b.WriteString(`shoal shares files from where they are and fetches them from everyone who has them.

usage: shoal VERB [flags] [arguments]

  $ shoal share holiday.mp4            prints a link
  $ shoal get 'ipfs://bafy…'           on another machine, fetches it
  $ shoal daemon                       goes on serving in the background

verbs:
`)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, v := range all {
		fmt.Fprintf(w, "  %s\t%s\n", v.name, v.short)
	}
	w.Flush()
	b.WriteString("\nflags of every verb, before it or after it:\n")
	b.WriteString(describeFlags(globalFlags()))
	b.WriteString("\nexit codes:\n")
	for _, x := range exits {
		b.WriteString(describeExits(x.code))
	}
	b.WriteString("\n`shoal VERB --help` tells more.\n")
	return b.String()
}

// helpOf is the text of `shoal VERB --help`. It goes through text/template, and holds nothing that means something there.
func helpOf(v verb) string {
	var b strings.Builder
	fmt.Fprintf(&b, "shoal %s: %s\n\nusage: shoal %s\n\n%s\n", v.name, v.short,
		strings.TrimSpace(v.name+" [flags] "+v.args), wrap(v.about, 80))
	if len(v.examples) > 0 {
		b.WriteString("\nexamples:\n")
		for _, e := range v.examples {
			fmt.Fprintf(&b, "  $ %s\n", e)
		}
	}
	flags := v.flags
	if v.ownNode {
		flags = append(slices.Clone(flags), nodeFlags()...)
	}
	if len(flags) > 0 {
		b.WriteString("\nflags:\n" + describeFlags(flags))
	}
	b.WriteString("\nflags of every verb:\n" + describeFlags(globalFlags()))
	b.WriteString("\nexit codes:\n" + describeExits(append(slices.Clone(everyExit), v.exits...)...))
	return b.String()
}

// wrap breaks text into lines of at most width characters. An empty line separates paragraphs.
func wrap(text string, width int) string {
	var b strings.Builder
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			b.WriteString("\n")
		}
		room := 0
		for j, word := range strings.Fields(paragraph) {
			n := utf8.RuneCountInString(word)
			switch {
			case j == 0:
				room = width - n
			case n < room:
				b.WriteString(" ")
				room -= n + 1
			default:
				b.WriteString("\n")
				room = width - n
			}
			b.WriteString(word)
		}
		b.WriteString("\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

// describeFlags lists flags with what they mean. The word in backquotes in a flag's usage names its value.
func describeFlags(flags []cli.Flag) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, f := range flags {
		usage := ""
		if doc, ok := f.(cli.DocGenerationFlag); ok {
			usage = doc.GetUsage()
		}
		value := ""
		if parts := strings.SplitN(usage, "`", 3); len(parts) == 3 {
			value, usage = " "+parts[1], strings.Join(parts, "")
		}
		names := f.Names()
		slices.SortStableFunc(names, func(a, b string) int { return len(a) - len(b) })
		left := "    "
		if len(names[0]) == 1 {
			left, names = "-"+names[0]+", ", names[1:]
		}
		fmt.Fprintf(w, "  %s--%s%s\t%s\n", left, strings.Join(names, ", --"), value, usage)
	}
	w.Flush()
	return b.String()
}
