package storage

import (
	"context"
	"database/sql"

	"gorm.io/gorm"
)

// What the tests of this package see besides the exported.

var (
	Rows         = rows
	RefuseServer = refuseServer
	At           = at
	OneRow       = oneRow
)

type Stamp = stamp

func (s *Store) DB(ctx context.Context) *gorm.DB   { return s.db(ctx) }
func (s *Store) Read(ctx context.Context) *gorm.DB { return s.read(ctx) }

func (s *Store) Pools() (writer, reader *sql.DB) {
	w, err := s.writer.DB()
	if err != nil {
		panic(err)
	}
	r, err := s.reader.DB()
	if err != nil {
		panic(err)
	}
	return w, r
}
