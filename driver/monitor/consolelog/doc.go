// Package consolelog writes what the consoles of a container say to files, which outlive it.
//
// # Files
//
// A domain has a folder. In it is console.log, to which lines are added, and, older the higher the number, console.log.1,
// console.log.2 and so on. Before a line would make console.log larger than a file may be, each file takes the next
// number, the last one goes, and a new console.log begins; so a file is never larger than that, but for a line that a
// full disk had cut in two. All are of mode 0600. A rotation that is cut off leaves a number out; so does one whose oldest
// files were removed. A container that starts again, also after its daemon or monitor has, adds to what is there.
//
// # Lines
//
// A line is
//
//	TIME SP ORIGIN SP MARK SP TEXT LF
//
// as container runtimes write it for Kubernetes (CRI):
//
//   - TIME is RFC 3339 in UTC with exactly nine digits of a second, 2026-01-02T15:04:05.123456789Z: when the line was
//     complete. It is the wall clock's, which may go back.
//   - ORIGIN is the alias of a console (console0), or "init" for what the monitor knows of process 1 ([Log.Note]:
//     "started pid 123", "start failed: …", "exited with code 3", "killed by signal 9", "rebooted", "powered off", "ended, nobody saw
//     how", "restarts in 1s", "restart failed: …"), or "davit" for what it has to say of the log: "lost 123 bytes", in whose place
//     they would have been.
//   - MARK is F, and TEXT ends a line of the console; or P, and the line goes on in the next line of the same ORIGIN. A
//     part is what is longer than 16 KiB, in pieces of that size, or what nothing followed for half a second, a prompt as a
//     rule. The end of a run of init ends a line that was begun (F), with the empty text if its parts are told.
//   - TEXT is bytes as the console wrote them, of any encoding or none, but for the LF that ends the line and one CR before it.
//     It may be empty, and it may hold what moves the cursor of a terminal: who shows it escapes it.
//
// So the lines of one ORIGIN, without their heads, are what the console wrote, with CR LF as LF. Lines of several origins
// are in the order in which they were completed. A reader passes over what is not such a line: a monitor that was killed, or a
// disk that was full, may have left half of one.
//
// # Files of consoles
//
// A console can have a file of its own beside that, anywhere on the host and of any name, libvirt's <log>: what it says as it
// is, with "[davit: lost 123 bytes]" where that was lost. It is of mode 0600 when it is made, never behind a link, bounded and
// rotated as console.log is.
//
// # Promises
//
// Writing never waits for a disk: lines go to a buffer of 1 MiB, which one goroutine empties. When it is full, lines are dropped
// and counted. What cannot be written is tried again, less and less often; a folder or file that is removed, a full disk or a rotation
// that fails costs lines, and no more. Nothing is synced: a power cut may take the last seconds.
package consolelog
