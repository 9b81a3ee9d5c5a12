package chunker

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
)

// IgnoreFile is the name of a file that says which names of its directory, and of those below, are left out of a tree. It
// has the syntax of a .gitignore file, and is itself part of the tree.
const IgnoreFile = ".shoalignore"

// maxIgnoreFile bounds an ignore file, in bytes.
const maxIgnoreFile = 1 << 20

// rule is a line of an ignore file.
type rule struct {
	dir      string // where it holds, relative to the root; "" is all of the tree
	pattern  string
	keep     bool // a "!" before the pattern: takes back what an earlier rule leaves out
	dirOnly  bool // a slash behind it
	anchored bool // a slash in it: the pattern is a path from dir on, else a name anywhere below

	line string
	met  *atomic.Bool // it fitted a name
}

// Ignore is a list of rules that leave names out of a tree. The last one that fits a name decides. The zero value leaves out nothing.
type Ignore struct {
	rules []rule
	dead  []string // lines of the last file added that can fit no name: "3: ../x"
}

// ParseIgnore reads patterns in the syntax of a .gitignore file, which also know {this,that}. An error names the pattern.
func ParseIgnore(patterns ...string) (Ignore, error) {
	var ig Ignore
	for _, p := range patterns {
		if strings.TrimSpace(p) == "" || strings.ContainsAny(p, "\n\r\x00") {
			return Ignore{}, fmt.Errorf("%w: empty, or more than one line: %q", ErrPattern, p)
		}
		if err := ig.add("", p); err != nil {
			return Ignore{}, err
		}
	}
	return ig, nil
}

// Unmet lists the patterns that fitted no name in any build so far.
func (ig Ignore) Unmet() []string {
	var out []string
	for _, r := range ig.rules {
		if !r.met.Load() {
			out = append(out, r.line)
		}
	}
	return out
}

// TidyPattern is a pattern without the parts of its path that say nothing: ./a is /a, and a/./b is /a/b. The path of "./" is "/".
func TidyPattern(line string) string {
	p, keep := strings.CutPrefix(line, "!")
	if p == "./" {
		return joinPattern(keep, "")
	}
	says := func(part string) bool { return part != "" && part != "." }
	parts := strings.Split(strings.Trim(p, "/"), "/")
	if len(parts) == 1 || !slices.ContainsFunc(parts, func(part string) bool { return !says(part) }) {
		return line
	}
	parts = slices.DeleteFunc(parts, func(part string) bool { return !says(part) })
	if strings.HasSuffix(p, "/") {
		parts = append(parts, "")
	}
	return joinPattern(keep, strings.Join(parts, "/"))
}

// FitsNothing tells whether a pattern can fit no name of a tree: it leads out of it, or names a directory by a dot.
func FitsNothing(pattern string) bool {
	p := strings.Trim(strings.TrimPrefix(trimLine(pattern), "!"), "/")
	return p == "." || slices.Contains(strings.Split(p, "/"), "..")
}

// add takes in one line; comments and empty lines add nothing.
func (ig *Ignore) add(dir, line string) error {
	p := trimLine(line)
	if p == "" || p[0] == '#' {
		return nil
	}
	p = TidyPattern(p)
	r := rule{dir: dir, line: line, met: new(atomic.Bool)}
	if r.keep = p[0] == '!'; r.keep {
		p = p[1:]
	}
	if r.dirOnly = strings.HasSuffix(p, "/"); r.dirOnly {
		p = strings.TrimRight(p, "/")
	}
	if r.anchored = strings.Contains(p, "/"); r.anchored {
		p = strings.TrimPrefix(p, "/")
	}
	if strings.HasSuffix(p, "/**") { // what is inside, not the directory itself
		p += "/*"
	}
	if p == "" || !doublestar.ValidatePattern(p) {
		return fmt.Errorf("%w: pattern %q", ErrPattern, line)
	}
	r.pattern = p
	ig.rules = append(ig.rules, r)
	return nil
}

// trimLine is a line without what has no meaning at its end.
func trimLine(line string) string {
	p := strings.TrimRight(line, "\r")
	for strings.HasSuffix(p, " ") && !strings.HasSuffix(p, `\ `) {
		p = p[:len(p)-1]
	}
	return p
}

// leavesOut tells whether the path rel, relative to the root, is left out.
func (ig Ignore) leavesOut(rel string, dir bool) (out bool) {
	decided := false
	for i := len(ig.rules) - 1; i >= 0; i-- {
		r := &ig.rules[i]
		if decided && r.met.Load() || !r.fits(rel, dir) {
			continue
		}
		if r.met.Store(true); !decided {
			decided, out = true, !r.keep
		}
	}
	return out
}

func (r *rule) fits(rel string, dir bool) bool {
	if r.dirOnly && !dir {
		return false
	}
	if r.dir != "" {
		rel = strings.TrimPrefix(rel, r.dir+"/")
	}
	if !r.anchored {
		rel = path.Base(rel)
	}
	ok, err := doublestar.Match(r.pattern, rel)
	return ok && err == nil
}

// with adds the rules of an ignore file that lies in dir.
func (ig Ignore) with(dir string, file io.Reader) (Ignore, error) {
	out := Ignore{rules: ig.rules[:len(ig.rules):len(ig.rules)]}
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if !utf8.ValidString(line) || strings.Contains(line, "\x00") { // as of UTF-16: it would fit nothing
			return ig, fmt.Errorf("line %d: %w: not UTF-8 text: %q", n, ErrPattern, line)
		}
		if err := out.add(dir, line); err != nil {
			return ig, fmt.Errorf("line %d: %w", n, err)
		}
		if !strings.HasPrefix(line, "#") && FitsNothing(line) {
			out.dead = append(out.dead, fmt.Sprintf("%d: %s", n, line))
		}
	}
	return out, lines.Err()
}

