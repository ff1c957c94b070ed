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

// onceMore is what happens to a row that is there already: with PASSPORT_FAULT_TWICE it counts as new.
func onceMore(clause, twice string) string {
	if os.Getenv("PASSPORT_FAULT_TWICE") != "" {
		return twice
	}
	return clause
}

// once is the condition under which a one-time thing is spent; with PASSPORT_FAULT_TWICE there is none.
func once(condition string) string {
	if os.Getenv("PASSPORT_FAULT_TWICE") != "" {
		return "true"
	}
	return condition
}
