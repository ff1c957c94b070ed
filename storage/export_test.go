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

// Flows is the pool of the hot statements.
func (s *Store) Flows() *sql.DB { return s.flows }

// Fixed are the columns, with PostgreSQL's types, that the fixed SQL of hot.go writes, by table.
func Fixed() map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, i := range []insert{insertGrant, insertCode, insertToken, insertConsent, insertVisit} {
		all[i.table] = map[string]string{}
		for _, c := range i.columns {
			all[i.table][c[0]] = c[1]
		}
	}
	return all
}

// Voided are the tables that a restore makes void.
func Voided() []string {
	var list []string
	for _, v := range voided {
		list = append(list, v.table)
	}
	return list
}

// Libpq is libpq.
func Libpq(database string) (string, []string, error) { return libpq(database) }

// One is one.
func (s *Store) One(ctx context.Context, q string) error { return s.one(ctx, "test", q) }
