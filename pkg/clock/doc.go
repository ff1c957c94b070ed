// Package clock is the one answer to "what time is it".
//
// Replicas on machines whose clocks disagree must judge the same expiry alike, so all follow the database's
// clock: the time is the local monotonic time plus the offset to the database's, which is measured at the
// start, every ten seconds, and at once when the machine seems to have slept. A step of the machine's wall clock does not
// move it. No other package may ask the machine for the time.
package clock
