//go:build e2e

package main

import (
	"encoding/json"
	"fmt"
	"image"
	_ "image/jpeg" // what a picture is kept as
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/storage/storagetest"
)

// The walks of who has an account: what is theirs, and who asks for it.

// addresses: another one is added, proven and made the main one, which the old one is told of, and undoes.
func (w *walker) addresses() {
	const second, renewed = "second@elsewhere.test", "the second passphrase"
	w.join()
	b := w.visitor()
	b.signIn(w, "address", phrase, "#address-submit")
	b.fill("#new-email", second)
	b.follow("#address-submit", "#address-waiting")
	b.open(w.mailed(second, "newaddress", "/account/address/confirm"))
	b.click("#new-address-primary") // not yet
	b.follow("#new-address-submit", "#address-2")
	b.says("#address-1", w.email)
	b.says("#address-2", second)
	w.letter(w.email, "added")
	b.open(w.issuer + "/account/address")
	b.follow("#address-primary-2", ".done")
	b.says("#address-1", second)
	alarm := w.mailed(w.email, "moved", "/alarm")
	other := w.visitor()
	other.open(w.issuer + "/login?next=profile")
	other.enter(second, phrase, "#profile-submit")
	other.says("#profile-email", second)

	owner := w.visitor()
	owner.open(alarm)
	owner.follow("#alarm-submit", "#go-on")
	for _, out := range []*browser{b, other} {
		out.open(w.issuer + "/account/address")
		out.wait("#login-submit")
	}
	owner.renew(w.mailed(w.email, "locked", "/recover/password"), renewed)
	other.enter(second, renewed, "#problems")
	owner.signIn(w, "address", renewed, "#address-submit")
	owner.says("#address-1", w.email)
	owner.lacks("#address-2")
}

// profile: what a site gets of somebody, with a picture, without it again, and nothing any more.
func (w *walker) profile() {
	w.join()
	b := w.visitor()
	b.signIn(w, "profile", phrase, "#profile-submit")
	b.fill("#profile-given-name", "Alicia")
	b.fill("#profile-nickname", "Ali")
	b.set("#profile-zoneinfo", "Europe/Madrid")
	b.follow("#profile-submit", ".done")
	file := filepath.Join(w.t.TempDir(), "alicia.png")
	f := must(os.Create(file))
	check(png.Encode(f, image.NewGray(image.Rect(0, 0, 300, 200))))
	check(f.Close())
	see(b, chromedp.SetUploadFiles(chromedp.CSS("#profile-picture"), []string{file}))
	b.follow("#picture-submit", ".portrait img")

	b.open(w.fabrikam + "/login")
	b.follow("#consent-allow", "#claims")
	for _, want := range []string{"Alicia", "Ali", "Europe/Madrid"} {
		b.says("#claims", want)
	}
	picture := regexp.MustCompile(regexp.QuoteMeta(w.issuer) + `/pictures/\S+`).FindString(b.text("#claims"))
	if picture == "" {
		w.t.Fatalf("the site is told of no picture: %s", b.text("#claims"))
	}
	res := must(http.Get(picture))
	drawn, kind, err := image.Decode(res.Body)
	res.Body.Close()
	if err != nil || kind != "jpeg" || drawn.Bounds().Dx() != drawn.Bounds().Dy() {
		w.t.Errorf("the picture: %d %s %v", res.StatusCode, kind, err)
	}

	b.open(w.issuer + "/account/profile")
	b.follow("#picture-remove", ".portrait .roundel")
	res = must(http.Get(picture))
	res.Body.Close()
	if res.StatusCode != http.StatusNotFound {
		w.t.Errorf("the picture that was removed: %d", res.StatusCode)
	}
	b.open(w.fabrikam)
	b.follow("#leave", "#sign-in")
	b.follow("#sign-in", "#claims")
	b.says("#claims", "Alicia")
	if got := b.text("#claims"); strings.Contains(got, "picture") {
		w.t.Errorf("the site is told of the picture: %s", got)
	}

	b.open(w.issuer + "/account/sites")
	b.says(".rows", "Fabrikam")
	b.follow(".rows button", ".done")
	b.lacks(".rows button")
	b.open(w.fabrikam + "/login")
	b.wait("#consent-allow")
	b.open(w.issuer + "/account/activity")
	for _, event := range []string{"consent.revoked", "account.changed"} {
		b.says(".rows", strings.ReplaceAll(w.word("activity."+event), "{site}", "Fabrikam"))
	}
}

// data: the file with all that is known, for who has both the mail and the password.
func (w *walker) data() {
	w.join()
	b := w.visitor()
	b.signIn(w, "data", phrase, "#data-submit")
	b.follow("#data-submit", ".done")
	link := w.mailed(w.email, "data", "/account/data/file")

	b = w.visitor()
	b.open(link)
	b.wait("#login-submit")
	b.enter(w.email, phrase, "#file-submit")
	name := b.download("#file-submit")
	var file struct {
		Account  struct{ Email string }
		Browsers []any `json:"signed_in"`
	}
	content := must(os.ReadFile(name))
	check(json.Unmarshal(content, &file))
	if file.Account.Email != w.email || len(file.Browsers) != 1 {
		w.t.Errorf("the file says:\n%s", content)
	}
}

