//go:build e2e

package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"

	"github.com/passport-network/passport/storage/storagetest"
)

// The walks of who comes: to register, to sign in, to come back after all is lost; and of who leaves.

// comeAndGo: back in by a mail, kept signed in, another password, another address and its undoing by "this wasn't me", closed
// and opened again, and Back after signing out.
func (w *walker) comeAndGo() {
	const second, third, fourth, moved = "the second passphrase", "the third passphrase", "the fourth passphrase", "alice@elsewhere.test"
	w.join()
	b := w.visitor()
	b.open(w.issuer + "/login")
	b.follow("#recover-link", "#recover-submit")
	b.fill("#recover-email", w.email)
	b.follow("#recover-submit", "#go-on")
	b.renew(w.mailed(w.email, "recover", "/recover/password"), second)

	b.open(w.issuer + "/login?next=security")
	b.click("#keep")
	b.enter(w.email, second, "#change-password")
	list, err := chromedp.CallBrowser(b.ctx, storage.GetCookies, storage.GetCookiesParams{BrowserContextID: chromedp.FromContext(b.ctx).BrowserContextID})
	check(err)
	kept := false
	for _, c := range list.Cookies {
		kept = kept || strings.Contains(c.Name, "sid") && !c.Session
	}
	if !kept {
		w.t.Errorf("who is kept signed in has no cookie that outlives the browser: %+v", list.Cookies)
	}

	b.open(w.issuer + "/account/password")
	b.seen.add("password", third)
	b.fill("#password", second)
	b.fill("#new-password", third)
	b.follow("#password-submit", ".done")

	b.open(w.issuer + "/account/address")
	b.fill("#new-email", moved)
	b.follow("#address-submit", ".done")
	b.open(w.mailed(moved, "newaddress", "/account/address/confirm"))
	b.follow("#new-address-submit", ".done")
	alarm := w.mailed(w.email, "moved", "/alarm")
	b.open(w.issuer + "/account/profile")
	b.says("#profile-email", moved)
	b.open(alarm)
	b.follow("#alarm-submit", "#go-on")
	b.open(w.issuer + "/account/profile")
	b.wait("#login-submit")
	b.renew(w.mailed(w.email, "locked", "/recover/password"), fourth)
	b.signIn(w, "profile", fourth, "#profile-submit")
	b.says("#profile-email", w.email)

	b.open(w.issuer + "/account/close")
	b.fill("#close-email", w.email)
	b.follow("#close-submit", "#go-on")
	b.signIn(w, "profile", fourth, "#reopen-submit")
	b.follow("#reopen-submit", "#go-on")
	b.signIn(w, "profile", fourth, "#profile-submit")

	b.open(w.issuer + "/logout")
	b.follow("#logout-yes", "#go-on")
	for range 2 { // B11: over the question whether to sign out
		see(b, chromedp.NavigateBack())
	}
	b.wait("main")
	b.lacks("#profile-submit")
}

// lookUp: the page says the same to all, the mail says how it is, and leads on.
func (w *walker) lookUp() {
	w.join()
	b := w.visitor()
	ask := func(email string) string {
		b.open(w.issuer + "/login")
		b.follow("#lookup-link", "#lookup-submit")
		b.fill("#lookup-email", email)
		b.follow("#lookup-submit", "#go-on")
		return b.location() + "\n" + b.text("main")
	}
	if known, unknown := ask("Bob@example.test"), ask("nobody@example.test"); known != unknown {
		w.t.Errorf("the page knows who has an account:\n%s\n\n%s", known, unknown)
	}
	b.open(w.mailed("nobody@example.test", "nobody", "/register"))
	b.wait("#register-submit")
	b.open(w.mailed(w.email, "found", "/login"))
	b.enter(w.email, phrase, "a[href='/account/profile']")
}

// otherBrowser: the links of the mail, opened where nobody has registered. One ends it; the other wants the password, and
// signs nobody in.
func (w *walker) otherBrowser() {
	b, other := w.visitor(), w.visitor()
	b.open(w.issuer + "/register")
	b.register(w.email)
	first := w.letter(w.email, "confirm")
	other.open(w.leads(first, "/cancel"))
	other.follow("#cancel-submit", "#go-on")
	other.open(w.leads(first, "/confirm"))
	other.wait("#request-id")
	b.open(w.issuer + "/register")
	b.register(w.email)
	other.open(w.mailed(w.email, "confirm", "/confirm"))
	other.fill("#password", "another passphrase")
	other.follow("#confirm-submit", "#password-error")
	other.fill("#password", phrase)
	other.follow("#confirm-submit", "#go-on")
	other.open(w.issuer + "/account/profile")
	other.enter(w.email, phrase, "#profile-submit")
}

