package domain

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
)

// badRequest is the violations as google.rpc.BadRequest: field is the place in the message; the description begins with
// the place in the document, "12:17: /domain/name: ", as far as there is one. A description that would be taken for one
// with a place has an empty place before it: ": ". What does not fit into a header is counted.
func badRequest(list []Violation) *errdetails.BadRequest {
	b := &errdetails.BadRequest{}
	size := 0
	for i, v := range list {
		f := &errdetails.BadRequest_FieldViolation{
			Field:       strings.ToValidUTF8(v.Field, "\ufffd"),
			Description: strings.ToValidUTF8(v.describe(), "\ufffd"),
		}
		size += len(f.Field) + len(f.Description) + 8
		if size > maxStatus && i > 0 {
			b.FieldViolations = append(b.FieldViolations, &errdetails.BadRequest_FieldViolation{
				Description: fmt.Sprintf("and %d more", len(list)-i),
			})
			break
		}
		b.FieldViolations = append(b.FieldViolations, f)
	}
	return b
}

func violations(b *errdetails.BadRequest) []Violation {
	list := make([]Violation, 0, len(b.GetFieldViolations()))
	for _, f := range b.GetFieldViolations() {
		v := parseDescription(f.GetDescription())
		v.Field = f.GetField()
		list = append(list, v)
	}
	return list
}

// describe is the violation as text that parseDescription reads.
func (v Violation) describe() string {
	place := ""
	if v.Line > 0 {
		place = fmt.Sprintf("%d:%d: ", v.Line, v.Column)
	}
	if v.XMLPath != "" {
		place += v.XMLPath + ": "
	}
	text := place + v.Message
	back := parseDescription(text)
	if back.Message != v.Message || back.Line != v.Line || back.XMLPath != v.XMLPath {
		return place + ": " + v.Message
	}
	return text
}

// parseDescription is the way back from describe.
func parseDescription(text string) Violation {
	v := Violation{Message: text}
	if place, rest, ok := strings.Cut(text, ": "); ok {
		if line, column, ok := parsePosition(place); ok {
			v.Line, v.Column, v.Message = line, column, rest
		}
	}
	if place, rest, ok := strings.Cut(v.Message, ": "); ok && strings.HasPrefix(place, "/") {
		v.XMLPath, v.Message = place, rest
	}
	v.Message = strings.TrimPrefix(v.Message, ": ")
	return v
}

// parsePosition reads "line:column".
func parsePosition(s string) (line, column int, ok bool) {
	l, c, found := strings.Cut(s, ":")
	if !found || !isDigits(l) || !isDigits(c) {
		return 0, 0, false
	}
	line, lineErr := strconv.Atoi(l)
	column, columnErr := strconv.Atoi(c)
	return line, column, lineErr == nil && columnErr == nil && line > 0
}
