package storage

import (
	"context"
	"database/sql/driver"
	"errors"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// hosts are the servers that the database's URL names, in its order. pgx would begin with the first each time, and one that
// is silent has nobody's answer but that its time is over: each new connection would wait for that.
type hosts struct {
	each []*pgx.ConnConfig
	last atomic.Int64 // which of them took a connection last
}

// hostsOf makes a configuration of each host. sslmode=prefer names a host twice in a row, with TLS and without: they stay together.
func hostsOf(cfg *pgx.ConnConfig) *hosts {
	h := &hosts{}
	for _, at := range append([]*pgconn.FallbackConfig{{Host: cfg.Host, Port: cfg.Port, TLSConfig: cfg.TLSConfig}}, cfg.Fallbacks...) {
		if n := len(h.each); n > 0 && h.each[n-1].Host == at.Host && h.each[n-1].Port == at.Port {
			h.each[n-1].Fallbacks = append(h.each[n-1].Fallbacks, at)
			continue
		}
		one := cfg.Copy()
		one.Host, one.Port, one.TLSConfig, one.Fallbacks = at.Host, at.Port, at.TLSConfig, nil
		h.each = append(h.each, one)
	}
	return h
}

// try has connect try each host in turn, from the one that took a connection last on, until one takes it. One that
// target_session_attrs refuses does not.
func (h *hosts) try(connect func(n int) error) error {
	var errs []error
	last := int(h.last.Load())
	for i := range h.each {
		n := (last + i) % len(h.each)
		err := connect(n)
		if err == nil {
			h.last.Store(int64(n))
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// connect makes one connection, outside the pools.
func (h *hosts) connect(ctx context.Context) (conn *pgx.Conn, err error) {
	err = h.try(func(n int) (err error) {
		conn, err = pgx.ConnectConfig(ctx, h.each[n])
		return err
	})
	return conn, err
}

// connector makes the connections of a pool.
func (h *hosts) connector(options ...stdlib.OptionOpenDB) driver.Connector {
	c := connector{hosts: h}
	for _, cfg := range h.each {
		c.each = append(c.each, stdlib.GetConnector(*cfg, options...))
	}
	return c
}

type connector struct {
	hosts *hosts
	each  []driver.Connector
}

// Connect implements driver.Connector.
func (c connector) Connect(ctx context.Context) (conn driver.Conn, err error) {
	err = c.hosts.try(func(n int) (err error) {
		conn, err = c.each[n].Connect(ctx)
		return err
	})
	return conn, err
}

// Driver implements driver.Connector.
func (c connector) Driver() driver.Driver { return c.each[0].Driver() }
