package storage

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

// What people are told of a database that does not serve is that they may come back; of a mistake of ours it is not.
func TestAway(t *testing.T) {
	for _, err := range []error{&pgconn.PgError{Code: "57P01"}, &pgconn.PgError{Code: "53300"}, &pgconn.PgError{Code: "08006"}, &pgconn.PgError{Code: "25006"},
		io.ErrUnexpectedEOF, driver.ErrBadConn, &net.OpError{Op: "read", Err: errors.New("connection reset by peer")}, &pgconn.ConnectError{}} {
		var told interface{ Unavailable() bool }
		if got := meaning(fmt.Errorf("a statement: %w", err)); !errors.As(got, &told) || !told.Unavailable() || !errors.Is(got, err) {
			t.Errorf("%v is not told as a database that is away", err)
		}
	}
	for _, err := range []error{nil, &pgconn.PgError{Code: "23505"}, &pgconn.PgError{Code: "42601"}, &pgconn.PgError{Code: "40001"}, io.EOF, ErrUsed, context.Canceled} {
		if got := meaning(err); !errors.Is(got, err) || errors.As(got, new(away)) {
			t.Errorf("%v is told as %v", err, got)
		}
	}
	// A server that cannot be reached, through all layers.
	s := refusedServer(t)
	for what, do := range map[string]func() error{
		"a transaction": func() error { return s.InTx(t.Context(), func(context.Context) error { return nil }) },
		"a statement":   func() error { return s.UseOnce(t.Context(), "test", []byte("x"), time.Unix(1, 0)) },
		"a read":        func() error { _, err := s.Now(t.Context()); return err },
	} {
		if err := do(); !errors.As(err, new(away)) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// refusedServer is a store whose server has gone.
func refusedServer(t *testing.T) *Store {
	t.Helper()
	db, err := sql.Open("pgx", "postgres://postgres@127.0.0.1:1/none?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	cfg := gormConfig()
	cfg.DisableAutomaticPing = true
	g, err := gorm.Open(postgresDialect{&postgres.Dialector{Config: &postgres.Config{Conn: checkedPool{DB: db, era: &era{}}}}}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &Store{writer: g, reader: g}
}
