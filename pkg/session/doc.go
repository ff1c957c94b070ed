// Package session knows who is signed in in a browser.
//
// A browser holds one secret in a cookie; the database has its SHA-256 alone. One browser may hold the
// logins of several accounts. Every sign-in makes a new secret and kills the old one, so that a secret which
// somebody else planted is worth nothing (session fixation). A cookie that is malformed, or there twice, is
// no cookie.
//
// It owns both cookies: the session's, and the flow's that binds pages to the browser that was shown them.
// It refuses to know passwords, clients and pages.
package session
