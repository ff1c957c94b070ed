// Package demo is the two demonstration sites of "passport serve --dev": real relying parties on go-oidc and
// x/oauth2, with the button, the claims received and signing out. They show what a site has to do, and the
// end-to-end tests drive them.
//
// It knows of the server what any site knows: the issuer, a client id and a secret. It imports no room of ours.
package demo