// mistyped: who waits for a mail that went astray corrects the address; the first mail's links are dead.
func (w *walker) mistyped() {
	b := w.visitor()
	b.open(w.fabrikam)
	b.follow("#sign-in", "#register-link")
	b.follow("#register-link", "#register-submit")
	b.register("karol@example.test")
	astray := w.mailed("karol@example.test", "confirm", "/confirm")
	b.follow("#waiting-other", "#register-submit")
	b.holds("#register-email", "karol@example.test")
	b.holds("#register-name", "Ada")
	b.register(w.email)
	other := w.visitor()
	other.open(astray)
	other.wait("#request-id")
	b.open(w.mailed(w.email, "confirm", "/confirm"))
	b.follow("#confirm-submit", "#consent-allow")
	b.follow("#consent-allow", "#claims")
	b.at(w.fabrikam)
	b.says("#claims", w.email)
	w.letter(w.email, "welcome")
}

// people: two accounts in a browser, each at the site by choice; out with one of them, out with all.
func (w *walker) people() {
	const victor = "victor@example.test"
	w.join()
	w.account(victor, phrase, "--name", "Victor", "--language", w.language)
	b := w.visitor()
	choose := func(then string) {
		b.open(w.fabrikam + "/login?prompt=select_account")
		b.wait(then)
	}
	choose("#login-submit")
	b.enter(w.email, phrase, "#consent-allow")
	b.follow("#consent-allow", "#claims")
	choose("#account-choose-1")
	b.says("main", "Fabrikam")
	b.follow("#account-other", "#login-submit")
	b.enter(victor, phrase, "#consent-allow")
	b.says(".as", victor)
	b.follow("#consent-allow", "#claims")
	b.says("#claims", victor)
	choose("#account-choose-2")
	b.follow(b.theOne("#account-choose-", w.email), "#claims")
	b.says("#claims", w.email)

	// Who comes to register is told who is here.
	b.open(w.issuer + "/register")
	b.wait("#already")
	b.says("#already", victor)
	b.says("#already", w.email)
	b.follow("#already-signout", "#chooser")
	b.follow(b.theOne("#logout-", victor), "#told")
	b.says("main", w.word("loggedout.others"))
	choose("#account-choose-1")
	b.says("#chooser", w.email)
	b.lacks("#account-choose-2")

	b.follow("#account-other", "#login-submit")
	b.enter(victor, phrase, "#claims")
	b.open(w.issuer + "/logout")
	b.says("#chooser", w.email)
	b.follow("#logout-yes", "#told")
	b.says("main", w.word("loggedout.body"))
	choose("#login-submit")
	b.open(w.issuer + "/account/profile")
	b.wait("#login-submit")
}

// theOne is the button, of those numbered so, that bears an address.
func (b *browser) theOne(numbered, email string) string {
	b.t.Helper()
	for n := 1; b.exists(numbered + strconv.Itoa(n)); n++ {
		if sel := numbered + strconv.Itoa(n); strings.Contains(b.text(sel), email) {
			return sel
		}
	}
	b.t.Fatalf("no %s… at %s bears %s", numbered, b.location(), email)
	return ""
}

// terms: when they change, nothing goes on before they are accepted anew, by who they are asked of.
func (w *walker) terms() {
	w.join()
	b := w.visitor()
	b.open(w.fabrikam + "/login")
	b.enter(w.email, phrase, "#consent-allow")
	b.follow("#consent-allow", "#claims")
	b.follow("#leave", "#sign-in")
	w.set("PASSPORT_TERMS_VERSION=July 2026")
	b.follow("#sign-in", "#accept-submit") // still signed in at Passport
	b.says("main", "July 2026")
	b.fill("#accept-email", "bob@example.test")
	b.follow("#accept-submit", "#accept-email-error")
	b.open(w.fabrikam)
	b.follow("#sign-in", "#accept-submit")
	b.fill("#accept-email", strings.ToUpper(w.email[:1])+w.email[1:])
	b.follow("#accept-submit", "#claims")
	b.at(w.fabrikam)
	b.follow("#leave", "#sign-in")
	b.follow("#sign-in", "#claims") // it is asked once
}

