// Package session knows who is signed in in a browser.
//
// A browser holds one secret in a cookie; the database has its SHA-256 alone. One browser may hold the
// logins of several accounts. Every sign-in makes a new secret and kills the old one, so that a secret which
// somebody else planted is worth nothing (session fixation). A cookie that is malformed, or there twice, is
// no cookie.
//
// It owns four cookies: the session's, the flow's that binds pages to the browser that was shown them, the device's, by
// which an account knows a browser again and whose content is package account's, and the state of OpenID Connect Session
// Management, which scripts may read and which opens nothing. Whoever wants to hear that logins ended (Config.Ended) does
// so in the transaction in which they end.
// It refuses to know passwords, clients and pages.
package session
