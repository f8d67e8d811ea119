package domain

import (
	"slices"
	"strconv"
	"strings"
)

// mostLonger is how many words are told that all begin with what was written.
const mostLonger = 4

// Nearest are the known words that may have been meant by one that is not known: those that it begins, if they are few,
// or the first with the fewest letters to change, at most a third of them. The case of letters does not count.
func Nearest(word string, known []string) []string {
	word = strings.ToLower(word)
	var longer []string
	best, least := "", max(len(word)/3, 1)+1
	for _, k := range known {
		lower := strings.ToLower(k)
		if len(word) > 1 && strings.HasPrefix(lower, word) && !slices.Contains(longer, k) {
			longer = append(longer, k)
		}
		if apart := len(word) - len(lower); apart >= least || -apart >= least {
			continue // a letter to change each
		}
		if d := distance(word, lower); d < least {
			best, least = k, d
		}
	}
	switch {
	case len(longer) > 0 && len(longer) <= mostLonger:
		return longer
	case best != "":
		return []string{best}
	}
	return nil
}

// meant is what is added to a message about a word that is not known: what may have been meant, if anything.
func meant(word string, known []string) string {
	near := Nearest(word, known)
	if len(near) == 0 {
		return ""
	}
	quoted := make([]string, len(near))
	for i, n := range near {
		quoted[i] = strconv.Quote(n)
	}
	return "; did you mean " + strings.Join(quoted, " or ") + "?"
}

// distance is how many letters to insert, delete, replace or swap with the next turn a into b.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
