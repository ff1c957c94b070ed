package storage

import "slices"

// rows are the row structs of every file: a test holds their fields against the columns of both databases.
var rows = slices.Concat(sessionRows, auditRows, maintainRows, keyRows, limitRows, outboxRows, grantRows,
	accountRows, exportRows, clientRows)
