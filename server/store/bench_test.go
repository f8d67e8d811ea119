package store_test

import (
	"testing"

	"github.com/davitd/davit/server/store"
)

// BenchmarkPut is what it costs to have a definition on disk.
func BenchmarkPut(b *testing.B) {
	s := newPlace(b).open(b)
	def := definition(b, 1, 1000)
	for b.Loop() {
		if err := s.Put(def); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPutStatus is what a change of state costs.
func BenchmarkPutStatus(b *testing.B) {
	s := newPlace(b).open(b)
	st := status(b, 1)
	for b.Loop() {
		if err := s.PutStatus(st); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoad is how long 1000 definitions take to load.
func BenchmarkLoad(b *testing.B) {
	p := newPlace(b)
	s := p.open(b)
	for n := range 1000 {
		if err := s.Put(definition(b, n, 1000)); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if defs, _ := load(b, s); len(defs) != 1000 {
			b.Fatalf("%d definitions", len(defs))
		}
	}
}

// BenchmarkPutRequest is what an id costs a request, twice: nothing waits for a disk.
func BenchmarkPutRequest(b *testing.B) {
	s := newPlace(b).open(b)
	r := store.Request{Caller: "0", Method: "davit.v1.StartDomainRequest", ID: "8d1d3f6e-0a55-4a5c-9d5a-6a2f3b7f3c11", Digest: make([]byte, 32), Answer: make([]byte, 300)}
	for b.Loop() {
		if err := s.PutRequest(r); err != nil {
			b.Fatal(err)
		}
	}
}
