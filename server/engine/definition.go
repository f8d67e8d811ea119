package engine

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// definition is a definition at rest: its wire form, a fraction of the size of the message, and what lists show of it.
type definition struct {
	wire   []byte
	etag   string
	title  string
	memory uint64
	vcpus  uint32
	secret bool // it may hold something that is not shown to everybody
}

// rest puts a definition to rest.
func rest(def *davitv1.Domain) (*definition, error) {
	wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(def)
	if err != nil {
		return nil, fmt.Errorf("encode definition of domain %q: %w", def.GetName(), err)
	}
	return &definition{
		wire: wire, etag: domain.Etag(def), title: def.GetTitle(),
		memory: def.GetMemoryKib(), vcpus: max(1, def.GetVcpu().GetCount()),
		secret: domain.HoldsSecrets(def),
	}, nil
}

// open gives a copy of the message.
func (d *definition) open() (*davitv1.Domain, error) {
	def := &davitv1.Domain{}
	if err := proto.Unmarshal(d.wire, def); err != nil {
		return nil, fmt.Errorf("decode definition: %w", err)
	}
	return def, nil
}

// live is the definition of a run: numbered, its devices named as libvirt names them. Names of host ends that an earlier run had are not
// this one's.
func live(def *davitv1.Domain, id uint32) *davitv1.Domain {
	def = proto.CloneOf(domain.WithoutChosen(def))
	def.Id = id
	domain.NameDevices(def)
	return def
}
