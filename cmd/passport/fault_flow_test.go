//go:build fault && !e2e

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// person is who goes a way through the program, and what notes it.
type person struct {
	*visitor
	b    *book
	box  *mailbox
	site relying
	code string
	got  answer

	issued func(idToken string) // told of each; nil: nobody
	again  func(entry) bool     // what had no answer is tried once more when this says so; nil: it is not
	waits  func()               // while a mail does not come; nil: nothing is to be done
	stale  string               // a link that another mail has replaced
}

// try is an act, and its repetition.
func (p *person) try(e entry, do func(*entry) (int, error)) bool {
	outcome := p.b.outcome(e, do)
	if outcome == unknown && p.again != nil && p.again(e) {
		outcome = p.b.outcome(e, do)
	}
	return outcome == acked
}

// link waits for the newest mail to an address that an act promises, and gives its link.
func (p *person) link(to, act string) (link string, ok bool) {
	for end := time.Now().Add(patience); !ok && time.Now().Before(end); {
		if link, ok = p.box.linkBut(p.stale, to, letterOf[act], 200*time.Millisecond); p.waits != nil {
			p.waits()
		}
	}
	return link, ok
}

func (r *trial) person(n int64, base func() string) *person {
	v := newVisitor(base, fmt.Sprintf("p%d-%s@example.test", n, strings.ToLower(rand.Text()[:8])), rand.Text())
	v.http = r.f.client()
	site := r.site
	site.base, site.http = base, r.f.client()
	return &person{visitor: v, b: r.b, box: r.box, site: site, issued: r.issued}
}

// patience is how long a mail may take that a dead replica has taken on: until its lease is over.
const patience = 100 * time.Second

// flow is one person's way: register, confirm, sign in at the site, redeem, refresh twice, and then one of several ends.
func (r *trial) flow(ctx context.Context, n int64, base func() string) error {
	p := r.person(n, base)
	if !p.b.act(entry{Op: "register", Email: p.email, Password: p.pass}, func(*entry) (int, error) { return 200, p.register(ctx) }) {
		return fmt.Errorf("%s is not registered", p.email)
	}
	confirm, ok := p.link(p.email, "register")
	cancel, _ := p.box.link(p.email, "cancel", 0)
	if !ok {
		return fmt.Errorf("no mail to %s", p.email)
	}
	switch n % 10 {
	case 4: // I9: cancelled is cancelled
		if p.act(ctx, "cancel", cancel, p.cancel) {
			p.act(ctx, "confirm", confirm, p.confirm)
		}
		return nil
	case 9: // I9: both at the same moment; one of them holds
		var both sync.WaitGroup
		other := p.twin(base)
		both.Go(func() { p.act(ctx, "cancel", cancel, other.cancel) })
		both.Go(func() { p.act(ctx, "confirm", confirm, p.confirm) })
		both.Wait()
		return nil
	}
	if !p.act(ctx, "confirm", confirm, p.confirm) {
		return fmt.Errorf("%s is not confirmed", p.email)
	}
	if n%10 == 7 { // I9: after the confirmation there is nothing to cancel; I14: nor to confirm
		p.act(ctx, "cancel", cancel, p.cancel)
		p.act(ctx, "confirm", confirm, newVisitor(base, "", "").confirm)
	}
	// The first time is asked for consent, and has a code with a row; the second gets one that is sealed.
	if !p.signsOn(ctx) || n%2 == 0 && !p.signsOn(ctx) || !p.refreshes(ctx) || !p.refreshes(ctx) {
		return fmt.Errorf("%s has no tokens", p.email)
	}
	p.ends(ctx, n)
	return nil
}

// act notes what is done with the link of a mail.
func (p *person) act(ctx context.Context, op, link string, do func(context.Context, string) error) bool {
	return p.try(entry{Op: op, Email: p.email, Link: link}, func(*entry) (int, error) { return 200, do(ctx, link) })
}

// silently says of an authorization that the person was asked nothing.
const silently = "silently"

func sealed(code string) bool { return strings.HasPrefix(code, "pp2c_") }

// signsOn brings tokens of the site.
func (p *person) signsOn(ctx context.Context) bool {
	if !p.try(entry{Op: "authorize", Email: p.email}, func(e *entry) (status int, err error) {
		p.code, err = p.site.authorize(ctx, p.visitor)
		e.Code = p.code
		if sealed(p.code) {
			e.Said = silently
		}
		return 200, err
	}) {
		return false
	}
	return p.try(entry{Op: "redeem", Code: p.code, Email: p.email}, func(e *entry) (status int, err error) {
		p.got, err = p.site.redeem(ctx, p.code)
		e.Access, e.Next, e.ID = p.got.Access, p.got.Refresh, p.got.ID
		p.told(p.got.ID)
		return p.got.Status, err
	})
}