// download clicks, and gives the name of the file that comes.
func (b *browser) download(sel string) string {
	b.t.Helper()
	dir, done, events := b.t.TempDir(), make(chan string, 1), true
	check(chromedp.Listen(b.ctx, func(ev any) {
		if e, ok := ev.(*cdpbrowser.EventDownloadProgress); ok && e.State == cdpbrowser.DownloadProgressStateCompleted {
			done <- e.GUID
		}
	}))
	must(chromedp.Call(b.ctx, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{
		Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllowAndName, BrowserContextID: chromedp.FromContext(b.ctx).BrowserContextID,
		DownloadPath: dir, EventsEnabled: &events}))
	b.click(sel)
	return filepath.Join(dir, soon(b.t, done))
}

// elsewhere: who signs out one browser, and then all others, reads which site has been told.
func (w *walker) elsewhere() {
	w.join()
	other, third := w.visitor(), w.visitor()
	third.signIn(w, "profile", phrase, "#profile-submit")
	other.open(w.fabrikam + "/login")
	other.enter(w.email, phrase, "#consent-allow")
	other.follow("#consent-allow", "#claims")

	b := w.visitor()
	b.signIn(w, "security", phrase, "#end-all")
	b.says(".rows li:nth-child(3)", w.word("security.end"))
	b.follow(".rows li:nth-child(3) button", "#go-on") // the oldest sign-in
	third.open(w.issuer + "/account/profile")
	third.wait("#login-submit")
	other.open(w.issuer + "/account/profile")
	other.wait("#profile-submit")
	b.open(w.issuer + "/account/security")
	b.follow("#end-all", "#told")
	b.says("#told", "Fabrikam")
	eventually(w.t, "the report says that the site is told", func() bool {
		if w.plain && b.exists("#look-again") {
			b.follow("#look-again", "#told")
		}
		return strings.Contains(b.text("#told"), w.word("loggedout.told"))
	})
	other.open(w.fabrikam)
	other.wait("#sign-in")
	other.open(w.issuer + "/account/security")
	other.wait("#login-submit")
	b.follow("#go-on", "#change-password")
	b.lacks("#end-all")
}

// lost: who can read none of the account's mail asks the operator. The owner is told, and stops it; an account that nobody
// speaks for is given to who asks, after a week.
func (w *walker) lost() {
	const reach, renewed = "ivan@elsewhere.test", "the second passphrase"
	claims := filepath.Join(w.t.TempDir(), "claims.json")
	check(os.WriteFile(claims, []byte(`{"birthdate": "1985-03-31", "phone_number": "+442079460123"}`), 0o600))
	w.join("--claims", claims)
	owner := w.visitor()
	owner.open(w.fabrikam + "/login")
	owner.enter(w.email, phrase, "#consent-allow")
	owner.follow("#consent-allow", "#claims")

	b := w.visitor()
	ask := func() {
		w.t.Helper()
		b.open(w.issuer + "/login")
		b.follow("#cannot-sign-in", "#help-request")
		b.follow("#help-request", "#request-submit")
		b.fill("#request-account", w.email)
		b.fill("#request-reach", reach)
		b.follow("#request-submit", "#go-on")
		b.open(w.mailed(reach, "reach", "/recover/request/details"))
		b.set("#request-birthdate", "1985-03-31")
		b.fill("#request-phone", "+44 20 7946 0999")
		b.fill("#request-sites", "Fabrikam, Contoso")
		b.fill("#request-note", "I have moved.")
		b.follow("#details-submit", "#go-on")
		w.letter(reach, "received")
	}
	// newest is the id of the last request, as the operator finds it.
	newest := func() string {
		w.t.Helper()
		var list []struct{ ID, State string }
		w.decode(&list, "recovery", "list")
		last := list[len(list)-1]
		if last.State != account.RequestOpen {
			w.t.Errorf("the operator finds %+v", list)
		}
		return last.ID
	}

	ask()
	id := newest()
	type request struct {
		State, Email, Birthdate, Phone, Answer, Note string
		Sites                                        int
		Matching                                     int `json:"sites_matching"`
	}
	var seen request
	w.decode(&seen, "recovery", "show", id)
	if want := (request{account.RequestOpen, reach, account.Match, account.NoMatch, "", "I have moved.", 2, 1}); seen != want {
		w.t.Errorf("the operator sees %+v, not %+v", seen, want)
	}
	w.refuses("is not 7 days old", "recovery", "approve", id)
	w.restart() // the notices go out each minute, and when a server starts
	stop := w.mailed(w.email, "requested", "/recover/stop")
	owner.open(w.issuer + "/account/security")
	owner.wait("#requested")
	owner.open(stop)
	owner.follow("#stop-submit", "#go-on")
	w.decode(&seen, "recovery", "show", id)
	if seen.State != account.RequestStopped {
		w.t.Errorf("the operator still sees %+v", seen)
	}
	owner.open(w.issuer + "/account/security")
	owner.wait("#change-password")
	owner.lacks("#requested")

	ask()
	id = newest()
	// A week goes by, with its notices.
	must(storagetest.DB(w.t, w.database()).Exec(fmt.Sprintf("UPDATE recovery_request SET opened_at = opened_at - %d, notices = %d WHERE id = '%s'",
		account.RequestWait.Microseconds(), account.RequestNotices, id)))
	w.command("recovery", "approve", id)
	b.open(w.mailed(reach, "approved", "/recover/regain"))
	b.seen.add("password", renewed)
	b.fill("#new-password", renewed)
	b.follow("#regain-submit", "#go-on")
	w.letter(w.email, "moved")
	owner.open(w.issuer + "/account/profile")
	owner.enter(w.email, phrase, "#problems") // neither the session nor the password holds
	b.open(w.issuer + "/login?next=profile")
	b.enter(reach, renewed, "#profile-submit")
	b.says("#profile-email", reach)
}
