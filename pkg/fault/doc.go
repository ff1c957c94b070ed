// Package fault holds the crash points of the tests: places where a server that dies must leave nothing
// lost and nothing doubled.
//
// In a release build Point is empty. Built with the tag "fault", the process kills itself (SIGKILL, so that
// nothing is flushed or closed) at the point that the environment names: PASSPORT_FAULT=name at its first
// passage, PASSPORT_FAULT=name:3 at the third.
//
// Names are "room.moment". The points:
//
//	account.registered  the registration and its mail are committed, nothing is answered
//	outbox.leased   a job is leased, its handler has not run
//	outbox.sent     the handler has succeeded, the job is still in the queue
package fault
