package seccomp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// document reads JSON by a schema: what the schema does not know is an error with its place, and so is a key that is there twice,
// of which other readers take the last. Keys are told apart by case. Null is as good as a missing value.
type document struct {
	data    []byte
	decoder *json.Decoder
	path    []string
}

func newDocument(data []byte) *document {
	d := &document{data: data, decoder: json.NewDecoder(bytes.NewReader(data))}
	d.decoder.UseNumber()
	return d
}

// refuse is an error at the place that was just read.
func (d *document) refuse(format string, args ...any) error {
	before := d.data[:min(int(d.decoder.InputOffset()), len(d.data))]
	return &domain.Error{
		Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_DOCUMENT_MALFORMED, Op: "read seccomp profile",
		Violations: []domain.Violation{{
			Field: strings.Join(d.path, ""), Line: 1 + bytes.Count(before, []byte{'\n'}), Column: max(1, len(before)-1-bytes.LastIndexByte(before, '\n')),
			Message: fmt.Sprintf(format, args...),
		}},
	}
}

func (d *document) token() (json.Token, error) {
	token, err := d.decoder.Token()
	if errors.Is(err, io.EOF) {
		return nil, d.refuse("the document ends here")
	}
	if err != nil {
		return nil, d.refuse("%v", err)
	}
	return token, nil
}

// object reads each known key's value by its function.
func (d *document) object(keys map[string]func() error) error {
	if token, err := d.token(); err != nil || token == nil {
		return err
	} else if token != json.Delim('{') {
		return d.refuse("want an object, have %s", kindOf(token))
	}
	seen := make(map[string]bool)
	for d.decoder.More() {
		next, err := d.token()
		if err != nil {
			return err
		}
		key, _ := next.(string) // the decoder lets nothing else be a key
		read, ok := keys[key]
		switch {
		case !ok:
			return d.refuse("unknown key %.100q; the keys here are %s", key, strings.Join(sortedKeys(keys), ", "))
		case seen[key]:
			return d.refuse("key %q is there twice", key)
		}
		seen[key] = true
		dot := "."
		if len(d.path) == 0 {
			dot = ""
		}
		if err := d.within(dot+key, read); err != nil {
			return err
		}
	}
	_, err := d.token()
	return err
}

// array reads each item by a function.
func (d *document) array(item func() error) error {
	if token, err := d.token(); err != nil || token == nil {
		return err
	} else if token != json.Delim('[') {
		return d.refuse("want a list, have %s", kindOf(token))
	}
	for i := 0; d.decoder.More(); i++ {
		if err := d.within("["+strconv.Itoa(i)+"]", item); err != nil {
			return err
		}
	}
	_, err := d.token()
	return err
}

func (d *document) within(step string, read func() error) error {
	d.path = append(d.path, step)
	err := read()
	d.path = d.path[:len(d.path)-1]
	return err
}

func (d *document) text(into *string) func() error {
	return func() error {
		token, err := d.token()
		if err != nil || token == nil {
			return err
		}
		s, ok := token.(string)
		if !ok {
			return d.refuse("want a string, have %s", kindOf(token))
		}
		*into = s
		return nil
	}
}

func (d *document) texts(into *[]string) func() error {
	return func() error {
		return d.array(func() error {
			var s string
			err := d.text(&s)()
			*into = append(*into, s)
			return err
		})
	}
}

// number reads an integer up to most; into stays nil where there is none.
func (d *document) number(into **uint64, most uint64) func() error {
	return func() error {
		token, err := d.token()
		if err != nil || token == nil {
			return err
		}
		digits, ok := token.(json.Number)
		if !ok {
			return d.refuse("want a number, have %s", kindOf(token))
		}
		n, err := strconv.ParseUint(digits.String(), 10, 64)
		if err != nil || n > most {
			return d.refuse("number %.40s is not from 0 to %d", digits, most)
		}
		*into = &n
		return nil
	}
}

// end makes sure that nothing comes after the document.
func (d *document) end() error {
	if _, err := d.decoder.Token(); !errors.Is(err, io.EOF) {
		return d.refuse("there is more after the end of the document")
	}
	return nil
}

func kindOf(token json.Token) string {
	switch t := token.(type) {
	case json.Delim:
		return map[json.Delim]string{'{': "an object", '[': "a list"}[t]
	case string:
		return "a string"
	case json.Number:
		return "a number"
	default:
		return "a truth value"
	}
}

func sortedKeys(keys map[string]func() error) []string {
	all := make([]string, 0, len(keys))
	for key := range keys {
		all = append(all, key)
	}
	slices.Sort(all)
	return all
}
