//go:build !fault

package storage

// full is a setting under which SQLite takes the disk for full, where a test says so. In this build nobody does.
func full() string { return "" }

// onceMore is what happens to a row that is there already, which a test may change. In this build nobody does.
func onceMore(clause, _ string) string { return clause }

// once is the condition under which a one-time thing is spent, which a test may take away. In this build nobody does.
func once(condition string) string { return condition }