// readIgnore gives d the rules that hold in it: those from above, and of its own ignore file. One that cannot be read or
// understood, or is no regular file, ends the build: what it means to leave out must not be shared.
func (b *builder) readIgnore(d *dirNode, has bool) error {
	if d.parent != nil {
		d.ignore = d.parent.ignore
	}
	if !has {
		return nil
	}
	ignore, err := d.ignore.withFile(d.f, d.abs, d.rel)
	if err != nil {
		err = fmt.Errorf("%w %s: %w", ErrIgnoreFile, joinRel(d.rel, IgnoreFile), err)
		b.cancel(err)
		return err
	}
	d.ignore = ignore
	for _, line := range ignore.dead {
		if b.cfg.Dead != nil {
			b.cfg.Dead(joinRel(d.rel, IgnoreFile) + ":" + line)
		}
	}
	return nil
}

// IgnoreLines are the lines with a pattern of the ignore file in a directory, none where there is no such file. ErrIgnoreFile.
func IgnoreLines(dir string) (lines []string, err error) {
	path := filepath.Join(dir, IgnoreFile)
	if _, err := LstatPath(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	ignore, err := Ignore{}.withFile(nil, dir, "")
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrIgnoreFile, path, err)
	}
	for _, r := range ignore.rules {
		lines = append(lines, trimLine(r.line))
	}
	return lines, nil
}

// withFile adds the rules of the ignore file in the directory at abs, which is open as up where that is not nil.
func (ig Ignore) withFile(up *os.File, abs, rel string) (Ignore, error) {
	path := filepath.Join(abs, IgnoreFile)
	f, err := openFile(up, IgnoreFile, path)
	if err != nil {
		if fi, lerr := LstatPath(path); lerr == nil && !fi.Mode().IsRegular() {
			err = fmt.Errorf("it is a %s, not a regular file", kindOf(fi.Mode()))
		}
		return Ignore{}, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("it is a %s, not a regular file", kindOf(fi.Mode()))
	}
	if err != nil {
		return Ignore{}, err
	}
	if fi.Size() > maxIgnoreFile {
		return Ignore{}, fmt.Errorf("%w: more than %d bytes", ErrLimit, maxIgnoreFile)
	}
	return ig.with(rel, io.LimitReader(f, maxIgnoreFile))
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "directory"
	case mode&fs.ModeSymlink != 0:
		return "symlink"
	}
	return "special file"
}

// PatternBelow is a pattern that holds in the directory dir of a tree, a relative path with slashes, as one of the whole tree. None
// for one that says nothing.
func PatternBelow(dir, pattern string) []string {
	p, keep := strings.CutPrefix(trimLine(pattern), "!")
	if p == "" || pattern[0] == '#' {
		return nil
	}
	if !strings.Contains(strings.TrimRight(p, "/"), "/") {
		p = "**/" + p
	}
	return []string{joinPattern(keep, literal.Replace(dir)+"/"+strings.TrimPrefix(p, "/"))}
}

// literal makes a path a pattern that fits it alone; a character that patterns cannot hold is any.
var literal = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`, "{", `\{`, "}", `\}`, "\n", "?", "\r", "?", "\x00", "?")

// PatternsWithin is a pattern that holds in a tree as those that do the same in its directory dir, a relative path with slashes.
func PatternsWithin(dir, pattern string) []string {
	p, keep := strings.CutPrefix(trimLine(pattern), "!")
	if !strings.Contains(strings.TrimRight(p, "/"), "/") {
		return []string{pattern}
	}
	var out []string
	for _, p := range alternatives(p) { // a slash in braces is none to cut at
		for _, rest := range within(strings.Split(strings.TrimPrefix(p, "/"), "/"), strings.Split(dir, "/")) {
			if strings.Trim(rest, "/") != "" {
				out = append(out, joinPattern(keep, rest))
			}
		}
	}
	return out
}

// alternatives are the patterns that one with {this,that} stands for; braces without a slash are left as they are.
func alternatives(p string) []string {
	open, depth, class := 0, 0, false
	var cuts []int // the braces and the commas between them
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c == '\\':
			i++
		case class || c == '[':
			class = c != ']'
		case c == '{':
			if depth++; depth == 1 {
				open, cuts = i, []int{i}
			}
		case c == ',' && depth == 1:
			cuts = append(cuts, i)
		case c == '}' && depth > 0:
			if depth--; depth > 0 || !strings.Contains(p[open:i], "/") {
				continue
			}
			var out []string
			for j, from := range cuts {
				to := append(cuts, i)[j+1]
				out = append(out, alternatives(p[:open]+p[from+1:to]+p[i+1:])...)
			}
			return out
		}
	}
	return []string{p}
}

func joinPattern(keep bool, p string) string {
	if keep {
		return "!/" + p
	}
	return "/" + p
}

// within lists what remains of a pattern, cut at its slashes, in a directory.
func within(pattern, dir []string) (rest []string) {
	at := map[int]bool{0: true} // how much of the pattern what is above may have taken
	for _, name := range dir {
		next := map[int]bool{}
		for i := range pattern {
			switch ok := false; {
			case !at[i]:
			case pattern[i] == "**":
				at[i+1], next[i] = true, true
			default:
				ok, _ = doublestar.Match(pattern[i], name)
				next[i+1] = next[i+1] || ok
			}
		}
		at = next
	}
	for i := range pattern {
		if at[i] {
			rest = append(rest, strings.Join(pattern[i:], "/"))
		}
	}
	return rest
}
