package storage_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"gorm.io/gorm/schema"

	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

// unmapped are tables that have no row struct: they are read and written by fixed SQL, in the file named.
var unmapped = map[string]string{
	"goose_db_version":    "goose's own",
	"authorization_grant": "grant.go", "code": "grant.go", "access_token": "grant.go", "consent": "grant.go",
	"login_client": "grant.go", "revision": "news.go, key.go, client.go", "original": "backup.go", "upgrade": "migrate.go",
}

type column struct {
	notNull bool
	kind    string
}

// columns are a table's, as the database has them.
func columns(t *testing.T, s *storage.Store) map[string]map[string]column {
	t.Helper()
	q := `SELECT m.name AS t, p.name AS c, p."notnull" <> 0 OR p.pk > 0 AS n, lower(p.type) AS k
		FROM sqlite_master m JOIN pragma_table_info(m.name) p WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'`
	if s.DB(context.Background()).Name() == "postgres" {
		q = `SELECT table_name AS t, column_name AS c, is_nullable = 'NO' AS n, data_type AS k
			FROM information_schema.columns WHERE table_schema = current_schema()`
	}
	var list []struct {
		T, C, K string
		N       bool
	}
	if err := s.DB(t.Context()).Raw(q).Scan(&list).Error; err != nil {
		t.Fatal(err)
	}
	all := map[string]map[string]column{}
	for _, c := range list {
		if all[c.T] == nil {
			all[c.T] = map[string]column{}
		}
		all[c.T][c.C] = column{notNull: c.N, kind: c.K}
	}
	return all
}

// kinds are the column types, in the words of each database, that a Go type may stand for.
var kinds = map[string][]string{
	"string":         {"text"},
	"*string":        {"text"},
	"sql.NullString": {"text"},
	"storage.stamp":  {"bigint", "integer"},
	"int64":          {"bigint", "integer"},
	"int":            {"bigint", "integer"},
	"bool":           {"boolean"},
	"[]uint8":        {"bytea", "blob"},
}

// nullable are the Go types that can say NULL; stamp does so for the zero time.
var nullable = []string{"*string", "sql.NullString", "storage.stamp", "[]uint8"}

// Every column has a field and every field a column, of a type that fits, on both databases.
func TestRows(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		tables := columns(t, s)
		mapped := map[string]bool{}
		for _, row := range storage.Rows {
			sch, err := schema.Parse(row, &sync.Map{}, s.DB(t.Context()).NamingStrategy)
			if err != nil {
				t.Fatal(err)
			}
			mapped[sch.Table] = true
			cols, ok := tables[sch.Table]
			if !ok {
				t.Errorf("%T: there is no table %s", row, sch.Table)
				continue
			}
			for _, f := range sch.Fields {
				if f.DBName == "" {
					continue
				}
				goType := f.FieldType.String()
				col, ok := cols[f.DBName]
				switch {
				case !ok:
					t.Errorf("%T.%s: %s has no column %s", row, f.Name, sch.Table, f.DBName)
				case !slices.Contains(kinds[goType], col.kind):
					t.Errorf("%T.%s: %s.%s is a %s and the field a %s", row, f.Name, sch.Table, f.DBName, col.kind, goType)
				case !col.notNull && !slices.Contains(nullable, goType):
					t.Errorf("%T.%s: %s.%s may be NULL and a %s may not", row, f.Name, sch.Table, f.DBName, goType)
				}
			}
			for name := range cols {
				if sch.LookUpField(name) == nil {
					t.Errorf("%T: no field for %s.%s", row, sch.Table, name)
				}
			}
		}
		for name := range tables {
			if !mapped[name] && unmapped[name] == "" {
				t.Errorf("no row struct for the table %s", name)
			}
			if mapped[name] && unmapped[name] != "" {
				t.Errorf("the table %s has a row struct: strike it off the list", name)
			}
		}
	})
}

// later are the columns of the tables of fixed SQL that no INSERT names: they are NULL, or their default, at first.
var later = map[string][]string{
	"authorization_grant": {"revoked_at"},
	"code":                {"used_at"},
	"access_token":        {"revoked_at"},
	"login_client":        {"notice", "notice_at"},
}

// The tables without a row struct are held to the columns that their fixed SQL writes, likewise.
func TestFixedRows(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		tables := columns(t, s)
		for table, written := range storage.Fixed() {
			cols := tables[table]
			for name, kind := range written {
				alike := map[string][]string{"text": {"text"}, "bigint": {"bigint", "integer"}, "bytea": {"bytea", "blob"}, "boolean": {"boolean"}}[kind]
				if col, ok := cols[name]; !ok || !slices.Contains(alike, col.kind) {
					t.Errorf("%s.%s is written as a %s, and is %+v", table, name, kind, col)
				}
			}
			for name := range cols {
				if _, ok := written[name]; ok == slices.Contains(later[table], name) {
					t.Errorf("%s.%s: written at first: %v, listed as later: %v", table, name, ok, !ok)
				}
			}
			if len(cols) != len(written)+len(later[table]) {
				t.Errorf("%s has %d columns, %d are known", table, len(cols), len(written)+len(later[table]))
			}
		}
	})
}

// Both dialects have the same tables and columns, NULL alike.
func TestDialectsAgree(t *testing.T) {
	var seen []map[string]map[string]column
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		tables := columns(t, s)
		delete(tables, "goose_db_version")
		for _, cols := range tables {
			for name, c := range cols {
				switch c.kind {
				case "integer":
					c.kind = "bigint"
				case "blob":
					c.kind = "bytea"
				}
				cols[name] = c
			}
		}
		seen = append(seen, tables)
	})
	if storagetest.Databases() != "" {
		return
	}
	if len(seen) != 2 {
		t.Fatalf("%d databases", len(seen))
	}
	for table, cols := range seen[0] {
		for name, c := range cols {
			if other, ok := seen[1][table][name]; !ok || other != c {
				t.Errorf("%s.%s: %+v on SQLite, %+v on PostgreSQL", table, name, c, other)
			}
		}
		if len(cols) != len(seen[1][table]) {
			t.Errorf("%s: %d columns on SQLite, %d on PostgreSQL", table, len(cols), len(seen[1][table]))
		}
	}
	if len(seen[0]) != len(seen[1]) {
		t.Errorf("%d tables on SQLite, %d on PostgreSQL", len(seen[0]), len(seen[1]))
	}
}
