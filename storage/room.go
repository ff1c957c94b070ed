//go:build !fault

package storage

// full is a setting under which SQLite takes the disk for full, where a test says so. In this build nobody does.
func full() string { return "" }

// once is the rule by which a one-time thing is spent, which a test may take away. In this build nobody does.
func once(rule, _ string) string { return rule }
