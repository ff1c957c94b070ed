package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// tests are all that there are: room.TestName → the names of the subtests that stand in it.
func tests(t *testing.T) (subtests map[string][]string) {
	t.Helper()
	subtests = map[string][]string{}
	room := regexp.MustCompile(`(?m)^package (\w+?)(?:_test)?$`)
	// A subtest belongs to the test above it.
	either := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(|(?:t\.Run\(|w\.run\(t, )(?:fmt\.Sprintf\()?"([^"]+)"`)
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path) //nolint:gosec // G304: our own tree
		if err != nil {
			return err
		}
		name, in := room.FindStringSubmatch(string(source))[1], ""
		for _, m := range either.FindAllStringSubmatch(string(source), -1) {
			if m[1] != "" {
				in = name + "." + m[1]
				subtests[in] = append(subtests[in], "")
			} else {
				subtests[in] = append(subtests[in], m[2])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return subtests
}

// rows are the cells of a document's tables, without heads and rules.
func rows(t *testing.T, path string) (all [][]string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head := true
	for line := range strings.Lines(string(text)) {
		switch {
		case !strings.HasPrefix(line, "|"):
			head = true
		case head:
			head = false
		case !strings.HasPrefix(line, "|---"):
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			all = append(all, cells)
		}
	}
	return all
}

var named = regexp.MustCompile("`([a-z]+\\.(?:Test|Fuzz)\\w+)(?:/[^`]*)?`")

// TestSpec: SPEC.md has every requirement once, with tests that exist and have a subtest of its number.
func TestSpec(t *testing.T) {
	subtests := tests(t)
	lines := map[string]int{}
	for _, cells := range rows(t, "../../oidc/SPEC.md") {
		holding := named.FindAllStringSubmatch(cells[len(cells)-1], -1)
		if len(holding) == 0 {
			t.Errorf("no test: %v", cells)
		}
		number := cells[0]
		isNumber := regexp.MustCompile(`^Q\d{3}$`).MatchString(number)
		if isNumber {
			lines[number]++
		}
		for _, m := range holding {
			if subtests[m[1]] == nil {
				t.Errorf("%s: there is no %s", number, m[1])
			}
			bears := func(name string) bool { return slices.Contains(strings.Fields(name), number) }
			if isNumber && !slices.ContainsFunc(subtests[m[1]], bears) {
				t.Errorf("%s: no subtest of %s bears it", number, m[1])
			}
		}
	}
	for n := 1; n <= 90; n++ {
		want := 1
		if n == 89 { // FAPI 2.0
			want = 0
		}
		if q := fmt.Sprintf("Q%03d", n); lines[q] != want {
			t.Errorf("%s stands in SPEC.md %d times, not %d", q, lines[q], want)
		}
	}
}

// spelledOut has each case of a range (A10–A13).
func spelledOut(text string) string {
	return regexp.MustCompile(`\b([A-Z])(\d+)–[A-Z](\d+)`).ReplaceAllStringFunc(text, func(all string) (ids string) {
		var kind rune
		var from, to int
		if n, err := fmt.Sscanf(strings.ReplaceAll(all, "–"+all[:1], " "), "%c%d %d", &kind, &from, &to); n != 3 {
			panic(err)
		}
		for n := from; n <= to; n++ {
			ids += fmt.Sprintf("%c%d ", kind, n)
		}
		return ids
	})
}

// TestCases: CASES.md has every case of the protocol's once and every limit, and names tests that exist.
func TestCases(t *testing.T) {
	subtests := tests(t)
	lines := map[string]int{}
	for _, cells := range rows(t, "CASES.md") {
		holding := named.FindAllStringSubmatch(cells[len(cells)-1], -1)
		if len(holding) == 0 {
			t.Errorf("no test: %v", cells)
		}
		ids := regexp.MustCompile(`\b[ABRGSD]\d{1,2}\b`).FindAllString(spelledOut(cells[0]), -1)
		for _, id := range ids {
			lines[id]++
		}
		for _, m := range holding {
			if subtests[m[1]] == nil {
				t.Errorf("%s: there is no %s", cells[0], m[1])
			}
		}
		for _, id := range ids {
			bears := false
			for _, m := range holding {
				bears = bears || regexp.MustCompile(`\.Test`+id+`(\D|$)`).MatchString(m[1]) || slices.ContainsFunc(subtests[m[1]], func(name string) bool { return slices.Contains(strings.Fields(name), id) })
			}
			if !bears {
				t.Errorf("%s: no subtest of the tests named bears it", id)
			}
		}
	}
	for kind, most := range map[string]int{"A": 28, "B": 14, "R": 15, "G": 19, "S": 4, "D": 13} {
		for n := 1; n <= most; n++ {
			// What bounds a server stands in several rooms, and people come in by several doors.
			if id := kind + strconv.Itoa(n); lines[id] != 1 && (!strings.Contains("ABD", kind) || lines[id] == 0) {
				t.Errorf("%s stands in CASES.md %d times, not once", id, lines[id])
			}
		}
	}
}
