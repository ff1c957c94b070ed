//go:build !fault

package storage

// full is a setting under which SQLite takes the disk for full, where a test says so. In this build nobody does.
func full() string { return "" }
