// Package storage is the database: SQLite or PostgreSQL behind one *Store that implements the Store
// interface of every room that has one (a file a room).
//
// It owns gorm, SQL, both dialects and the migrations. It refuses policy: what a row means, and what may
// happen next, is decided by the room whose interface it fills. *gorm.DB never leaves the package.
//
// Where a row is found by what is its own, its client (or account) is compared as an expression, which no index has:
//
//	client_id || '' = ?
//
// To PostgreSQL, while a table is empty, or each client has one row of it, the index of clients is as good as the key; the plan that
// it then makes, and keeps, reads all rows of a client to find one (TestKeyPlans).
package storage
