package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

// heapFloor is how much garbage there may be, in bytes, before the collector runs, however little is live: with the fifteen MiB that a
// server has it would else run a dozen times a second under load, and take a tenth of what the server uses of the processor.
const heapFloor = 32 << 20

// seldomCollect makes the collector wait for heapFloor of garbage until end is called: it takes the floor for live, and lets garbage
// grow to as much as is live. Nobody touches the floor, and so it takes no memory of the machine. A percentage (GOGC) would do the same
// for a server with little to hold, and let one with much take a multiple of it. Who sets GOGC or GOMEMLIMIT has decided otherwise.
func seldomCollect() (end func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	floor := make([]byte, heapFloor)
	debug.FreeOSMemory() // what starting has left: with the floor it would stay for a long time
	return func() { runtime.KeepAlive(floor) }
}
