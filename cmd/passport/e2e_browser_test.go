//go:build e2e

package main

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
)

// browser is a headless Chromium with a profile of its own that trusts the test's authority.
type browser struct {
	t    *testing.T
	ctx  context.Context
	seen *ledger
}

// chromium finds the browser that `make test` installs.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("no Chromium: run `make test`, which installs it on Debian")
	return ""
}

func (w *world) browser(language string) *browser {
	w.t.Helper()
	return w.browserWith(language, `{}`)
}

// browserWith has preferences of its own, as Chromium keeps them in a profile.
func (w *world) browserWith(language, preferences string) *browser {
	w.t.Helper()
	home := w.t.TempDir()
	profile := filepath.Join(home, "profile")
	check(os.MkdirAll(filepath.Join(profile, "Default"), 0o700))
	check(os.WriteFile(filepath.Join(profile, "Default", "Preferences"), []byte(preferences), 0o600))
	nss := filepath.Join(home, ".pki", "nssdb")
	check(os.MkdirAll(nss, 0o700))
	for _, args := range [][]string{
		{"-N", "--empty-password", "-d", "sql:" + nss},
		{"-A", "-n", "passport-test", "-t", "C,,", "-i", w.ca.file, "-d", "sql:" + nss},
	} {
		if out, err := exec.Command("certutil", args...).CombinedOutput(); err != nil {
			w.t.Fatalf("certutil: %v\n%s", err, out)
		}
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium(w.t)),
		chromedp.NoSandbox,
		chromedp.Env("HOME="+home),
		chromedp.UserDataDir(profile),
		chromedp.Flag("host-resolver-rules", "MAP *.test 127.0.0.1"+w.hosts),
		chromedp.Flag("accept-lang", language),
		chromedp.Flag("lang", language),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.WSURLReadTimeout(60*time.Second),
	)
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(alloc)
	w.t.Cleanup(func() {
		cancel()
		cancelAlloc()
	})
	return w.tab(ctx)
}

// tab notes the codes that pass through a tab.
func (w *world) tab(ctx context.Context) *browser {
	b := &browser{t: w.t, ctx: ctx, seen: w.seen}
	check(chromedp.Listen(ctx, func(ev any) {
		if e, ok := ev.(*network.EventRequestWillBeSent); ok {
			if u, err := url.Parse(e.Request.URL); err == nil {
				b.seen.add("code", u.Query().Get("code"))
			}
		}
	}))
	return b
}

// see runs one action within half a minute, or fails with the page that stood there.
func see[T any](b *browser, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		again, cancel := context.WithTimeout(b.ctx, 5*time.Second)
		defer cancel()
		where, _ := chromedp.Run(again, chromedp.Location())
		page, _ := chromedp.Run(again, chromedp.OuterHTML(chromedp.CSS("html")))
		b.t.Fatalf("%v\nat %s\n%s", err, where, page)
	}
	return v
}

func (b *browser) open(u string) {
	b.t.Helper()
	see(b, chromedp.Navigate(u))
}

func (b *browser) wait(sel string) {
	b.t.Helper()
	see(b, chromedp.WaitVisible(chromedp.CSS(sel)))
}

func (b *browser) fill(sel, text string) {
	b.t.Helper()
	el := chromedp.CSS(sel)
	// Not SendKeys: it reads the element's attributes while what Clear has changed of them is noted (chromedp 0.23).
	see(b, chromedp.Steps(chromedp.WaitVisible(el), chromedp.Clear(el), chromedp.Focus(el), chromedp.KeyEvent(text)))
}

func (b *browser) click(sel string) {
	b.t.Helper()
	el := chromedp.CSS(sel)
	see(b, chromedp.WaitVisible(el))
	b.fits()
	see(b, chromedp.Click(el))
}

// narrow makes the window as wide as the smallest telephone.
func (b *browser) narrow() {
	b.t.Helper()
	see(b, chromedp.EmulateViewport(320, 640))
}

// withoutScripts lets no page run its scripts.
func (b *browser) withoutScripts() {
	b.t.Helper()
	must(chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	if !see(b, chromedp.Evaluate[bool](`matchMedia("(scripting: none)").matches`)) {
		b.t.Fatal("scripts run")
	}
}

// fits demands that nothing of the page lies outside the window.
func (b *browser) fits() {
	b.t.Helper()
	if over := see(b, chromedp.Evaluate[int]("document.documentElement.scrollWidth - document.documentElement.clientWidth")); over > 0 {
		b.t.Errorf("%s is %d pixels too wide", b.location(), over)
	}
}

// text is what an element says, read in one step: a script of the page may put another one in its place.
func (b *browser) text(sel string) string {
	b.t.Helper()
	b.wait(sel)
	return see(b, chromedp.Evaluate[string]("document.querySelector("+strconv.Quote(sel)+").innerText"))
}

func (b *browser) location() string {
	b.t.Helper()
	return see(b, chromedp.Location())
}

// at demands that the page belongs to a site.
func (b *browser) at(base string) {
	b.t.Helper()
	if here := b.location(); !strings.HasPrefix(here, base) {
		b.t.Fatalf("at %s, not at %s", here, base)
	}
}

func (b *browser) attribute(sel, name string) string {
	b.t.Helper()
	return see(b, chromedp.Attributes(chromedp.CSS(sel)))[name]
}

// exists tells whether the page, as it stands, has the element.
func (b *browser) exists(sel string) bool {
	b.t.Helper()
	return see(b, chromedp.Evaluate[bool]("document.querySelector("+strconv.Quote(sel)+") !== null"))
}

// follow clicks and waits until the page that it led to, over however many redirects, shows an element.
func (b *browser) follow(sel, then string) {
	b.t.Helper()
	b.click(sel)
	b.wait(then)
}

// cookies writes every cookie of ours into the ledger: session secrets are secrets.
func (b *browser) cookies() {
	b.t.Helper()
	list, err := chromedp.CallBrowser(b.ctx, storage.GetCookies, storage.GetCookiesParams{})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range list.Cookies {
		if strings.Contains(c.Name, "sid") || strings.Contains(c.Name, "flow") {
			b.seen.add("cookie", c.Value)
		}
	}
}

// arrives waits until the address begins so, over however many redirects.
func (b *browser) arrives(prefix string) {
	b.t.Helper()
	eventually(b.t, "the browser is at "+prefix, func() bool { return strings.HasPrefix(b.location(), prefix) })
}
