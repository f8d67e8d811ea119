// Package server is the daemon as a whole: it reads the configuration, opens the parts, puts them together, listens on
// the sockets and ends it all in order.
//
//	config, err := server.ReadConfig(server.DefaultConfigPath, false, server.Default())
//	s, err := server.New(server.Options{Config: config, Driver: driver, Logger: logger})
//	err = s.Serve(ctx) // until ctx ends
//
// [New] takes the lock of the state folder, opens the journal, makes the driver and listens; whoever connects from then
// on waits. [Server.Serve] finds the domains again, starts those with autostart, and answers.
//
// Domains run on when the daemon ends, whether it is told to or killed: nothing here has to be done for them.
//
// # Calls
//
// Each socket has a server and limits of its own, so that who is at one keeps nobody out of the other. Those of the
// read-only socket, which every user of the host may open, bound also the answers that a client does not read.
//
// A call passes, in this order: the limits of the connection; the guard (package auth), which denies what the peer has
// not the right for before the request is read; the recovery of panics; the service. Errors cross the wire as
// domain.Error. One that is davit's own fault, or a panic, is logged under an id, and the caller is told the id.
package server
