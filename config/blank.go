package config

import (
	"unicode"
	"unicode/utf8"
)

// Web pages and word processors leave blanks in a text that look like a blank
// or like nothing, and are none to any super-server: a no-break space before
// a setting makes its name unknown. The readers take them for blanks, and say
// so once for each file. In quotes they stay what they are.

// blankLen returns the length in bytes of the blank that text begins with, 0
// for none. odd is set if it is no space and no tab.
func blankLen(text string) (n int, odd bool) {
	if text == "" {
		return 0, false
	}
	switch c := text[0]; {
	case c == ' ' || c == '\t':
		return 1, false
	case c == 0xa0: // a no-break space in ISO 8859-1, which is no UTF-8
		return 1, true
	case c < utf8.RuneSelf:
		return 0, false
	}
	c, n := utf8.DecodeRuneInString(text)
	// U+FEFF is the byte order mark, which is in the midst of a text where
	// files were put together.
	if c == '\ufeff' || c == '\u200b' || c == '\u2060' || c != '\u0085' && unicode.Is(unicode.Zs, c) {
		return n, true
	}
	return 0, false
}

// skipBlanks returns text without the blanks at its beginning, and whether
// there is an odd one among them.
func skipBlanks(text string) (remainder string, odd bool) {
	for {
		n, isOdd := blankLen(text)
		if n == 0 {
			return text, odd
		}
		text, odd = text[n:], odd || isOdd
	}
}

// wordLen returns the length of the word that text begins with: up to the
// next blank.
func wordLen(text string) int {
	for i := 0; i < len(text); {
		if n, _ := blankLen(text[i:]); n > 0 {
			return i
		}
		_, n := utf8.DecodeRuneInString(text[i:])
		i += n
	}
	return len(text)
}

// hasOddBlank reports whether there is a blank in text that is no space.
func hasOddBlank(text string) bool {
	for text != "" {
		var odd bool
		if text, odd = skipBlanks(text[wordLen(text):]); odd {
			return true
		}
	}
	return false
}

// oddBlanks is the problem of a file with such blanks.
func oddBlanks(at Pos) Problem {
	return Problem{Pos: at, Severity: Warning, Text: "the file has no-break spaces or other blanks that are no spaces; they are read as spaces",
		Hint: "replace them by spaces, or quote a value that has one"}
}
