//go:build e2e

package main

import (
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/passport-network/passport/storage/storagetest"
)

func TestMain(m *testing.M) { storagetest.Main(m) }

// TestStory is the main job on real input, in a real browser: a person comes from the button of one site,
// registers, confirms by the link of a mail that came over SMTP, is signed in there, and is known at the
// other site without a password.
func TestStory(t *testing.T) {
	t.Run("TLS sqlite en", func(t *testing.T) { story(t, newWorld(t, "", true), "en") })
	t.Run("TLS sqlite es", func(t *testing.T) { story(t, newWorld(t, "", true), "es") })
	t.Run("TLS postgres en", func(t *testing.T) { story(t, newWorld(t, storagetest.Postgres(t), true), "en") })
	t.Run("TLS postgres es", func(t *testing.T) { story(t, newWorld(t, storagetest.Postgres(t), true), "es") })
	t.Run("localhost sqlite en", func(t *testing.T) { story(t, newWorld(t, "", false), "en") })
}

func story(t *testing.T, w *world, language string) {
	w.env = append(w.env, "PASSPORT_OUTBOUND_ALLOW=localhost") // the sites, which are told of a sign-out
	w.start()
	fabrikam, contoso := w.site("Fabrikam"), w.site("Contoso")
	password := "Blue-" + rand.Text()
	w.seen.add("password", password)
	w.seen.add("smtp password", sinkPassword)
	// The mail server works: the operator has tried it.
	w.command("mail", "test", "ops@example.test", "--language", language, "--json")
	if m := w.smtp.next(); len(m.to) != 1 || m.to[0] != "ops@example.test" {
		t.Errorf("the test mail went to %v", m.to)
	}
	b := w.browser(language)
	if !w.withTLS {
		b.narrow()
	}

	// Register, from the button of site one.
	b.open(fabrikam)
	b.click("#sign-in")
	b.wait("#login-submit")
	b.at(w.issuer + "/login")
	if got := b.attribute("html", "lang"); got != language {
		t.Errorf("the page is in %q, not %q", got, language)
	}
	b.click("#register-link")
	b.fill("#register-email", "Alice@example.test")
	b.fill("#register-password", password)
	b.fill("#register-name", "Alice Ñandú")
	b.click("#register-submit")
	b.fill("#terms-email", "alice@example.test")
	b.click("#terms-submit")
	b.wait("#waiting")

	// Confirm, by the link of the mail.
	m := w.smtp.next()
	if len(m.to) != 1 || m.to[0] != "Alice@example.test" {
		t.Errorf("the mail went to %v", m.to)
	}
	confirm, cancel := m.link(t, "confirm"), m.link(t, "cancel")
	for _, l := range []string{confirm, cancel} {
		w.seen.add("link", l)
		w.seen.add("mail token", tokenOf(l))
	}
	b.open(confirm)
	b.click("#confirm-submit")
	// From a site, the person must allow it once; then lands there signed in.
	b.click("#consent-allow")
	b.wait("#claims")
	b.at(fabrikam)
	if claims := b.text("#claims"); !strings.Contains(claims, "Alice Ñandú") || !strings.Contains(claims, "Alice@example.test") {
		t.Errorf("Fabrikam received %s", claims)
	}
	// Fabrikam's subject is Contoso's: one credential.
	sub := b.text("#sub")
	b.open(contoso)
	b.follow("#sign-in", "#consent-allow")
	b.follow("#consent-allow", "#claims")
	b.at(contoso)
	if got := b.text("#sub"); got != sub {
		t.Errorf("Contoso knows %q, Fabrikam %q", got, sub)
	}
	b.cookies()
	// The sites' own cookies do not meet, even on one host.
	b.open(fabrikam)
	b.wait("#claims")

	// The second time nothing is asked.
	b.open(contoso + "/login")
	b.wait("#claims")
	b.at(contoso)

	// The old cancel link deletes nothing now.
	b.open(cancel)
	b.wait("main")
	if b.exists("#cancel-submit") {
		t.Error("the cancel link is still alive after confirming")
	}

	// Sign out at site two; each site, asked to sign in again, shows Passport's password page.
	b.open(contoso)
	b.follow("#sign-out", "#signed-out")
	b.at(contoso)
	// Site one has heard of it.
	eventually(t, "Fabrikam is told of the sign-out", func() bool {
		b.open(fabrikam)
		return b.exists("#sign-in")
	}, w.logs)
	for _, site := range []string{fabrikam, contoso} {
		b.open(site + "/login")
		b.wait("#password")
		b.at(w.issuer + "/login")
	}
	// And the password opens it.
	b.fill("#username", "alice@example.test")
	b.fill("#password", password)
	b.click("#login-submit")
	b.wait("#claims")
	b.at(contoso)
	b.cookies()

	w.stop()
	w.searchSecrets("password", "code", "access_token", "id_token", "mail token", "link", "cookie", "client secret")
}

// tokenOf is the secret of a link in a mail.
func tokenOf(link string) string {
	_, token, _ := strings.Cut(link, "?t=")
	return token
}

// searchSecrets looks for everything in the ledger, in every log line and in the whole database. The kinds named
// must have been seen.
func (w *world) searchSecrets(kinds ...string) {
	w.t.Helper()
	for _, kind := range kinds {
		if w.seen.count(kind) == 0 {
			w.t.Errorf("the test saw no %s: the search would prove nothing", kind)
		}
	}
	logs := w.logs.String()
	if !strings.Contains(logs, `"route"`) {
		w.t.Error("the log has no request line: the search would prove nothing")
	}
	if strings.Contains(logs, "WARNING: DATA RACE") {
		w.t.Errorf("data race\n%s", logs)
	}
	for _, kind := range w.seen.find([]byte(logs)) {
		w.t.Errorf("a %s stands in the log", kind)
	}
	if strings.Contains(strings.ToLower(logs), "alice@example.test") {
		w.t.Error("the address stands in the log")
	}
	dump := w.databaseBytes()
	if !strings.Contains(strings.ToLower(string(dump)), "alice@example.test") {
		w.t.Error("the database's bytes do not hold the address: the search would prove nothing")
	}
	for _, kind := range w.seen.find(dump) {
		w.t.Errorf("a %s stands in the database", kind)
	}
}

// databaseBytes is the SQLite files, or a dump of the PostgreSQL database with bytea in clear.
func (w *world) databaseBytes() []byte {
	w.t.Helper()
	database := w.database()
	if file, ok := strings.CutPrefix(database, "sqlite:"); ok {
		var all []byte
		for _, f := range must(filepath.Glob(file + "*")) {
			all = append(all, must(os.ReadFile(f))...)
		}
		return all
	}
	out, err := exec.Command("pg_dump", "--inserts", database).Output()
	if err != nil {
		w.t.Fatalf("pg_dump: %v", err)
	}
	return out
}
