package storage

import (
	"slices"
	"strings"
	"sync"

	"gorm.io/gorm/schema"
)

// rows are the row structs of every file: a test holds their fields against the columns of both databases.
var rows = slices.Concat(sessionRows, auditRows, maintainRows, keyRows, limitRows, outboxRows, grantRows,
	accountRows, exportRows, clientRows)

// columnsOf are the columns of a row struct, each with its table's name or alias. No statement says *: a server that runs when a
// migration adds a column would fail with it once a connection (0A000, cached plan must not change result type).
func columnsOf(table string, row any) string {
	names := namesOf(row)
	for i, name := range names {
		names[i] = table + "." + name
	}
	return strings.Join(names, ", ")
}

// parsed are the row structs that were read already: statements of pages ask for them each time.
var parsed sync.Map

// namesOf panics for what is no row struct.
func namesOf(row any) []string {
	sch, err := schema.Parse(row, &parsed, schema.NamingStrategy{})
	if err != nil {
		panic(err)
	}
	return slices.Clone(sch.DBNames)
}
