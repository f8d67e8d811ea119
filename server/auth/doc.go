// Package auth says who calls and whether they may.
//
// Who: davitd listens on unix sockets, and the kernel tells who is at the other end. [Listen] asks it once, when a
// connection is accepted, and never again: no process id is looked up later, so nobody can become another in between.
// What a peer may do depends on the socket: the read-only one grants [davitv1.Access_ACCESS_READ] to everybody, the
// admin one [davitv1.Access_ACCESS_ADMIN] to root, to the daemon's own user and to the members of the socket's group,
// and nothing to others, whatever the mode of the socket's file.
//
// May they: every method bears the right that it needs, in the .proto beside it. [NewTable] compiles these annotations,
// and fails if a method has none; a [Guard] compares them with what the peer was granted. A method that is not in the
// table is denied. The guard answers as soon as the name of the method is read, before the request is: what an
// unauthorised caller sends is not even received, far less decoded.
package auth
