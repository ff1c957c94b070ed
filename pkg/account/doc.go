// Package account is the people of the network: registering (by whom the door lets in), confirming or cancelling a
// registration, signing in by password, what people change of their accounts, each way back into one that is lost, closing
// it, and what an operator does to an account.
//
// It owns the rules for addresses, claims and passwords, when terms are to be accepted and a human check is wanted, and the
// work behind every answer: known and unknown addresses are answered alike, after equal work. It refuses to know HTTP,
// cookies and SQL: browsers come as hashes of their cookies, rows come from Store.
package account
