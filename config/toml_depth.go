package config

import (
	"fmt"
	"strings"
)

// maxTOMLDepth is how deep lists and inline tables may be nested, and how many
// parts a key may have. No setting needs more than four.
const maxTOMLDepth = 32

// tomlTooDeep looks for what is nested too deep, before the TOML library reads
// a text: that needs memory by the square of a key's parts, and gigabytes of
// stack for lists in lists. It also has to do with what is not TOML.
func tomlTooDeep(text string) (line, column int, problem string) {
	line = 1
	begin, depth, dots := 0, 0, 0
	for i := 0; i < len(text); {
		switch c := text[i]; c {
		case '\n':
			line, begin, dots = line+1, i+1, 0
		case '#':
			i += max(strings.IndexByte(text[i:], '\n'), 0)
			if text[i] == '\n' {
				continue
			}
			return 0, 0, "" // a comment at the end of the file
		case '"', '\'':
			end := i + tomlStringLength(text[i:])
			if n := strings.Count(text[i:end], "\n"); n > 0 {
				line, begin = line+n, i+strings.LastIndexByte(text[i:end], '\n')+1
			}
			i = end
			continue
		case '[', '{':
			depth, dots = depth+1, 0
		case ']', '}':
			depth = max(depth-1, 0)
		case '=', ',':
			dots = 0
		case '.':
			dots++
		}
		switch {
		case depth > maxTOMLDepth:
			return line, i - begin + 1, fmt.Sprintf("lists and tables are nested more than %d deep", maxTOMLDepth)
		case dots >= maxTOMLDepth:
			return line, i - begin + 1, fmt.Sprintf("a key has more than %d parts", maxTOMLDepth)
		}
		i++
	}
	return 0, 0, ""
}

// tomlStringLength returns the length of the string that a text begins with, of
// any of TOML's four kinds. One that is not closed ends with its line, or with
// the text.
func tomlStringLength(text string) int {
	quote := text[:1]
	if long := strings.Repeat(quote, 3); strings.HasPrefix(text, long) {
		quote = long
	}
	for i := len(quote); i < len(text); i++ {
		switch {
		case strings.HasPrefix(text[i:], quote):
			return i + len(quote)
		case text[i] == '\\' && quote[0] == '"':
			i++
		case text[i] == '\n' && len(quote) == 1:
			return i
		}
	}
	return len(text)
}
