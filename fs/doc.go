// Package fs makes the filesystems that a container is put together from.
//
// Every mount is made detached: it is a descriptor and shows in no mount table until somebody attaches it
// ([Attach]), so a start that fails leaves nothing to be unmounted. Nothing in here resolves a path of a container
// by name: a container's root is a descriptor ([OpenDir]), what lies in it is found by [OpenIn], which never leaves
// it, and a file of it is read by [ReadFile], which bounds what it reads and waits for nothing.
//
// A descriptor that a function returns belongs to the caller, is closed on exec and is nobody else's.
package fs
