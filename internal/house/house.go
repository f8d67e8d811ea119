// Package house holds the rules of this repository as tests: which room may import which, that every package says what it
// is, that no file grows without end. It has no code of its own; house_test.go is the list.
package house
