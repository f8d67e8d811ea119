// Package engine is the daemon's memory and will: it knows every domain and the state it is in, decides what may
// happen to it, tells the driver to do it, and stores and announces what came of it. Every front door of the daemon
// (gRPC today) is a thin layer over it, and nobody else writes state.
//
// # Domains, summaries, actors
//
// A domain is an entry of the table. What it is at this moment is one immutable [snapshot], replaced as a whole, so
// that questions (get, list, wait, statistics) are answered from it without waiting for anybody. An inactive domain is
// no more than that: its definition in compact form, a summary and an etag; no goroutine, no descriptor, no timer.
//
// All changes of a domain are made by its actor, a goroutine that exists while the domain is active or something is to
// be done to it. It performs one job at a time and follows the driver's events in between, so the order of what
// happened to a domain is the order in which its actor saw it. A job that has begun is finished, whether or not the
// caller still waits for it.
//
// # One commit
//
// What may follow what is decided by [domain.Next], the pure machine; the engine carries its verdict out in one place,
// in this order:
//
//  1. the new state is written to the store, together with the events that it owes to the journal and the driver's
//     sequence that it includes;
//  2. it is shown to those who ask;
//  3. the events are journalled, each with a mark that counts the events of this run;
//  4. the driver's event is acknowledged;
//  5. the caller is answered.
//
// A daemon that is killed at any point finds, when it starts again, the state with what it owes, asks the journal how
// many of the events it has, and appends the rest; the driver sends again what was not acknowledged, and what the state
// already includes is passed over. So every event is journalled exactly once.
package engine
