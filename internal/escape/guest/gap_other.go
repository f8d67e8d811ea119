//go:build !amd64

package main

const has32 = false

func int80(uintptr) int { return -1 }
