// Package storagetest gives tests real databases: SQLite in a temporary folder and PostgreSQL, and holds
// the suite that both must pass alike.
//
// PASSPORT_TEST_POSTGRES names a PostgreSQL server where databases may be created (postgres://…); without
// it a server of our own is started once a process, and ends with the process. PASSPORT_TEST_DATABASES=sqlite
// leaves PostgreSQL out.
package storagetest
