package storage

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/libtnb/sqlite"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/passport-network/passport/pkg/fault"
)

// Store is the database. It implements the Store interfaces of every room that has one.
type Store struct {
	writer  *gorm.DB // PostgreSQL: the pool; SQLite: the one immediate writer connection
	reader  *gorm.DB // PostgreSQL: the same pool; SQLite: a pool of query_only connections
	flows   *sql.DB  // PostgreSQL: the pool of the hot statements
	watches *sql.DB  // PostgreSQL: the connection of what readiness depends on
	file    string   // SQLite: the database's file
	shared  sharer   // access tokens of clients
	hosts   *hosts   // PostgreSQL: where to connect
}

// Open connects to a database named as in PASSPORT_DATABASE: "sqlite:FILE" or "postgres://…".
// It does not migrate: see Migrate.
func Open(ctx context.Context, database string) (*Store, error) {
	switch {
	case strings.HasPrefix(database, "sqlite:"):
		return openSQLite(ctx, strings.TrimPrefix(database, "sqlite:"))
	case strings.HasPrefix(database, "postgres://"), strings.HasPrefix(database, "postgresql://"):
		return openPostgres(ctx, database)
	}
	return nil, errors.New("the database must be sqlite:FILE or postgres://…")
}

func gormConfig() *gorm.Config {
	return &gorm.Config{
		SkipDefaultTransaction: true,
		TranslateError:         true,
		QueryFields:            true, // see columnsOf
		// Statements carry hashes and addresses: nothing of them goes to a log.
		Logger: logger.Discard,
	}
}

// The dialects translate errors, also those that come with the last rows of an answer, into what the rooms know.
type (
	postgresDialect struct{ *postgres.Dialector }
	sqliteDialect   struct{ *sqlite.Dialector }
)

func (d postgresDialect) Translate(err error) error { return meaning(d.Dialector.Translate(err)) }
func (d sqliteDialect) Translate(err error) error   { return meaning(d.Dialector.Translate(err)) }

// sqliteDSN names a file and its settings; all of them are in the DSN, so that every connection of a pool
// has them.
func sqliteDSN(file, settings string) string {
	return "file:" + (&url.URL{Path: file}).EscapedPath() + "?" + settings
}

// makePrivate makes the file, readable by its owner alone, where it is not there: SQLite would let the
// umask decide, and gives its journals the mode of the database.
func makePrivate(file string) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func openSQLite(ctx context.Context, file string) (_ *Store, err error) {
	if file == "" || strings.ContainsAny(file, "?#\x00") || file == ":memory:" {
		return nil, errors.New("the SQLite database must be a file whose name has no ? or #")
	}
	if err := makePrivate(file); err != nil {
		return nil, fmt.Errorf("open SQLite: %w", err)
	}
	s := &Store{file: file, shared: newSharer(1)}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	// The switch of a new file to WAL cannot wait for other connections: one at a time.
	unlock, err := lockSQLite(ctx, file+"-open.lock")
	if err != nil {
		return nil, fmt.Errorf("open SQLite: %w", err)
	}
	// Two more settings are the process's: libtnb/sqlite turns them on once it is imported. A commit syncs with fdatasync, and
	// locks stay when the file is opened and closed beside SQLite in this process, as makePrivate does (TestSQLiteSettings).
	const settings = "_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
	s.writer, err = sqlitePool(ctx, 1, sqliteDSN(file, settings+"&_txlock=immediate"+full()))
	if err := errors.Join(err, unlock()); err != nil {
		return nil, fmt.Errorf("open SQLite: %w", err)
	}
	s.reader, err = sqlitePool(ctx, 8, sqliteDSN(file, settings+"&_pragma=query_only(1)"))
	if err != nil {
		return nil, fmt.Errorf("open SQLite: %w", err)
	}
	return s, nil
}

func sqlitePool(ctx context.Context, conns int, dsn string) (*gorm.DB, error) {
	db, err := sql.Open(sqlite.DriverName, dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	g, err := gorm.Open(sqliteDialect{&sqlite.Dialector{Conn: checkedPool{DB: db, prepared: &prepared{db: db, ready: map[string]*sql.Stmt{}}}}}, gormConfig())
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return g, nil
}

// Settings of PostgreSQL connections; pool_max_conns in the URL overrides the first. Half of them are for the hot
// statements; of two none.
const (
	postgresConns    = 20
	connIdle         = 5 * time.Minute
	connLife         = 30 * time.Minute // follows a failover, lets the server free what it cached
	connectTimeout   = 5 * time.Second  // of a lone host
	hostTimeout      = time.Second      // of each of several: a check of readiness has time for the next
	applicationName  = "passport"
	postgresAtLeast  = 150000
	poolSizeSetting  = "pool_max_conns"
	poolSizeSettable = 1000
)

// deadPeer are settings that end what a replica has begun whose machine died, and said no goodbye: by itself PostgreSQL would keep the
// locks of its transaction for two hours, and whoever needs them would wait. The URL may have others.
var deadPeer = map[string]string{
	"tcp_keepalives_idle":                 "15",    // seconds
	"tcp_keepalives_interval":             "5",     // seconds
	"tcp_keepalives_count":                "3",     // of them
	"tcp_user_timeout":                    "30000", // ms
	"idle_in_transaction_session_timeout": "60000", // ms: no transaction of ours waits for anything else than the database
}

// setting has a new connection use settings that the URL does not have. Not at its start: poolers refuse what they do not know there.
func setting(cfg *pgx.ConnConfig, settings map[string]string) func(context.Context, *pgx.Conn) error {
	var list []string
	for name, value := range settings {
		if cfg.RuntimeParams[name] == "" {
			list = append(list, "set_config('"+name+"', '"+value+"', false)")
		}
	}
	if len(list) == 0 {
		return func(context.Context, *pgx.Conn) error { return nil }
	}
	q := "SELECT " + strings.Join(list, ", ")
	return func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, q)
		if hasCode(err, "42704") { // undefined_object: a database like PostgreSQL that has no such setting
			return nil
		}
		return err
	}
}

