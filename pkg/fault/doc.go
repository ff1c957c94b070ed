// Package fault holds the crash points of the tests: places where a server that dies must leave nothing
// lost and nothing doubled.
//
// In a release build Point is empty. Built with the tag "fault", the process kills itself (SIGKILL, so that
// nothing is flushed or closed) at the point that the environment names: PASSPORT_FAULT=name at its first
// passage, PASSPORT_FAULT=name:3 at the third.
//
// Names are "room.moment". The points:
//
//	account.registered the registration and its mail are committed, nothing is answered
//	storage.commit     a transaction has run its last statement and is about to be committed, or a statement that is a whole
//	                   transaction is about to be sent (PostgreSQL commits it by itself), for a request
//	storage.committed  it is
//	storage.migrated   one migration is applied, the next one is not
//	web.answer         a request is handled, its answer is still here
//	outbox.leased      a job is leased, its handler has not run
//	outbox.sent        the handler has succeeded, the job is still in the queue
//
// Three more things are done in that build alone, where they belong: the machine's clock is wrong by what the file of
// PASSPORT_FAULT_CLOCK says (pkg/clock), SQLite takes its disk for full at PASSPORT_FAULT_PAGES pages, and with
// PASSPORT_FAULT_TWICE a code is spent without asking whether it is (storage).
package fault
