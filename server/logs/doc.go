// Package logs reads the logs of domains, keeps them findable, and throws the old ones away.
//
// A domain's log is a folder of files that its monitor writes:
//
//	<dir>/d/<UUID>/console.log      what comes is added here
//	<dir>/d/<UUID>/console.log.1    what was there before, up to .N: the higher the older
//	<dir>/d/<UUID>/name             the name that the domain had last; written here
//	<dir>/d/<UUID>/gone             there since the domain is not; written here
//
// Each line is "TIME ORIGIN F|P TEXT", the notation of CRI: TIME as RFC 3339 has it, with nanoseconds and in UTC; ORIGIN the
// alias of a console, "init" or "davit"; P a line that goes on. What is not such a line, as a monitor that was killed or
// a full disk leave it, is passed over.
//
// Reading holds the files open, so that a rotation meanwhile takes nothing away from a reader that has begun, and a
// fixed piece of memory, however long a line is. A reader that follows looks at the file every [pollInterval]. inotify
// would tell it a little earlier, and would take one of the 128 instances that a user has by default, which all of root's
// programs share: sixty callers of "logs -f" could keep others from starting.
//
// [Logs.Run] listens to the journal, so that a start of a domain does not wait for it.
package logs
