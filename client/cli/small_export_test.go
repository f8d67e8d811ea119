package cli

import (
	"strings"
	"time"
)

// The small parts that have tests of their own.

func SizeKiB(text string) (uint64, bool) { return sizeKiB(text) }

func Moment(text string, now time.Time) (time.Time, error) { return moment(text, now) }

func Nearest(word string, known []string) []string { return nearest(word, known) }

func SignalNumber(word string) (int, bool) { return signalNumber(word) }

func NewElement(doc, key, uri string) (string, error) { return newElement(doc, key, uri) }

// BareElement is the element of a namespace as metadata prints it.
func BareElement(inner, uri string) (string, bool, error) {
	e, found, err := findElement(inner, uri)
	return e.bare(), found, err
}

// Unsure is the error of a change.
func Unsure(err error) error { return unsure(err) }

// Words are the lines of an error.
func Words(err error) string { return strings.Join(lines(err, inXML), "\n") }

// HintOf is what is told of a command of another program.
func HintOf(word string) string { return hintOf(word) }

// ElsewhereWords are the commands of other programs that something is told of, ElsewhereTexts what.
func ElsewhereWords() []string {
	var words []string
	for _, e := range append(virshOnly(), otherwise()...) {
		words = append(words, strings.Fields(e.words)...)
	}
	return words
}

// ElsewhereTexts are what is told of them.
func ElsewhereTexts() []string {
	var texts []string
	for _, e := range append(virshOnly(), otherwise()...) {
		texts = append(texts, e.says)
	}
	return texts
}

// Saying is a line of a console without how it looked.
func Saying(line string) string { return saying([]byte(line)) }
