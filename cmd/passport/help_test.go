package main

import (
	"debug/buildinfo"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Every command that does something has a line, an example that begins with its own name, and --json.
func TestEveryCommandHelps(t *testing.T) {
	seen := 0
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
		if cmd.Short == "" {
			t.Errorf("%s says nothing of itself", cmd.CommandPath())
		}
		if cmd.HasSubCommands() {
			return
		}
		seen++
		if !strings.HasPrefix(cmd.Example, "  "+cmd.CommandPath()) {
			t.Errorf("%s: the example is %q", cmd.CommandPath(), cmd.Example)
		}
		if cmd.Name() != "serve" && cmd.Flags().Lookup("json") == nil && cmd.InheritedFlags().Lookup("json") == nil {
			t.Errorf("%s has no --json", cmd.CommandPath())
		}
	}
	walk(rootCommand())
	if seen < 20 {
		t.Errorf("only %d commands were looked at", seen)
	}
}

// Below these versions the libraries have holes that reach us.
func TestFloors(t *testing.T) {
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	number := func(version string) int {
		var major, minor, patch int
		if _, err := fmt.Sscanf(version, "v%d.%d.%d", &major, &minor, &patch); err != nil {
			t.Fatalf("%s: %v", version, err)
		}
		return major<<40 | minor<<20 | patch
	}
	floors := map[string]string{"github.com/go-jose/go-jose/v3": "v3.0.5", "github.com/jackc/pgx/v5": "v5.9.2"}
	for _, dep := range info.Deps {
		if floor := floors[dep.Path]; floor != "" && number(dep.Version) < number(floor) {
			t.Errorf("%s is %s, below %s", dep.Path, dep.Version, floor)
		}
		delete(floors, dep.Path)
	}
	if len(floors) > 0 {
		t.Errorf("not built in: %v", floors)
	}
	for _, s := range info.Settings {
		if s.Key == "CGO_ENABLED" && s.Value != "0" {
			t.Error("the program needs cgo")
		}
	}
}
