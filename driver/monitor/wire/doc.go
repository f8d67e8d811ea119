// Package wire is the stream that davitd, the monitors and the keeper speak over: messages of package monitorv1, and
// descriptors beside them.
//
// A frame is a 4-byte big-endian length, up to [MaxFrame], and that many bytes of one message. Descriptors travel by
// SCM_RIGHTS with the first byte of the frame that names them: a message with a field "descriptors" carries exactly as
// many as it names, every other message carries none. A frame that breaks a rule ends the connection, and whatever
// descriptors came with it are closed.
//
// A connection begins with [Conn.Greet] on one side and [Conn.Answer] on the other. Then the caller sends a request and
// waits for its response, again and again. Three requests turn the connection into a stream for good: Watch is answered
// by a MonitorResponse, after which MonitorEvent frames come one way and Ack frames go the other; OpenConsole and Exec
// are answered by StreamOutput frames, the first of which is "opened" or "error", and take StreamInput frames.
//
// The package uses raw sockets under the runtime's poller rather than package net, which would double the size of the
// monitor. Sockets are named through the descriptor of their folder, so that the length of its path never matters, and
// none is abstract.
package wire
