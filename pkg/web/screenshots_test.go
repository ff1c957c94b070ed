//go:build pictures

package web_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/passport-network/passport/pkg/mail"
	"github.com/passport-network/passport/templates"
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
		c.mails()
	}, func(string) bool { return true })
}

// mails shows each kind of mail, as programs that know HTML do, in the language of the pages.
func (c *camera) mails() {
	data := map[string]string{"browser": "Firefox", "system": "Linux", "network": "203.0.113.0/24", "time": "2026-01-02 15:04 UTC"}
	for _, purpose := range []string{"confirm", "cancel", "recover", "alarm", "address", "backup", "reopen", "data"} {
		data[purpose] = strings.Repeat("token", 8)
	}
	files, err := fs.Glob(templates.Mail, "mail/*.en.txt")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".en.txt")
		err := c.w.mailer.Send(context.Background(), mail.Message{To: "ada@example.com", Name: "Ada Lovelace", Language: c.name[:2], Template: name, Data: data})
		if err == nil {
			_, err = c.w.queue.RunDue(context.Background())
		}
		page := filepath.Join(c.t.TempDir(), "mail.html")
		if err == nil {
			err = os.WriteFile(page, []byte(c.w.inbox.List()[0].HTML), 0o600)
		}
		if err != nil {
			c.t.Fatal(err)
		}
		at(c, chromedp.Steps(chromedp.Navigate("file://"+page), chromedp.WaitReady(chromedp.CSS("table"))))
		c.shoot("mail-" + name)
	}
}
