// Package client speaks to the monitors and to the keeper.
//
// davitd makes the program that they run from once ([SealedProgram]), has one keeper ([StartKeeper]), and for each start
// of a domain asks it for a monitor ([Keeper.Spawn]), which listens in the domain's state folder ([Dial]):
//
//	program, sealed, err := client.SealedProgram("/usr/libexec/davit/davit-monitor")
//	keeper, err := client.StartKeeper(ctx, client.KeeperOptions{Folder: run, Program: program})
//	spawned, err := keeper.Spawn(ctx, client.Spawn{UUID: uuid, Generation: generation, Folder: folder, Log: log, Program: program})
//	monitor, err := client.Dial(ctx, folder)
//	started, err := monitor.Start(ctx, plan, client.Cgroups{Cgroup2: group}, client.Logs{})
//	watch, err := monitor.Watch(ctx, 0)
//
// or, without waiting for the monitor,
//
//	spawning, err := keeper.Begin(ctx, client.Spawn{...})
//	started, watch, err := spawning.Start(ctx, plan, client.Cgroups{Cgroup2: group}, client.Logs{})
//
// and then
//
//	for {
//		event, err := watch.Next(ctx) // store it
//		err = watch.Acknowledge(event.GetSequence())
//	}
//
// Nothing of it is bound to the process that did it: after a restart, StartKeeper finds the keeper and Dial the monitor.
// When a monitor was killed, Dial fails with ECONNREFUSED, and [Keeper.WaitOrphan] tells how its init ended.
//
// Errors that the other side answered are *[Error], which errors.Is compares with the kernel's error numbers; an error of
// another type means that the connection failed, and nothing is known of what was asked. Folders and files that are
// passed stay the caller's; files that are returned are the caller's.
package client