func (p *person) refreshes(ctx context.Context) bool {
	old := p.got.Refresh
	return p.try(entry{Op: "refresh", Refresh: old, Code: p.code, Email: p.email}, func(e *entry) (int, error) {
		got, err := p.site.refresh(ctx, old)
		if err == nil && got.Access != "" {
			p.got = got
		}
		e.Access, e.Next, e.ID = got.Access, got.Refresh, got.ID
		p.told(got.ID)
		return got.Status, err
	})
}

func (p *person) told(idToken string) {
	if p.issued != nil && idToken != "" {
		p.issued(idToken)
	}
}

// ends is how a way ends, and what then must not work any more.
func (p *person) ends(ctx context.Context, n int64) {
	access, refresh := p.got.Access, p.got.Refresh
	switch n % 5 {
	case 0:
		if p.b.act(entry{Op: "revoke", Refresh: refresh, Code: p.code}, func(*entry) (int, error) {
			a, err := p.site.revoke(ctx, refresh)
			return a.Status, err
		}) {
			p.dead(ctx, access, refresh)
		}
	case 1:
		if n%10 == 6 && !p.moves(ctx) {
			return
		}
		p.b.act(entry{Op: "replay", Code: p.code, Email: p.email}, func(*entry) (int, error) {
			a, err := p.site.redeem(ctx, p.code)
			return a.Status, err
		})
	case 3:
		if n%10 == 8 {
			p.forgets(ctx, access, refresh)
		} else {
			p.changes(ctx, access, refresh, "", p.changePassword)
		}
	case 2:
		was := p.twin(p.base)
		if p.b.act(entry{Op: "logout", Email: p.email}, func(*entry) (int, error) { return 200, p.logout(ctx) }) {
			p.forbidden("the session that was ended", func() (bool, error) { return was.signedIn(ctx) })
		}
	}
}

// changePassword leaves the visitor with another one.
func (v *visitor) changePassword(ctx context.Context, pass string) error {
	p, err := v.get(ctx, "/account/password")
	if err != nil {
		return err
	}
	p, err = v.submit(ctx, p, "password-submit", "password", v.pass, "new-password", pass)
	if err == nil && (p.status != http.StatusOK || p.at != "/account/password?saved=1") {
		err = &wrongPage{p, "the saved password"}
	}
	return err
}

// changes: a new password, however it was set, ends what the old one, and who had it, could do (I4).
func (p *person) changes(ctx context.Context, access, refresh, link string, set func(ctx context.Context, pass string) error) bool {
	was, next := p.twin(p.base), "another "+p.pass
	if !p.try(entry{Op: "password", Email: p.email, Password: next, Code: p.code, Link: link}, func(*entry) (int, error) { return 200, set(ctx, next) }) {
		return false
	}
	p.dead(ctx, access, refresh)
	p.forbidden("a copy of the cookie from before the new password", func() (bool, error) { return was.signedIn(ctx) })
	p.forbidden("the password from before", func() (bool, error) {
		var wrong *wrongPage
		err := newVisitor(p.base, p.email, p.pass).login(ctx)
		if errors.As(err, &wrong) && wrong.status < 500 {
			return false, nil
		}
		return err == nil, err
	})
	return true
}

// forgets is a person who has forgotten the password: the link of a mail sets another one, once (I4, I7, I14).
func (p *person) forgets(ctx context.Context, access, refresh string) {
	if !p.try(entry{Op: "recover", Email: p.email}, func(*entry) (int, error) {
		return 200, newVisitor(p.base, p.email, "").fill(ctx, "/recover", "recover-submit", "email", p.email)
	}) {
		return
	}
	link, ok := p.link(p.email, "recover")
	stranger := newVisitor(p.base, "", "")
	set := func(ctx context.Context, pass string) error {
		return stranger.fill(ctx, link, "new-password-submit", "new-password", pass)
	}
	if ok && p.changes(ctx, access, refresh, link, set) {
		p.forbidden("a link of recovery that was used", func() (bool, error) {
			var wrong *wrongPage
			err := set(ctx, "whoever has the link, later")
			if errors.As(err, &wrong) && wrong.status < 500 {
				return false, nil
			}
			return err == nil, err
		})
	}
}

