// Package domain is the meaning of a domain: how a definition is read and written, what it may say, what state a domain
// can be in and what an error tells. It touches neither the host nor the network and keeps no state, so client, daemon
// and drivers share it on every operating system.
//
// The model is the generated message [davitv1.Domain]. One codec, driven by the message's descriptors and the options
// of xml.proto, reads and writes it as libvirt's domain XML ([ParseXML], [FormatXML]), as JSON and as YAML. A field that
// is added to the schema with its annotation is in all three notations at once; nothing here names it.
//
// What a document goes through on its way in is [Read]: parse, complete it as libvirt does ([Normalize]), fill in what
// only a host knows ([ApplyHostDefaults]), refuse what cannot be ([Validate]) and tell what is kept but not acted on
// ([NotHonoured]). Faults are told all at once, each with its place in the document and in the model, and with the word that
// may have been meant ([Nearest]). Elements that only other drivers of libvirt act on are kept as XML.
//
// The life of a domain is a pure machine: [Next] takes a condition and an action and gives the next condition and the
// events that tell it, or libvirt's words for why not.
//
// [Error] is the error of all of davit, the same value in the daemon and, through [ToStatus] and [FromStatus], in its
// clients.
package domain
