package templates

// recoverySamples has the pages of what helps an account back.
func recoverySamples() map[string]Page {
	ada := Person{LoginID: "1", Name: "Ada Lovelace", Email: "ada@example.com"}
	own, link := Base{SignedIn: true, Token: "token"}, Base{Link: "abc", Token: "token"}
	faulty := func(b Base, id, key string) Base {
		b.Errors = map[string]string{id: key}
		return b
	}
	return map[string]Page{
		"recovery":              &Recovery{Base: own, Address: hostile, Waiting: "carol@example.com", Set: hostile, Sent: true, Dev: true},
		"recovery-wrong":        &Recovery{Base: faulty(own, "recovery-answer", "error.answer.asked"), Question: hostile, Done: true},
		"new-recovery":          &NewRecovery{Base: link, Person: ada, Email: "carol@example.com"},
		"new-password-question": &NewPassword{Base: faulty(link, "recovery-answer", "error.answer.wrong"), Email: ada.Email, Question: hostile},
	}
}
