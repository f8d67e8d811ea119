// Package rpc is the daemon's gRPC door: the services of davit.v1 over the engine. Each call is decoded, handed to the
// engine and encoded again; nothing is decided here, so that another door finds everything in the engine.
//
// What belongs to the wire and not to the engine is here: a request that changes something is refused if it holds
// fields that this version does not know, recursively, because protobuf would drop them in silence; errors become
// statuses with their details, in one interceptor; events get heartbeats; consoles and commands are pumped in chunks
// of at most [ChunkSize], each only when the one before it was taken by the other side.
//
// [Register] adds the services to a server, [Interceptors] are the options that the server needs for them.
package rpc
