// Package foreign proves that davit's API needs nothing of davit's: its test is a client that knows no generated code and
// no schema. It asks the daemon for the schema by gRPC reflection, as stock tools do (grpcurl, evans), builds messages from
// it, and defines, starts, watches and destroys a domain with them. docs/examples/foreign.sh does the same with grpcurl.
package foreign
