package main

import (
	"runtime"
	gauges "runtime/metrics"
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

// The floor moves the collector's goal; who sets Go's own variables is obeyed.
func TestSeldomCollect(t *testing.T) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Setenv(name, "") // which the test's own run has read already
	}
	before := heapGoal()
	end := seldomCollect()
	if with := heapGoal(); with < before+heapFloor {
		t.Errorf("the collector's goal went from %d to %d bytes, with a floor of %d", before, with, heapFloor)
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