func openPostgres(ctx context.Context, dsn string) (_ *Store, err error) {
	cfg, conns, err := postgresConfig(dsn)
	if err != nil {
		return nil, err
	}
	era, hosts := &era{}, hostsOf(cfg)
	set := setting(cfg, deadPeer)
	connector := hosts.connector(stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
		era.begin(c)
		return set(ctx, c)
	}), stdlib.OptionResetSession(era.check))
	pool := func(conns int) *sql.DB {
		db := sql.OpenDB(connector)
		db.SetMaxOpenConns(conns)
		db.SetMaxIdleConns(conns)
		db.SetConnMaxIdleTime(connIdle)
		db.SetConnMaxLifetime(connLife)
		return db
	}
	s := &Store{shared: newSharer(2), hosts: hosts}
	if conns > 2 { // whoever holds a lock (Locked) needs a second one
		s.flows = pool(conns / 2)
		conns -= conns / 2
	}
	if conns > 2 {
		s.watches = pool(1)
		conns--
	}
	db := pool(conns)
	if err := checkPostgres(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close(), s.Close())
	}
	g, err := gorm.Open(postgresDialect{&postgres.Dialector{Config: &postgres.Config{Conn: checkedPool{DB: db, era: era, flows: s.flows, watches: s.watches}}}}, gormConfig())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open PostgreSQL: %w", err), db.Close(), s.Close())
	}
	s.writer, s.reader = g, g
	return s, nil
}

func postgresConfig(dsn string) (*pgx.ConnConfig, int, error) {
	conns := postgresConns
	u, err := url.Parse(dsn)
	if err != nil {
		// Not err: it repeats the URL, which has the password.
		return nil, 0, errors.New("the PostgreSQL URL cannot be read")
	}
	if q := u.Query(); q.Has(poolSizeSetting) {
		conns, err = strconv.Atoi(q.Get(poolSizeSetting))
		if err != nil || conns < 2 || conns > poolSizeSettable {
			return nil, 0, errors.New(poolSizeSetting + " of the PostgreSQL URL must be a number from 2 to 1000")
		}
		q.Del(poolSizeSetting)
		u.RawQuery = q.Encode()
	}
	cfg, err := pgx.ParseConfig(u.String())
	if err != nil {
		return nil, 0, errors.New("the PostgreSQL URL cannot be read")
	}
	// The simple protocol puts values into the SQL text: GO-2026-5004 is what comes of it.
	if cfg.DefaultQueryExecMode != pgx.QueryExecModeCacheStatement {
		return nil, 0, errors.New("default_query_exec_mode of the PostgreSQL URL must not be set: statements are prepared")
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectTimeout
		if len(hostsOf(cfg).each) > 1 {
			cfg.ConnectTimeout = hostTimeout
		}
	}
	// Of several hosts the one that answered last is asked first: if that could be a standby, the server would stay there.
	if cfg.ValidateConnect == nil && len(hostsOf(cfg).each) > 1 {
		cfg.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = applicationName
	}
	cfg.RuntimeParams["timezone"] = "UTC"
	return cfg, conns, nil
}

