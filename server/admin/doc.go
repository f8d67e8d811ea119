// Package admin steers the daemon itself: what it logs, who is connected, and how it comes to rest before an upgrade.
//
// Three things stand between the services and their callers, on every socket:
//
//   - [Clients] numbers the connections and knows the calls that run on each. The number is in the connection's address,
//     from which a call finds its connection again.
//   - [Gate] counts the calls that change something, and refuses them while the daemon is drained.
//   - [Service] is AdminService over both. It is served on a socket of its own, which only root may use.
//
// # What a drain refuses
//
// A call changes something if its method needs more than the right to read, but for those of [asks]: they need the right
// because of what they show or cost. Consoles and commands are among them, and are neither refused nor awaited: they last
// as long as somebody sits before them, belong to the domain's monitor and not to the daemon, and go on when the next
// daemon is there; a drain that shut an admin out of a guest, or waited for his shell, would be no help to him.
package admin
