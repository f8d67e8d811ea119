// Package audit records who changed what, and who was refused.
//
// A [Recorder] stands around every call, outside of all else that a server has for calls: a method that needs more than
// the right to read leaves a record, whatever came of it, and so does every call that was denied. There is no list of
// methods: the access table decides, so none can be forgotten. A call of many messages leaves one record when its first
// message came and one when it ended.
//
// The record is [davitv1.AuditRecord]. It names what was asked for and never repeats a secret: of definitions, long texts
// and all bytes it has size and SHA-256, of an environment the names, of a command its name and the number of its arguments.
//
// # The log
//
// [Log] keeps records as lines of JSON:
//
//	<dir>/audit.log        calls that were let in are added here
//	<dir>/audit.log.1      what was there before, up to .N: the higher the older
//	<dir>/refused.log      calls that were denied or that a limit refused, and refused.log.1 like the others
//	<dir>/sequence         how far the numbers are used, for when the records do not tell
//
// Files are 0600 in a folder that is 0700. A record is handed to the kernel before its call is answered, so that it outlives
// a daemon that is killed, and is on the disk a second later, [SyncDelay]: a host that loses its power loses that second.
// A line that a crash left half is passed over. A disk that is full, or slow, stops nothing: what could not be written is counted
// and logged, and since the records are numbered, and no number is used twice, the log itself shows the hole. Only a disk that does
// not even take what is in its place already, until the daemon has ended, makes it forget how many were lost at last.
//
// Whoever may be refused may be refused as often as he likes, and must not push others' records out of the log by that.
// Refused calls are in files of their own, with their own bound: however many there are, the records of changes stay. Of the
// refused calls of one caller, and of those of all, so many a second are recorded; the others are counted in his next record,
// or in the next of all where there are more callers than are told apart. Of calls that a limit refuses (limits of the
// configuration), of which a caller makes as many as he can, the first is recorded, and then one a minute, with their number.
//
// # The kernel's audit
//
// [Kernel] hands the records on to audit(7), where it listens and davitd may: those about domains as libvirt does
// (AUDIT_VIRT_CONTROL), the others as AUDIT_TRUSTED_APP. Values that a caller chose are written in hexadecimal unless they
// are plain, so that no value becomes a field.
package audit
