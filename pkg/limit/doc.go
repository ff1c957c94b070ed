// Package limit says "not so often": the rules of who may try what how many times, in one table (rules.go).
//
// It owns the rules, the keys they count under and the algorithm's in-process half (Bucket). What is counted
// across replicas is one row a key in the database, by the database's clock, through Store. Addresses and
// names stand in no key: the parts go through an HMAC. It refuses to lock anyone out for good: a rule only
// ever says when to come back.
package limit