// moves is a person who has another address from now on, which the link of a mail proves.
func (p *person) moves(ctx context.Context) bool {
	next := "new-" + p.email
	if !p.try(entry{Op: "address", Email: next}, func(*entry) (int, error) {
		return 200, p.fill(ctx, "/account/address", "address-submit", "new-email", next)
	}) {
		return false
	}
	link, ok := p.link(next, "address")
	return ok && p.try(entry{Op: "move", Email: next, Said: p.email, Link: link}, func(*entry) (int, error) {
		return 200, p.fill(ctx, link, "new-address-submit", "primary", "1")
	})
}

// fill sends the form of a page, which then is another one, or says that it is done.
func (v *visitor) fill(ctx context.Context, at, button string, pairs ...string) error {
	p, err := v.get(ctx, at)
	if err != nil {
		return err
	}
	p, err = v.submit(ctx, p, button, pairs...)
	if err == nil && (p.status != http.StatusOK || p.has(button) && !strings.Contains(p.body, `class="done"`)) {
		err = &wrongPage{p, "what follows #" + button}
	}
	return err
}

// dead asks for what was revoked (I4, I20).
func (p *person) dead(ctx context.Context, access, refresh string) {
	p.forbidden("an access token that was revoked", func() (bool, error) {
		a, err := p.site.introspect(ctx, access)
		return a.Active, err
	})
	p.forbidden("a refresh token that was revoked", func() (bool, error) {
		a, err := p.site.refresh(ctx, refresh)
		return a.Access != "", err
	})
}

// forbidden notes whether something was had that nobody may have.
func (p *person) forbidden(what string, had func() (bool, error)) {
	p.try(entry{Op: "forbidden", Said: what, Email: p.email}, func(*entry) (int, error) {
		got, err := had()
		if err == nil && !got {
			return 403, nil
		}
		return 200, err
	})
}

// prowl tries what must not work, again and again: whatever fails, nobody gets more by it (I20).
func (r *trial) prowl(over context.Context, victim *person) {
	ctx := r.t.Context() // a try that was begun ends
	thief := r.person(0, r.f.base)
	thief.email = victim.email
	wrong := thief.site
	wrong.secret = strings.Repeat("x", len(wrong.secret))
	tries := []struct {
		what string
		had  func() (bool, error)
	}{
		{"a sign-in with a wrong password", func() (bool, error) {
			t := thief.twin(r.f.base)
			t.pass = "another password altogether"
			if err := t.login(ctx); err != nil {
				return false, nil
			}
			return t.signedIn(ctx)
		}},
		{"a token with a wrong secret", func() (bool, error) { a, err := wrong.credentials(ctx); return a.Access != "", err }},
		{"a code that was never given", func() (bool, error) {
			a, err := thief.site.redeem(ctx, rand.Text()+rand.Text())
			return a.Access != "", err
		}},
		{"a refresh token that was never given", func() (bool, error) {
			a, err := thief.site.refresh(ctx, victim.got.Refresh[:len(victim.got.Refresh)-4]+"AAAA")
			return a.Access != "", err
		}},
		{"introspection with a wrong secret", func() (bool, error) { a, err := wrong.introspect(ctx, victim.got.Access); return a.Active, err }},
		{"an account without a session", func() (bool, error) { return newVisitor(r.f.base, "", "").signedIn(ctx) }},
		{"a link that was never sent", func() (bool, error) {
			return newVisitor(r.f.base, "", "").confirm(ctx, visited+"/confirm?t="+url.QueryEscape(rand.Text()+rand.Text())) == nil, nil
		}},
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-over.Done():
			return
		case <-tick.C:
			try := tries[i%len(tries)]
			thief.forbidden(try.what, try.had)
		}
	}
}

func (s relying) revoke(ctx context.Context, token string) (answer, error) {
	return s.post(ctx, "/revoke", url.Values{"token": {token}})
}

// cancel follows the other link of the mail.
func (v *visitor) cancel(ctx context.Context, link string) error {
	p, err := v.get(ctx, link)
	if err != nil {
		return err
	}
	p, err = v.submit(ctx, p, "cancel-submit")
	if err == nil && (p.status != http.StatusOK || p.has("cancel-submit")) {
		err = &wrongPage{p, "the cancelled registration"}
	}
	return err
}

// logout ends the session.
func (v *visitor) logout(ctx context.Context) error {
	p, err := v.get(ctx, "/logout")
	if err != nil {
		return err
	}
	p, err = v.submit(ctx, p, "logout-yes")
	if err == nil && (p.status != http.StatusOK || p.has("logout-yes")) {
		err = &wrongPage{p, "the end of the session"}
	}
	return err
}
