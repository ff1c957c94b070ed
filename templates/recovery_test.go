package templates

import "time"

// recoverySamples has the pages of what helps an account back.
func recoverySamples() map[string]Page {
	ada := Person{LoginID: "1", Name: "Ada Lovelace", Email: "ada@example.com"}
	own, link := Base{SignedIn: true, Token: "token"}, Base{Link: "abc", Token: "token"}
	faulty := func(b Base, id, key string) Base {
		b.Errors = map[string]string{id: key}
		return b
	}
	return map[string]Page{
		"request":               &Request{Base: Base{Token: "token"}},
		"request-wrong":         &Request{Base: faulty(Base{Token: "token"}, "request-reach", "request.same"), Account: hostile, Reach: hostile},
		"details":               &Details{Base: link, Email: hostile},
		"details-wrong":         &Details{Base: faulty(link, "request-sites", "request.sites.many"), Birthdate: "x", Phone: hostile, Sites: hostile, Note: hostile},
		"stop":                  &Stop{Base: link, Email: hostile},
		"regain":                &Regain{Base: faulty(link, "new-password", "error.password.short"), Email: hostile},
		"request-sent":          &Notice{Title: "recover.sent.title", Body: "request.sent", Action: "recover.back", To: "/login"},
		"requested":             &Notice{Title: "requested.title", Body: "requested.body", Action: "cancelled.home", To: "/"},
		"stopped":               &Notice{Title: "stopped.title", Body: "stopped.body", Action: "recovered.signin", To: "/login"},
		"security-requested":    &Security{Base: own, Person: ada, Requested: time.Unix(1, 0)},
		"recovery":              &Recovery{Base: own, Address: hostile, Waiting: "carol@example.com", Set: hostile, Sent: true, Dev: true},
		"recovery-wrong":        &Recovery{Base: faulty(own, "recovery-answer", "error.answer.asked"), Question: hostile, Done: true},
		"new-recovery":          &NewRecovery{Base: link, Person: ada, Email: "carol@example.com"},
		"new-password-question": &NewPassword{Base: faulty(link, "recovery-answer", "error.answer.wrong"), Email: ada.Email, Question: hostile},
	}
}
