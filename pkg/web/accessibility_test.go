//go:build e2e

package web_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestAccessibility: axe-core finds no violation on any page of the tour, by the rules of WCAG 2.0 to 2.2, A and AA, and its own
// best practices. Here it looks at each language once, both widths and both schemes among them; PASSPORT_AXE=all (`make
// axe`) looks at everything that there are pictures of. One of the tours also goes round each page by keyboard.
//
// Broken on purpose, and found: a label that names no field; the colour of a hint lightened; a page without its <h1>; a link
// out of the order of Tab; a field that holds it.
func TestAccessibility(t *testing.T) {
	axe := axeCore(t)
	tours(t, func(c *camera) {
		c.look = func(page string) {
			c.axe(page, axe)
			if c.name == "en-390-dark" {
				c.tabs(page)
			}
		}
		c.tour()
	}, func(name string) bool {
		return os.Getenv("PASSPORT_AXE") == "all" || slices.Contains([]string{"en-390-dark", "es-1280-light"}, name)
	})
}

// axeCore installs the checker, and gives its source.
func axeCore(t *testing.T) string {
	t.Helper()
	dir := filepath.Join("..", "..", "deploy", "test", "axe")
	cmd := exec.Command("npm", "ci", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	return string(must(os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))))
}

// axeRun gives a line for each element that breaks a rule, and for each whose contrast could not be told. Before the fine lines of
// the paper axe can tell none: they are taken away, and hold no text. Other sites' frames are none of our pages.
const axeRun = `document.styleSheets[0].insertRule('body::before { display: none !important }');
axe.run(document, {iframes: false, resultTypes: ['violations', 'incomplete'],
	runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22a', 'wcag22aa', 'best-practice']}).then(r => {
	if (!r.passes.length) throw new Error('no rule was looked at');
	return r.violations.concat(r.incomplete.filter(v => v.id === 'color-contrast')).flatMap(v => v.nodes.map(n => v.id + ' ' + n.target.join(' ') + ': ' + n.failureSummary)).join('\n');
})`

func (c *camera) axe(page, source string) {
	c.t.Helper()
	at(c, chromedp.Evaluate[chromedp.Void](source+";0"))
	if found := at(c, chromedp.Evaluate[string](axeRun, chromedp.EvalAwaitPromise)); found != "" {
		c.t.Errorf("%s:\n%s", page, strings.ReplaceAll(found, "\n", "\n\t"))
	}
}
