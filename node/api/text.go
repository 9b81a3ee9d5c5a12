package api

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON strings are Unicode, but the paths and names of files are bytes, and encoding/json turns each byte that is not
// UTF-8 into U+FFFD: another file. Marshal writes such a byte b as the escape \udcXX, XX being b in hexadecimal, a lone
// surrogate that no valid text holds, as Python's surrogateescape does (PEP 383). Unmarshal reads it back. Valid text stays
// plain.
//
// encoding/json knows no such escape, so on its way through it a byte is mark and two hex digits, and mark itself is mark and "--".
const mark = "\uFDD0" // a noncharacter: nobody's text needs it

// Marshal is json.Marshal for objects of the API: it keeps every byte of strings that are not UTF-8, and does not escape HTML.
func Marshal(v any) ([]byte, error) {
	raw, err := marshalPlain(v)
	if err != nil || !bytes.Contains(raw, []byte(`\ufffd`)) { // what encoding/json writes for such a byte
		return raw, err
	}
	raw, err = marshalPlain(rewrite(reflect.ValueOf(v), conceal, concealRaw).Interface())
	return revealRaw(raw), err
}

func marshalPlain(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Unmarshal is json.Unmarshal for what Marshal wrote.
func Unmarshal(raw []byte, v any) error {
	if !bytes.Contains(raw, []byte(`\ud`)) && !bytes.Contains(raw, []byte(`\uD`)) {
		return json.Unmarshal(raw, v)
	}
	hidden, _ := hideEscapes(raw)
	if err := json.Unmarshal(hidden, v); err != nil {
		return err
	}
	to := reflect.ValueOf(v).Elem()
	to.Set(rewrite(to, reveal, revealRaw))
	return nil
}

// conceal replaces the bytes of s that are not UTF-8 by marks.
func conceal(s string) string {
	if utf8.ValidString(s) && !strings.Contains(s, mark) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteString(mark + hex.EncodeToString([]byte{s[i]}))
		case strings.HasPrefix(s[i:], mark):
			b.WriteString(mark + "--")
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// reveal is the inverse of conceal.
func reveal(s string) string {
	return revealWith(s, func(b byte) string { return string([]byte{b}) })
}

// revealWith takes the marks out of s, each byte as show gives it.
func revealWith(s string, show func(b byte) string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, mark)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		code, err := hex.DecodeString(after[:min(2, len(after))])
		if err != nil || len(code) != 1 {
			b.WriteString(mark)
		} else {
			b.WriteString(show(code[0]))
		}
		s = after[min(2, len(after)):]
	}
}

// concealRaw guards the marks in JSON that is made already, and revealRaw gives JSON with escapes for marks.
func concealRaw(raw []byte) []byte { return bytes.ReplaceAll(raw, []byte(mark), []byte(mark+"--")) }

func revealRaw(raw []byte) []byte {
	if !bytes.Contains(raw, []byte(mark)) {
		return raw
	}
	return []byte(revealWith(string(raw), func(b byte) string { return `\udc` + hex.EncodeToString([]byte{b}) }))
}

// hideEscapes replaces the escapes of bytes in valid JSON by marks. broken says whether other halves of surrogate pairs stand alone,
// which are no text.
func hideEscapes(raw []byte) (out []byte, broken bool) {
	out = make([]byte, 0, len(raw))
	for i := 0; i < len(raw); {
		n := 1
		switch unit := escaped(raw[i:]); {
		case unit == []rune(mark)[0]:
			out, i, n = append(out, mark+"--"...), i+6, 0
		case unit >= 0 && utf16.DecodeRune(unit, escaped(raw[min(i+6, len(raw)):])) != utf8.RuneError:
			n = 12
		case unit >= 0xdc80 && unit <= 0xdcff:
			out, i, n = append(out, mark+hex.EncodeToString([]byte{byte(unit)})...), i+6, 0
		case unit >= 0:
			broken, n = broken || utf16.IsSurrogate(unit), 6
		case raw[i] == '\\':
			n = min(2, len(raw)-i)
		case bytes.HasPrefix(raw[i:], []byte(mark)):
			out, i, n = append(out, mark+"--"...), i+len(mark), 0
		}
		out, i = append(out, raw[i:i+n]...), i+n
	}
	return out, broken
}

// escaped is the code unit of an escape \uXXXX at the head of raw, or -1.
func escaped(raw []byte) rune {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(raw[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

// rewrite copies v with every string that JSON shows changed by text, and JSON in it by raw.
func rewrite(v reflect.Value, text func(string) string, raw func([]byte) []byte) reflect.Value {
	if !v.IsValid() {
		return v
	}
	again := func(v reflect.Value) reflect.Value { return rewrite(v, text, raw) }
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	switch v.Kind() {
	case reflect.String:
		out.SetString(text(v.String()))
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(again(v.Elem()))
		}
	case reflect.Interface:
		if !v.IsNil() {
			out.Set(again(v.Elem()))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				out.Field(i).Set(again(v.Field(i)))
			}
		}
	case reflect.Slice:
		rewriteSlice(out, v, again, raw)
	case reflect.Map:
		if !v.IsNil() {
			out.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
			for key, value := range v.Seq2() {
				out.SetMapIndex(again(key), again(value))
			}
		}
	}
	return out
}

func rewriteSlice(out, v reflect.Value, again func(reflect.Value) reflect.Value, raw func([]byte) []byte) {
	switch {
	case v.IsNil():
	case v.Type() == reflect.TypeFor[json.RawMessage]():
		out.SetBytes(raw(v.Bytes()))
	case v.Type().Elem().Kind() != reflect.Uint8:
		out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			out.Index(i).Set(again(v.Index(i)))
		}
	}
}
