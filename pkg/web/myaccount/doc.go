// Package myaccount is what people see of their own account: the start page, "General information" with the picture, the
// addresses, the password, what leads back into the account, where they are signed in, what sites were allowed, what has
// happened, the file with all that is known, and closing it.
//
// It owns which pages want a sign-in of just now. It owns no rule about accounts, sessions or grants: packages account,
// session and oidc do.
package myaccount
