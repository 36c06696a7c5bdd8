package config

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// unitWord quotes a word of a command line as systemd reads it.
func unitWord(text string) string {
	text = strings.ReplaceAll(text, `$`, `$$`)
	if text != "" && utf8.ValidString(text) && !strings.ContainsFunc(text, func(c rune) bool { return unicode.IsControl(c) || strings.ContainsRune(" \"'\\;", c) }) {
		return strings.ReplaceAll(text, "%", "%%")
	}
	return unitQuoted(text)
}

func unitWords(list []string) string {
	words := make([]string, len(list))
	for i, w := range list {
		words[i] = unitWord(w)
	}
	return strings.Join(words, " ")
}

// unitQuoted quotes a text with the escapes of systemd.syntax(7), so that it
// stays on its line.
func unitQuoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '%':
			b.WriteString("%%")
		case c == '"' || c == '\\':
			b.WriteString(`\` + string(c))
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < ' ' || c == 0x7f || c >= 0x80 && !utf8.ValidString(text):
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String() + `"`
}
