// Package convert is what the converters of other programs' containers have in common: how they tell what they did.
//
// A converter stands in a folder of its own below: [github.com/davitd/davit/convert/lxctools] reads the configuration of
// the LXC tools, [github.com/davitd/davit/convert/oci] reads and writes OCI runtime bundles. All of them promise the same:
//
//   - Nothing is dropped in silence. Whatever a document says is in the result, or a [Warning] names it, its place, and why.
//   - Faults are told all at once, at most [MaxFaults] of them, each with its place, the refused value and what is allowed ([Error]).
//   - What comes out is a normalised definition that [github.com/davitd/davit/domain.Validate] accepts.
//   - Documents are not trusted. However they are made, a converter neither panics nor takes more than 64 MiB for 1 MiB of
//     them, in a time that grows with their length and no faster.
//   - A converter does not touch the host: files that a document names come through what the caller gives.
package convert
