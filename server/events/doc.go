// Package events is the journal of what happened to domains, and the broker that tells it to who watches.
//
// The engine calls [Journal.Append] once the state that an event tells is stored; the event gets the next number of
// the journal's epoch, is written to a file, and only then can a [Watcher] see it. What that gives to who watches:
//
//   - One order. Events of an epoch are numbered from 1 without holes, also over restarts of the daemon.
//   - No duplicates, no gaps. A watcher that begins after a position gets every later event once, first from the
//     files and then as they come, or is refused with [davitv1.ErrorReason_ERROR_REASON_EVENT_HISTORY_TRUNCATED].
//   - No silence. A watcher that falls too far behind is ended with
//     [davitv1.ErrorReason_ERROR_REASON_WATCHER_TOO_SLOW], which carries the position to resume from.
//   - Bounded memory. A watcher is a position and a filter; it has no queue. What is not in the small window of recent
//     events it reads from the files. Append never waits for a watcher.
//   - Bounded files. The oldest segment is dropped when there are too many events or bytes.
//
// # What survives what
//
// An event is in the kernel's hands (write) before anybody sees it, so no death of the daemon, at any instant, loses
// or changes it. A record that was being written at that instant was never seen: it is cut off when the journal is
// opened, and its number is used again.
//
// Only the host can lose what the kernel holds. Append does not wait for the disk: it takes 8 µs, and would take 0.3 ms
// on a fast disk (BenchmarkAppend, BenchmarkAppendSynced) and many times that on a slow one, on the path of every start.
// A goroutine writes it out within [SyncInterval], as one group. In exchange a journal that was open when the host died begins a new epoch when it is opened: no number is ever told
// twice for different events, and who watches learns that it has to look at the domains anew, which after the death of
// the host all have another state anyway. A journal that was closed keeps its epoch over a reboot.
//
// A new epoch also begins when a file is damaged (every record and header has a checksum). The files of the epoch
// before it stay, renamed to *.old, until the next such event.
//
// # Exactly once
//
// Supervisors number their events and repeat those that were not acknowledged. Append stores that number, the
// [Origin], in the same record as the event, and [Journal.Origin] gives the last one of a domain, also after a
// restart: the engine skips what it already told.
//
// # Files
//
// A folder of segments named after the number of their first event: a header (magic, epoch, first number, checksum),
// the origins known at that point, then one frame an event. See segment.go and record.go.
package events
