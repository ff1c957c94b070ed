// Package keys holds what the server signs and seals with.
//
// The Sealer encrypts what must not stand readable in the database, under PASSPORT_SECRET. The Ring holds
// the signing keys (one active an algorithm, the next one already published, the retired ones still
// published) and the random secrets that tokens, session ids and subjects are made with. Those are rows,
// sealed by PASSPORT_SECRET and never derived from it: the secret can change and every sub and token stays.
//
// It refuses to know what is signed. Several servers share one database: whoever changes keys raises a
// revision there. The others are woken at once where the database can tell them (LISTEN), and notice within two
// seconds where it cannot.
package keys
