package store

import (
	"path"
	"runtime"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is the bytes of a name that common file systems hold; maxPart leaves room for ".part" and more within them.
const (
	maxName = 255
	maxPart = 200
)

// partSuffix marks what is not whole yet.
const partSuffix = ".part"

// SafeName makes one harmless path element of the name in a link; "" if nothing is left of it. Only what no name may hold, and
// what would show as something else on a terminal, is changed: not a name that the system at hand takes.
func SafeName(name string) string {
	return safeName(name, runtime.GOOS == "windows")
}

func safeName(name string, windows bool) string {
	separators := "/"
	if windows {
		separators = `/\`
	}
	if i := strings.LastIndexAny(name, separators); i >= 0 {
		name = name[i+1:]
	}
	clean := make([]byte, 0, len(name))
	for len(name) > 0 {
		r, n := utf8.DecodeRuneInString(name)
		noText := r == utf8.RuneError && n == 1
		if noText && windows || unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || windows && strings.ContainsRune(`<>:"|?*`, r) {
			clean = append(clean, '_')
		} else {
			clean = append(clean, name[:n]...)
		}
		name = name[n:]
	}
	name = string(clean)
	if windows {
		name = strings.TrimRight(name, ". ") // which it ignores
		if base, _, _ := strings.Cut(strings.ToUpper(name), "."); reserved[base] {
			name = "_" + name
		}
	}
	if name == "." || name == ".." {
		return ""
	}
	return shortened(name, maxName)
}

// suggestedName is SafeName for what a stranger tells of bare content: leading dots go too, so that nobody makes a .profile of
// it, and so does what looks like a path on another system.
func suggestedName(name string) string {
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = strings.TrimRight(SafeName(strings.TrimLeft(name, ". ")), ". ")
	return strings.TrimLeft(name, ". ")
}

// shortened cuts name to most bytes between two characters, and keeps its extension.
func shortened(name string, most int) string {
	if len(name) <= most {
		return name
	}
	ext := path.Ext(name)
	if len(ext) > 20 || len(ext) == len(name) {
		ext = ""
	}
	name = name[:len(name)-len(ext)]
	for len(name) > most-len(ext) {
		_, n := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-n]
	}
	return name + ext
}

// reserved are the device names of Windows.
var reserved = map[string]bool{
	"CON": true, "PRN": true, "AUX": true, "NUL": true,
	"COM1": true, "COM2": true, "COM3": true, "COM4": true, "COM5": true, "COM6": true, "COM7": true, "COM8": true, "COM9": true,
	"LPT1": true, "LPT2": true, "LPT3": true, "LPT4": true, "LPT5": true, "LPT6": true, "LPT7": true, "LPT8": true, "LPT9": true,
}

// elementOf tells whether name is one path element that a caller may ask for.
func elementOf(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00") && len(name) <= 255
}

// cleanSub is a slash path inside a root without odd parts; "" is the root itself.
func cleanSub(p string) string {
	return strings.TrimPrefix(path.Clean("/"+p), "/")
}

// within tells whether p is sub or below it.
func within(p, sub string) bool {
	return sub == "" || p == sub || (len(p) > len(sub) && p[len(sub)] == '/' && p[:len(sub)] == sub)
}
