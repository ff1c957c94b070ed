// Package engine runs fosite: the protocol's grants, assembled by hand with our own tokens, ID tokens,
// client authentication and storage adapter. It is the only room that imports github.com/ory/*.
//
// It owns the unit of work: fosite's storage calls are answered out of one read and collected into one
// write, which Authorize and Exchange flush once, after fosite made its whole response (Approve, of a device, writes
// without it: fosite has no such step). Authorize writes nothing where the code carries what it stands for (seal.go). It owns the
// formats of codes and tokens. It refuses policy: who may be asked for what, and what a page shows, is decided by package oidc
// before it calls.
package engine
