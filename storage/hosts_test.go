package storage

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// Each host is one, with and without TLS; several have less time each than a lone one has, but what the URL says.
func TestHostsOf(t *testing.T) {
	for _, c := range []struct{ database, want string }{
		{"postgres://a.test/x?sslmode=disable", "5s a.test:5432+0"},
		{"postgres://a.test/x?sslmode=prefer", "5s a.test:5432+1"},
		{"postgres://a.test,b.test:5433/x?sslmode=disable", "1s a.test:5432+0 b.test:5433+0"},
		{"postgres://a.test,b.test:5433/x?sslmode=prefer", "1s a.test:5432+1 b.test:5433+1"},
		{"postgres://a.test:1,a.test:2/x?sslmode=require&connect_timeout=3", "3s a.test:1+0 a.test:2+0"},
	} {
		cfg, _, err := postgresConfig(c.database)
		if err != nil {
			t.Fatal(err)
		}
		if each := hostsOf(cfg).each; (each[0].ValidateConnect == nil) != (len(each) == 1) {
			t.Errorf("%s: may a standby be taken? %v", c.database, each[0].ValidateConnect == nil)
		}
		got := cfg.ConnectTimeout.String()
		for _, one := range hostsOf(cfg).each {
			got += fmt.Sprintf(" %s:%d+%d", one.Host, one.Port, len(one.Fallbacks))
			for _, twin := range one.Fallbacks {
				if twin.Host != one.Host || (twin.TLSConfig == nil) == (one.TLSConfig == nil) {
					t.Errorf("%s: %s has a twin %s", c.database, one.Host, twin.Host)
				}
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, not %s", c.database, got, c.want)
		}
	}
}

// The host that took a connection last is asked first; when it takes none any more, all others are.
func TestHostsTry(t *testing.T) {
	cfg, _, err := postgresConfig("postgres://a.test,b.test,c.test/x")
	if err != nil {
		t.Fatal(err)
	}
	h := hostsOf(cfg)
	for _, step := range []struct {
		takes int
		asked []int
		ok    bool
	}{{1, []int{0, 1}, true}, {1, []int{1}, true}, {0, []int{1, 2, 0}, true}, {-1, []int{0, 1, 2}, false}, {0, []int{0}, true}} {
		var asked []int
		err := h.try(func(n int) error {
			if asked = append(asked, n); n != step.takes {
				return errors.New("no")
			}
			return nil
		})
		if (err == nil) != step.ok || !slices.Equal(asked, step.asked) {
			t.Errorf("%v were asked, not %v: %v", asked, step.asked, err)
		}
	}
}
