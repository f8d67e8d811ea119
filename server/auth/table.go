package auth

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Table gives the right that a method needs, by the method's full name: "/davit.v1.DomainService/GetDomain".
type Table map[string]davitv1.Access

// common are the methods that are not davit's own: every server has them, and they tell nothing about domains.
var common = Table{
	"/grpc.health.v1.Health/Check":                                   davitv1.Access_ACCESS_READ,
	"/grpc.health.v1.Health/List":                                    davitv1.Access_ACCESS_READ,
	"/grpc.health.v1.Health/Watch":                                   davitv1.Access_ACCESS_READ,
	"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      davitv1.Access_ACCESS_READ,
	"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": davitv1.Access_ACCESS_READ,
}

// NewTable compiles the annotations of every service of package davit.v1 that is linked into the program. Methods that
// have none are an error that names them all.
func NewTable() (Table, error) {
	var files []protoreflect.FileDescriptor
	protoregistry.GlobalFiles.RangeFilesByPackage(davitv1.File_davit_v1_access_proto.Package(),
		func(f protoreflect.FileDescriptor) bool {
			files = append(files, f)
			return true
		})
	return TableOf(files...)
}

// TableOf compiles the annotations of the services of some files.
func TableOf(files ...protoreflect.FileDescriptor) (Table, error) {
	t := maps.Clone(common)
	var errs []error
	for _, f := range files {
		for i := range f.Services().Len() {
			errs = append(errs, t.add(f.Services().Get(i)))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return t, nil
}

func (t Table) add(service protoreflect.ServiceDescriptor) error {
	var errs []error
	for i := range service.Methods().Len() {
		m := service.Methods().Get(i)
		name := fmt.Sprintf("/%s/%s", service.FullName(), m.Name())
		access, _ := proto.GetExtension(m.Options(), davitv1.E_Access).(davitv1.Access)
		if access < davitv1.Access_ACCESS_READ || access > davitv1.Access_ACCESS_ADMIN {
			errs = append(errs, fmt.Errorf("method %s does not say what access it needs", name))
			continue
		}
		t[name] = access
	}
	return errors.Join(errs...)
}

// Covers tells whether every method that a server offers is in the table; the error names those that are not.
func (t Table) Covers(services map[string]grpc.ServiceInfo) error {
	var errs []error
	for _, service := range slices.Sorted(maps.Keys(services)) {
		for _, m := range services[service].Methods {
			name := fmt.Sprintf("/%s/%s", service, m.Name)
			if _, ok := t[name]; !ok {
				errs = append(errs, fmt.Errorf("method %s is offered and has no access rule", name))
			}
		}
	}
	return errors.Join(errs...)
}
