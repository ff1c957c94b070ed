package main

import (
	"os"
	"runtime"
	gauges "runtime/metrics"
	"strconv"
	"strings"
	"testing"
)

// heapGoal is at how many bytes the collector will run again, when what other tests have left is gone: pools and finalizers keep it for
// a run or two.
func heapGoal() uint64 {
	for range 4 {
		runtime.GC()
	}
	s := []gauges.Sample{{Name: "/gc/heap/goal:bytes"}}
	gauges.Read(s)
	return s[0].Value.Uint64()
}

// ownMemory is how much memory of the machine this process has, in bytes; 0 where that is not told.
func ownMemory(t *testing.T) uint64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, err := strconv.ParseUint(strings.Fields(string(b))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * uint64(os.Getpagesize())
}

// The floor moves the collector's goal, and takes no memory; who sets Go's own variables is obeyed.
func TestSeldomCollect(t *testing.T) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Setenv(name, "") // which the test's own run has read already
	}
	before, had := heapGoal(), ownMemory(t)
	end := seldomCollect()
	if with := heapGoal(); with < before+heapFloor*3/2 {
		t.Errorf("the collector's goal went from %d to %d bytes, with a floor of %d", before, with, heapFloor)
	}
	if has := ownMemory(t); has > had+heapFloor/2 {
		t.Errorf("resident went from %d to %d bytes: is the floor touched?", had, has)
	}
	end()
	if after := heapGoal(); after > before+heapFloor {
		t.Errorf("the goal is %d bytes after the end, and was %d", after, before)
	}
	for name, value := range map[string]string{"GOGC": "100", "GOMEMLIMIT": "1GiB"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			defer seldomCollect()()
			if with := heapGoal(); with > before+heapFloor {
				t.Errorf("the goal went from %d to %d bytes", before, with)
			}
		})
	}
}
