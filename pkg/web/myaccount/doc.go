// Package myaccount is what people see of their own account: the start page, "General information", where they are
// signed in, what sites were allowed, what has happened, and the password.
//
// It owns which pages want a sign-in of just now. It owns no rule about accounts, sessions or grants: packages account,
// session and oidc do.
package myaccount
