package lxctools

// Bounds of a configuration, for tests.
const (
	MaxBytes    = maxBytes
	MaxDepth    = maxDepth
	MaxFiles    = maxFiles
	MaxSettings = maxSettings
)
