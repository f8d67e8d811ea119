// Package oci reads the config.json of OCI runtime bundles as definitions of domains, and writes definitions as such, so that
// containers of runc, crun, Docker and Podman can move here, and back.
//
//	def, warnings, err := oci.Read("/srv/web/config.json", text, oci.Options{})
//	text, warnings, err := oci.Write(def, oci.Options{})
//
// Both ways promise that nothing is dropped in silence, and keep it in the same way: the code that carries a field over says
// so, and what nobody has spoken of is found by walking the whole document, or the whole definition, and named in a warning.
// So a field of a later version of OCI, or of the schema, is told of before any code knows it. [Fields] lists what is known.
//
// What a domain always has of its own is neither asked for nor told of: the mounts of /proc, /sys and /dev, all namespaces,
// the usual devices, masked paths. A definition that both can say comes back as it was.
package oci
