// Package monitorpb has the messages of the monitors' protocol as protobuf's own generator writes them. No program links it: tests hold
// package monitorv1, which is written without protobuf, against it.
package monitorpb
