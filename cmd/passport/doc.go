// Command passport is the server of a Passport Network, and the tools of its operator.
//
// It owns the wiring (build.go: which room is given to which), the life of the process (serve.go), the
// subcommands, and the tests that hold the whole: the import law (rooms_test.go) and the end-to-end tests.
// It decides nothing about the protocol, accounts or pages.
package main
