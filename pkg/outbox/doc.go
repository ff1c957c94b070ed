// Package outbox is the queue of what is done after the answer: mails, the calls that tell sites of a sign-out, and
// the files with all that is known of a person.
//
// A job is put in the transaction of what it belongs to, so that it exists if and only if that happened.
// Workers on any replica lease it, do it, and delete it. A worker that dies keeps its lease until it runs
// out; then another does the job, so a handler can see one job twice and must bear it (a mail keeps its
// Message-ID). What failed waits longer each time, and is brought forward when its kind works again. It refuses to know what a job means: handlers are functions, by kind. Bodies hold links: they
// are sealed at rest, and gone as soon as the job is done or given up.
package outbox
