// Package storage is the database: SQLite or PostgreSQL behind one *Store that implements the Store
// interface of every room that has one (a file a room).
//
// It owns gorm, SQL, both dialects and the migrations. It refuses policy: what a row means, and what may
// happen next, is decided by the room whose interface it fills. *gorm.DB never leaves the package.
package storage