// invited: who has the link may register, once; with all that a form can ask for, a question and an address that help in a
// recovery.
func (w *walker) invited() {
	const rescue = "rescue@elsewhere.test"
	b, late := w.visitor(), w.visitor()
	b.open(w.issuer + "/register")
	b.wait("#go-on")
	b.lacks("#register-submit")
	w.command("invitation", "create", "--email", w.email, "--send", "--language", w.language)
	link := w.mailed(w.email, "invitation", "/register")
	for _, who := range []*browser{b, late} {
		who.open(link)
		who.wait("#register-submit")
		who.holds("#register-email", w.email)
		if strings.Contains(who.location(), "invitation=") {
			w.t.Errorf("the invitation stays in the address: %s", who.location())
		}
	}
	for _, who := range []*browser{b, late} {
		who.fill("#register-phone", "+44 20 7946 0123")
		who.set("#register-birthdate", "1985-03-31")
		who.fill("#register-recovery-address", rescue)
		who.fill("#register-recovery-question", "Which street did you grow up in?")
		who.fill("#register-recovery-answer", "Elm Lane")
	}
	b.register(w.email)
	b.open(w.mailed(w.email, "confirm", "/confirm"))
	b.follow("#confirm-submit", "#profile-submit")
	b.holds("#profile-phone-number", "+442079460123")
	b.holds("#profile-birthdate", "1985-03-31")
	var left []any
	if w.decode(&left, "invitation", "list"); len(left) > 0 {
		w.t.Errorf("still listed: %v", left)
	}
	late.fill("#register-password", phrase)
	late.fill("#register-name", "Mallory")
	late.follow("#register-submit", "#go-on")
	late.lacks("#terms-submit")
	late.open(link)
	late.wait("#request-id")

	b.open(w.mailed(rescue, "newbackup", "/account/recovery/confirm"))
	b.follow("#new-recovery-submit", "#recovery-address")
	b.says("#recovery-address", rescue)
	b.says("#recovery-set", "Which street")
	w.letter(w.email, "backup")

	// The password and the address are lost; the recovery address is not, nor is the answer.
	b = w.visitor()
	b.open(w.issuer + "/recover")
	b.fill("#recover-email", w.email)
	b.follow("#recover-submit", "#go-on")
	w.letter(w.email, "recover")
	b.open(w.mailed(rescue, "recover", "/recover/password"))
	b.says("#recovery-asked", "Which street did you grow up in?")
	b.seen.add("password", "the second passphrase")
	b.fill("#new-password", "the second passphrase")
	b.fill("#recovery-answer", "Oak Lane")
	b.follow("#new-password-submit", "#recovery-answer-error")
	b.fill("#new-password", "the second passphrase")
	b.fill("#recovery-answer", "elm lane.")
	b.follow("#new-password-submit", "#go-on")
	b.signIn(w, "profile", "the second passphrase", "#profile-submit")
}

// guessedAt: after a hundred wrong passwords not even the right one opens the account in a new browser, before its owner lets
// that one by mail; the same mail locks the account, for who was not it.
func (w *walker) guessedAt() {
	w.join()
	known := w.visitor()
	known.signIn(w, "profile", phrase, "#profile-submit")
	known.open(w.issuer + "/logout")
	known.follow("#logout-yes", "#go-on")
	// Days of tries go by; the last is walked.
	must(storagetest.DB(w.t, w.database()).Exec("UPDATE credential SET guesses = 99 WHERE account_id = (SELECT account_id FROM address WHERE canonical = '" + w.email + "')"))
	b := w.visitor()
	b.signIn(w, "profile", "not this one", "#problems")
	b.signIn(w, "profile", phrase, "#problems")
	letter := w.letter(w.email, "guessed")
	known.signIn(w, "security", "not this one", "#problems")
	b.open(w.leads(letter, "/allow"))
	b.says("main", w.email)
	b.follow("#allow-submit", "#login-submit")
	b.enter(w.email, phrase, "a[href='/account/profile']")
	b.open(w.issuer + "/account/activity")
	b.says(".rows", w.word("activity.login.allowed"))
	known.open(w.leads(letter, "/alarm"))
	known.follow("#alarm-submit", "#go-on")
	b.open(w.issuer + "/account/profile")
	b.wait("#login-submit")
	w.letter(w.email, "locked")
}

// unreached: who signs out is told of the site that does not hear of it.
func (w *walker) unreached() {
	w.join()
	contoso := w.site("Contoso")
	var sites []struct {
		ID   string `json:"client_id"`
		Name string `json:"client_name"`
	}
	w.decode(&sites, "client", "list")
	for _, site := range sites {
		if site.Name == "Contoso" {
			w.command("client", "set", site.ID, "--backchannel-logout-uri", "http://localhost:"+freePort()+"/gone")
		}
	}
	b := w.visitor()
	for _, site := range []string{contoso, w.fabrikam} {
		b.open(site + "/login")
		if site == contoso {
			b.enter(w.email, phrase, "#consent-allow")
		}
		b.follow("#consent-allow", "#claims")
	}
	b.open(w.issuer + "/logout")
	b.follow("#logout-yes", "#told")
	eventually(w.t, "the report says which site could not be reached, and which was", func() bool {
		if w.plain && b.exists("#look-again") {
			b.follow("#look-again", "#told")
		}
		told := b.text("#told")
		return strings.Contains(told, w.word("loggedout.missed")) && strings.Contains(told, w.word("loggedout.told"))
	})
	for n, name := range map[string]string{"loggedout.missed": "Contoso", "loggedout.told": "Fabrikam"} {
		if rows := see(b, chromedp.Evaluate[[]string](`[...document.querySelectorAll('#told li')].map(e => e.innerText)`)); !slices.ContainsFunc(rows, func(row string) bool {
			return strings.Contains(row, name) && strings.Contains(row, w.word(n))
		}) {
			w.t.Errorf("%s: %q", name, rows)
		}
	}
}
