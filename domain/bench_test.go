package domain_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// BenchmarkParseXML reads a document of 1.4 KB, and the kitchen sink.
func BenchmarkParseXML(b *testing.B) {
	for name, def := range benchDocuments(b) {
		text, err := domain.FormatXML(def, domain.FormatOptions{})
		if err != nil {
			b.Fatal(err)
		}
		doc := []byte(text)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := domain.ParseXML(doc, domain.ParseOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFormatXML writes the same.
func BenchmarkFormatXML(b *testing.B) {
	for name, def := range benchDocuments(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := domain.FormatXML(def, domain.FormatOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRead is all that define does before anything is stored.
func BenchmarkRead(b *testing.B) {
	for name, def := range benchDocuments(b) {
		text, err := domain.FormatXML(def, domain.FormatOptions{})
		if err != nil {
			b.Fatal(err)
		}
		source := &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Xml{Xml: text}}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := domain.Read(source, domain.ReadOptions{Host: goldenHost()}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkWire is protobuf's own way there and back, to compare.
func BenchmarkWire(b *testing.B) {
	for name, def := range benchDocuments(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				wire, err := proto.Marshal(def)
				if err != nil {
					b.Fatal(err)
				}
				if err := proto.Unmarshal(wire, &davitv1.Domain{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkNext asks the lifecycle.
func BenchmarkNext(b *testing.B) {
	running := domain.Condition{State: davitv1.DomainState_DOMAIN_STATE_RUNNING, Reason: davitv1.DomainReason_DOMAIN_REASON_RUNNING_BOOTED}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := domain.Next(running, domain.Suspend); err != nil {
			b.Fatal(err)
		}
	}
}

func benchDocuments(b *testing.B) map[string]*davitv1.Domain {
	b.Helper()
	docs := goldenDocuments(b)
	picked := map[string]*davitv1.Domain{}
	for name, file := range map[string]string{"usual": "scrambled.txtar", "everything": "everything.txtar"} {
		def := docs[file]
		domain.Normalize(def)
		domain.ApplyHostDefaults(def, goldenHost())
		picked[name] = def
	}
	return picked
}
