package cli

import "strings"

// lineWords is the last command of a line that is still being typed.
type lineWords struct {
	words []string // those that are finished
	last  string   // the one at the end, without its quoting; "" after a blank
	start int      // where that one begins in the line
	quote byte     // the quote that is open at the end, 0 for none
}

// splitLine splits a text into commands and those into words, as virsh does: commands end at ';' and at the end of the
// line, words at blanks. A quoted text ('…' or "…") belongs to a word as it is, and so does any character after a
// backslash, except within '…'; a backslash at the end of a line continues the line. '#' at the beginning of a word
// makes the rest of the line a comment.
func splitLine(text string) ([][]string, error) {
	var commands [][]string
	s := scanner{text: text}
	for more := true; more; {
		var words []string
		for s.next() {
			words = append(words, s.word)
		}
		if s.fault != "" {
			return nil, usage("%s", s.fault)
		}
		if len(words) > 0 {
			commands = append(commands, words)
		}
		more = s.separator()
	}
	return commands, nil
}

// splitTyped splits a line that is still being typed. Nothing is wrong with it yet.
func splitTyped(text string) lineWords {
	s := scanner{text: text}
	for {
		line := lineWords{start: len(text)}
		for s.next() {
			if s.at == len(text) && !s.ended {
				line.last, line.start, line.quote = s.word, s.start, s.quote
				return line
			}
			line.words = append(line.words, s.word)
		}
		if s.fault != "" {
			line.last, line.start, line.quote = s.word, s.start, s.quote
			return line
		}
		if !s.separator() {
			return line
		}
	}
}

// scanner goes through a text word by word.
type scanner struct {
	text  string
	at    int
	word  string
	start int    // where the word begins
	quote byte   // the quote that is open where the text ended
	ended bool   // something follows the word
	fault string // why the text cannot be understood
}

// next finds the next word of the command.
func (s *scanner) next() bool {
	s.blanks()
	if s.fault != "" || s.at == len(s.text) || s.ends() {
		return false
	}
	var word strings.Builder
	s.start, s.quote, s.ended = s.at, 0, false
	for ; s.at < len(s.text); s.at++ {
		c := s.text[s.at]
		switch {
		case s.quote != 0 && c == s.quote:
			s.quote = 0
		case s.quote == '\'':
			word.WriteByte(c)
		case s.quote == 0 && (c == '\'' || c == '"'):
			s.quote = c
		case c == '\\' && s.at+1 == len(s.text):
			s.fault = `dangling \`
		case c == '\\':
			s.at++
			if s.text[s.at] != '\n' {
				word.WriteByte(s.text[s.at])
			}
		case s.quote == 0 && strings.IndexByte(" \t\r\n;", c) >= 0:
			s.word, s.ended = word.String(), true
			return true
		default:
			word.WriteByte(c)
		}
	}
	s.word = word.String()
	if s.quote != 0 {
		s.fault = "missing " + string(s.quote)
	}
	return s.fault == ""
}

// blanks passes over what is between words.
func (s *scanner) blanks() {
	for s.at < len(s.text) {
		rest := s.text[s.at:]
		switch {
		case strings.IndexByte(" \t\r", rest[0]) >= 0:
			s.at++
		case strings.HasPrefix(rest, "\\\n"):
			s.at += 2
		case rest[0] == '#':
			if end := strings.IndexByte(rest, '\n'); end >= 0 {
				s.at += end
			} else {
				s.at = len(s.text)
			}
		default:
			return
		}
	}
}

func (s *scanner) ends() bool { return strings.IndexByte(";\n", s.text[s.at]) >= 0 }

// separator passes over the end of a command, and tells whether there was one.
func (s *scanner) separator() bool {
	if s.at == len(s.text) || !s.ends() {
		return false
	}
	s.at++
	return true
}

// quoted writes a word so that [splitLine] reads it again, going on in the quote that is open, if one is. The quote is
// left open.
func quoted(word string, quote byte) string {
	var b strings.Builder
	if quote != 0 {
		b.WriteByte(quote)
	}
	for i := range len(word) {
		c := word[i]
		switch {
		case quote == '\'' && c == '\'':
			b.WriteString(`'\'`) // and the quote itself opens it again
		case quote == '"' && (c == '"' || c == '\\'),
			quote == 0 && strings.IndexByte(" \t;'\"\\", c) >= 0,
			quote == 0 && c == '#' && i == 0:
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}
