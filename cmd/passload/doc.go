// Command passload puts load on an OpenID provider and measures what it answers: any provider, found by its
// discovery document.
//
// It owns the scenarios (scenarios.go), the two loops (load.go: closed with workers, open with a rate) and what is
// told of them (report.go, plot.go, compare.go). An operation counts only when each answer in it is right: state,
// nonce, iss, the ID token's signature and claims, "active". It knows of the server what any client knows and imports
// no room of ours.
package main
