//go:build pictures

package web_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestPictures takes a screenshot of every page at two widths, light and dark, in each language, into the folder
// PASSPORT_PICTURES. People look at them; nothing compares them.
func TestPictures(t *testing.T) {
	folder := os.Getenv("PASSPORT_PICTURES")
	if folder == "" {
		t.Fatal("PASSPORT_PICTURES names no folder")
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	tours(t, func(c *camera) {
		c.look = func(page string) {
			c.t.Helper()
			file := filepath.Join(folder, page+"-"+c.name+".png")
			if err := os.WriteFile(file, at(c, chromedp.FullScreenshot(100)), 0o644); err != nil {
				c.t.Fatal(err)
			}
		}
		c.tour()
	}, func(string) bool { return true })
}
