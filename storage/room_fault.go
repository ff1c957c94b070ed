//go:build fault

package storage

import "os"

// full is a setting under which SQLite takes the disk for full at PASSPORT_FAULT_PAGES pages.
func full() string {
	if pages := os.Getenv("PASSPORT_FAULT_PAGES"); pages != "" {
		return "&_pragma=max_page_count(" + pages + ")"
	}
	return ""
}

// once is the rule by which a one-time thing is spent; with PASSPORT_FAULT_TWICE there is none.
func once(rule, without string) string {
	if os.Getenv("PASSPORT_FAULT_TWICE") != "" {
		return without
	}
	return rule
}
