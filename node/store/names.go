package store

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName leaves room for ".part" and more within the 255 bytes of common file systems.
const maxName = 200

// partSuffix marks what is not whole yet.
const partSuffix = ".part"

// SafeName makes one harmless path element of a name that a peer gave; "" if nothing
// is left of it. Leading dots go too: no stranger makes a .profile.
func SafeName(name string) string {
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return '_'
		case strings.ContainsRune(`<>:"|?*`, r):
			return '_' // not allowed on Windows
		}
		return r
	}, name)
	name = shortened(strings.TrimLeft(name, ". "))
	if base, _, _ := strings.Cut(strings.ToUpper(name), "."); reserved[base] {
		name = shortened("_" + name)
	}
	return name
}

// shortened cuts name to maxName bytes between two characters, and takes dots and spaces from its end, which Windows ignores.
func shortened(name string) string {
	for len(name) > maxName {
		_, n := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-n]
	}
	return strings.TrimRight(name, ". ")
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
