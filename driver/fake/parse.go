package fake

import (
	"slices"
	"strings"
)

// command is one step of a script.
type command struct {
	words     []string
	toStderr  bool
	onSuccess bool // only if the one before ended well
}

// parse splits a script into its steps.
func parse(script string) []command {
	var p parser
	runes := []rune(script)
	for i := 0; i < len(runes); i++ {
		r := runes[i]
		and := r == '&' && i+1 < len(runes) && runes[i+1] == '&'
		if p.quoted(r) {
			continue
		}
		switch {
		case r == ' ' || r == '\t':
			p.endWord()
		case r == '&' && strings.HasSuffix(p.word.String(), ">"):
			p.word.WriteRune(r)
		case and:
			p.endStep()
			p.step.onSuccess = true
			i++
		case r == ';' || r == '\n' || r == '&':
			p.endStep()
		default:
			p.word.WriteRune(r)
			p.open = true
		}
	}
	p.endStep()
	return p.steps
}

type parser struct {
	steps []command
	step  command
	word  strings.Builder
	open  bool // a word has begun
	quote rune // the quote it is in
}

// quoted takes a rune that begins, ends or is within quotes. Dollars in single quotes are doubled, for expand.
func (p *parser) quoted(r rune) bool {
	switch {
	case p.quote == 0 && (r == '\'' || r == '"'):
		p.quote, p.open = r, true
	case p.quote == 0:
		return false
	case r == p.quote:
		p.quote = 0
	case p.quote == '\'' && r == '$':
		p.word.WriteString("$$")
	default:
		p.word.WriteRune(r)
	}
	return true
}

func (p *parser) endWord() {
	if p.open {
		p.step.words = append(p.step.words, p.word.String())
	}
	p.word.Reset()
	p.open = false
}

func (p *parser) endStep() {
	p.endWord()
	if i := slices.IndexFunc(p.step.words, func(w string) bool { return w == ">&2" || w == "1>&2" }); i >= 0 {
		p.step.words, p.step.toStderr = slices.Delete(p.step.words, i, i+1), true
	}
	if len(p.step.words) > 0 {
		p.steps = append(p.steps, p.step)
	}
	p.step = command{}
}
