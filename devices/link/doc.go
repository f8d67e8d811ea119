// Package link makes the network interfaces of containers: the end that the guest has, in the guest's network namespace,
// and what stands for it on the host. It speaks netlink and runs no program.
//
// A [Host] is the network namespace in which host ends live. [Host.Attach] makes one interface: all of it, or nothing.
// The guest's end is made in the guest's namespace at once, under its last name, with its addresses and routes, so a guest
// never sees half of one. The namespace is known by a descriptor, and an interface, once it is made, by its number, which
// the guest cannot change. When the guest's namespace ends, the kernel takes both ends of a pair with it: nothing has to be deleted for a
// domain that stops, which would cost a grace period of the kernel. What the kernel does not take, [Host.Forget] and
// [Host.Sweep] do.
//
// Traffic is limited on the host, where the guest cannot reach it ([Bandwidth]): a token bucket holds back what goes
// to the guest on the host end, and what comes from it on an intermediate functional block device. Both queue; neither
// drops what would have fitted, as a policer does.
//
// Directions are the guest's, as libvirt has them: inbound is what the guest receives.
package link
