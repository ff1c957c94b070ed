// Package account is the people of the network: registering, confirming or cancelling a registration,
// signing in by password, and what an operator does to an account.
//
// It owns the rules for addresses, names and passwords, and the work behind every answer: known and unknown
// addresses are answered alike, after equal work. It refuses to know HTTP, cookies and SQL: browsers come as
// hashes of their cookies, rows come from Store.
package account
