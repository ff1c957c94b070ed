// Package config reads the server's configuration: defaults, then a YAML file, then the environment
// (PASSPORT_…), then flags; the later wins. It owns the names of the keys, their defaults, what makes a value
// bad, and their reference (deploy/configuration.md).
//
// Only cmd/passport reads it: every other room is given plain values. It refuses to know what the values
// are used for, and imports no room of ours.
package config