// checkPostgres refuses a server on which this program would lose or garble what it was told.
func checkPostgres(ctx context.Context, db *sql.DB) error {
	var version int
	var encoding, commit string
	err := db.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::int,
		current_setting('server_encoding'), current_setting('synchronous_commit')`).Scan(&version, &encoding, &commit)
	if err != nil {
		return fmt.Errorf("reach PostgreSQL: %w", err)
	}
	return refuseServer(version, encoding, commit)
}

func refuseServer(version int, encoding, commit string) error {
	switch {
	case version < postgresAtLeast:
		return fmt.Errorf("PostgreSQL is %d.%d; at least 15 is needed", version/10000, version%10000)
	case encoding != "UTF8":
		return fmt.Errorf("the PostgreSQL database is encoded in %s; UTF8 is needed", encoding)
	case commit == "off" || commit == "local":
		// A crash, or a failover to a synchronous standby, would undo what was acknowledged: revocations, spent codes.
		return fmt.Errorf("PostgreSQL has synchronous_commit %s; it must be on for this database", commit)
	}
	return nil
}

// Close ends all connections.
func (s *Store) Close() error {
	var errs []error
	for _, pool := range []*sql.DB{s.flows, s.watches} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	for _, db := range []*gorm.DB{s.writer, s.reader} {
		if db == nil {
			continue
		}
		if pool, err := db.DB(); err == nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(errs...)
}

// postgres tells which dialect this is.
func (s *Store) postgres() bool { return s.writer.Name() == "postgres" }

type txKey struct{}

// gormTx is the transaction that a context carries.
type gormTx struct {
	db *gorm.DB
	// joined is the first error of an InTx that joined: the whole must not commit.
	joined error
}

// db is where every write starts: the transaction that ctx carries, else the writer.
func (s *Store) db(ctx context.Context) *gorm.DB {
	if t, ok := ctx.Value(txKey{}).(*gormTx); ok {
		return t.db.WithContext(ctx)
	}
	return s.writer.WithContext(ctx)
}

// read is where a read outside a transaction starts; inside one it reads what the transaction wrote.
func (s *Store) read(ctx context.Context) *gorm.DB {
	if t, ok := ctx.Value(txKey{}).(*gormTx); ok {
		return t.db.WithContext(ctx)
	}
	return s.reader.WithContext(ctx)
}

// watch is where a read starts on which it depends whether this server is ready: as read, but it waits for no page, and no token.
func (s *Store) watch(ctx context.Context) *gorm.DB { return watching(s.read(ctx)) }

func watching(db *gorm.DB) *gorm.DB {
	db.Statement.ConnPool = db.Statement.ConnPool.(interface{ watching() gorm.ConnPool }).watching()
	return db
}

// InTx runs fn in one transaction; it joins the transaction that ctx already carries. An error of fn rolls
// back; of a joined fn the whole, even if the outer one swallows it. After the error of a statement nothing
// more runs in the transaction (see checkedTx). A transaction is used by one goroutine. fn may run several times (see
// again): what it leaves outside the database it sets, and does not add to.
func (s *Store) InTx(ctx context.Context, fn func(ctx context.Context) error) error {
	if t, ok := ctx.Value(txKey{}).(*gormTx); ok {
		err := fn(ctx)
		if err != nil && t.joined == nil {
			t.joined = err
		}
		return err
	}
	err := again(ctx, func() error {
		return s.writer.WithContext(ctx).Transaction(func(db *gorm.DB) error {
			t := &gormTx{db: db}
			if err := fn(context.WithValue(ctx, txKey{}, t)); err != nil {
				return err
			}
			fault.Passing(ctx, "storage.commit")
			return t.joined
		})
	})
	fault.Passing(ctx, "storage.committed")
	return err
}

// Writable tells whether the database takes writes: a standby, or a full disk, can be read only, and serves nobody.
func (s *Store) Writable(ctx context.Context) error {
	return watching(s.db(ctx)).Exec(`INSERT INTO rate (key, tat) VALUES ('readyz', ` + s.nowSQL() + `)
		ON CONFLICT (key) DO UPDATE SET tat = excluded.tat`).Error
}

// Now asks the database for its time: the source of pkg/clock.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	var us int64
	err := s.watch(ctx).Raw("SELECT " + s.nowSQL()).Scan(&us).Error // in a transaction by its own connection: those who wait for a second one could be all
	return time.UnixMicro(us).UTC(), err
}

// stamp is a time in a row: UTC microseconds as an integer; the zero time is NULL.
type stamp struct{ time.Time }

func at(t time.Time) stamp {
	if t.IsZero() {
		return stamp{}
	}
	return stamp{t.UTC().Truncate(time.Microsecond)}
}

func (stamp) GormDataType() string { return "bigint" }

func (t stamp) Value() (driver.Value, error) {
	if t.IsZero() {
		return nil, nil
	}
	return t.UnixMicro(), nil
}

func (t *stamp) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*t = stamp{}
	case int64:
		*t = stamp{time.UnixMicro(v).UTC()}
	default:
		return fmt.Errorf("a time column holds %T", v)
	}
	return nil
}

// newID makes a row's id: UUIDv7, so that ids grow with time in each process.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

// words splits and joins the space-separated lists of rows (scopes, amr, …).
func words(s string) []string     { return strings.Fields(s) }
func joined(list []string) string { return strings.Join(list, " ") }

// most is how many values of a list one statement gets: PostgreSQL takes 65,535 parameters, SQLite 32,766. Who has a list that
// grows with what people do goes through it in parts.
const most = 1000

// oneRow maps a conditional write's outcome: exactly one row, or gone.
func oneRow(res *gorm.DB, gone error) error {
	switch {
	case res.Error != nil:
		return res.Error
	case res.RowsAffected != 1:
		return gone
	}
	return nil
}

var _ sql.Scanner = (*stamp)(nil)
