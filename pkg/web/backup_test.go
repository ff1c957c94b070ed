package web_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestBackup: 4.12, what helps an account back, through the pages.
func TestBackup(t *testing.T) {
	w := newWorld(t)
	w.person("ada@example.test")
	w.person("bob@example.test")
	b := w.browser(t).loginWith(t, "ada@example.test", password)
	b.get("/account/security").want(200, "change-recovery")
	b.get("/account/recovery").want(200, "recovery-address-submit")
	b.submit("recovery-address-submit", "recovery-email", "ada@").want(422, "recovery-email-error")
	b.submit("recovery-address-submit", "recovery-email", "ada@example.test").want(422, "recovery-email-error")
	b.submit("recovery-address-submit", "recovery-email", "carol@example.test").want(200, "recovery-waiting")
	link := w.mailed(t)
	if s := w.browser(t).get(link).want(200, "go-on"); s.has("new-recovery-submit") || strings.Contains(s.Body, "ada@") {
		t.Errorf("a stranger sees:\n%s", s.Body)
	}
	if bob := w.browser(t).loginWith(t, "bob@example.test", password).get(link); bob.Status != http.StatusNotFound {
		t.Errorf("bob: %d", bob.Status)
	}
	b.get(link).want(200, "new-recovery-submit")
	b.send(http.MethodHead, link, "", "")
	if b.get("/account/recovery"); b.has("recovery-address") {
		t.Error("reading the link has changed something")
	}
	b.get(link).submit("new-recovery-submit").want(200, "recovery-address-drop")
	b.submit("recovery-question-submit", "recovery-question", "", "recovery-answer", "x y").want(422, "recovery-question-error")
	b.submit("recovery-question-submit", "recovery-question", "Which street?", "recovery-answer", "x").want(422, "recovery-answer-error")
	if !strings.Contains(b.Body, "Which street?") {
		t.Error("the question must be typed again")
	}
	b.submit("recovery-question-submit", "recovery-question", "Which street?", "recovery-answer", "Elm Lane").want(200, "recovery-question-drop")
	if strings.Contains(b.Body, "Elm Lane") {
		t.Error("the page shows the answer")
	}
	t.Run("asked in addition to the link", func(t *testing.T) {
		c := w.browser(t)
		c.get("/recover").submit("recover-submit", "email", "ada@example.test").want(200, "go-on")
		to := map[string]string{}
		if _, err := w.queue.RunDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, l := range w.inbox.List()[:2] {
			to[l.To] = accountLink.FindStringSubmatch(l.Text)[1]
		}
		if to["ada@example.test"] == to["carol@example.test"] || to["carol@example.test"] == "" {
			t.Fatalf("links: %v", to)
		}
		c.get(to["carol@example.test"]).want(200, "recovery-asked")
		c.submit("new-password-submit", "new-password", "a quite different password", "recovery-answer", "Oak Lane").want(422, "recovery-answer-error")
		c.submit("new-password-submit", "new-password", "a quite different password", "recovery-answer", "elm lane.").want(200, "go-on")
		w.browser(t).loginWith(t, "ada@example.test", "a quite different password")
	})
	t.Run("five wrong answers", func(t *testing.T) {
		c := w.browser(t)
		c.get("/recover").submit("recover-submit", "email", "ada@example.test").want(200, "go-on")
		c.get(w.mailed(t)).want(200, "recovery-asked")
		for range 4 {
			c.submit("new-password-submit", "new-password", "a quite different password", "recovery-answer", "Oak Lane").want(422, "recovery-answer-error")
		}
		c.submit("new-password-submit", "new-password", "a quite different password", "recovery-answer", "Oak Lane").want(404, "request-id")
	})
	t.Run("taken away", func(t *testing.T) {
		b := w.browser(t).loginWith(t, "ada@example.test", "a quite different password")
		b.get("/account/recovery").submit("recovery-address-drop").want(200, "recovery-question-drop")
		if b.has("recovery-address") {
			t.Error("the address is there")
		}
		if b.submit("recovery-question-drop").want(200, "recovery-question"); b.has("recovery-set") {
			t.Error("the question is there")
		}
	})
	t.Run("A20 a fresh sign-in", func(t *testing.T) {
		b := w.browser(t).loginWith(t, "bob@example.test", password)
		w.pass(6 * time.Minute)
		b.get("/account/recovery").want(200, "login-submit").submit("login-submit", "username", "bob@example.test", "password", password)
		b.want(200, "recovery-question-submit")
		w.pass(6 * time.Minute)
		b.submit("recovery-question-submit", "recovery-question", "Which street?", "recovery-answer", "Elm Lane").want(200, "login-submit")
	})
}
