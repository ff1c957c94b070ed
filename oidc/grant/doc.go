// Package grant holds the plain values of a flow (Login, Interaction, Device, Consent, Grant, Code, Token, Person)
// and Store, the few calls by which the protocol reads and writes them: one call a step of a flow, and,
// but for a device's poll, one statement a call on PostgreSQL.
//
// It owns no policy but Person.Allowed. It refuses to know HTTP, fosite and SQL.
package grant
