package host

// Of is the machine of an architecture and page size below a folder.
func Of(root, arch string, pageKib uint64) *Host { return &Host{root, arch, pageKib} }
